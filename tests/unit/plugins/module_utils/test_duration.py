# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as Temporal's users write them."""

from __future__ import annotations

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._duration import format_duration, parse_duration
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 604800), ("72h", 259200), ("30m", 1800), ("168h0m0s", 604800), ("1d12h", 129600), (" 90s ", 90), ("0s", 0)],
)
def test_durations_are_parsed(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("wrong", ["", "7", "7 d", "seven days", "-1h", "1.5h", "h", "7D"])
def test_other_texts_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: expected one such as 7d"):
        parse_duration(wrong)


@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


def test_the_shortest_writing() -> None:
    assert [format_duration(s) for s in (604800, 259200, 5400, 0)] == ["7d", "3d", "1h30m", "0s"]
