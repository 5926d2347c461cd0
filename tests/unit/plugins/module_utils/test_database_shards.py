# SPDX-License-Identifier: GPL-3.0-or-later
"""The history shard count in the server's record of a cluster."""

from __future__ import annotations

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._database import shards_of
from hypothesis import given
from hypothesis import strategies as st


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@given(name=st.binary(max_size=300), shards=st.integers(min_value=1, max_value=2**31 - 1), rest=st.binary(max_size=20))
def test_reads_the_field_behind_the_name(name: bytes, shards: int, rest: bytes) -> None:
    assert shards_of(b"\x0a" + varint(len(name)) + name + b"\x10" + varint(shards) + rest) == shards


@pytest.mark.parametrize("metadata", [b"", b"\x0a", b"\x0a\x05abc", b"\x10", b"\x0d1234", b"\x0a\x06active"])
def test_a_record_without_it_is_no_number(metadata: bytes) -> None:
    assert shards_of(metadata) is None
