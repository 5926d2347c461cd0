# SPDX-License-Identifier: GPL-3.0-or-later
"""Own authorities: what is compared, and what the environment file becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._certificates import (
    environment_text,
    file_name,
    fingerprints,
)
from ansible_collections.durable.temporal.plugins.modules.ca_certificates import make_plan
from hypothesis import given
from hypothesis import strategies as st


def pem(body: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def test_fingerprints_ignore_wrapping_and_words_between() -> None:
    assert fingerprints("subject=x\n" + pem("AAAA\nBBBB")) == fingerprints(pem("AAAABBBB"))
    assert len(fingerprints(pem("A") + pem("B"))) == 2
    assert fingerprints("no certificate") == []


@pytest.mark.parametrize("name", ["company", "company.pem", "company.crt", "company.cer"])
def test_names_get_the_suffix_that_is_read(name: str) -> None:
    assert file_name(name) == "durable-temporal-company.crt"


def test_plan_sees_files_and_the_bundle(tmp_path: Path) -> None:
    bundle, file = tmp_path / "bundle", tmp_path / "company.crt"
    wanted = {file: pem("A")}
    assert [c.key for c in make_plan(wanted, bundle, can_rebuild=True)] == [str(file), str(bundle)]
    assert [c.key for c in make_plan(wanted, bundle, can_rebuild=False)] == [str(file)]
    file.write_text(pem("A"))
    assert [c.key for c in make_plan(wanted, bundle, can_rebuild=True)] == [str(bundle)]  # interrupted before
    bundle.write_text(pem("Z") + pem("A"))
    assert not make_plan(wanted, bundle, can_rebuild=True)


def test_environment_replaces_only_its_block() -> None:
    once = environment_text('PATH="/bin"\n', {"A": "1", "B": "2"})
    assert once.splitlines()[0] == 'PATH="/bin"'
    assert "A=1" in once
    assert environment_text(once, {"B": "3"}).count("BEGIN") == 1
    assert "A=1" not in environment_text(once, {"B": "3"})
    assert environment_text(once, {}) == 'PATH="/bin"\n'


@given(st.lists(st.sampled_from(["A=1", "# x", ""])), st.dictionaries(st.sampled_from("XY"), st.sampled_from("12")))
def test_environment_is_stable(lines: list[str], environment: dict[str, str]) -> None:
    once = environment_text("\n".join(lines), environment)
    assert environment_text(once, environment) == once
