# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks and the worst of them."""

from __future__ import annotations

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._checks import STATUSES, Check, Status, complaints, worst
from hypothesis import given
from hypothesis import strategies as st


def check(status: Status, message: str = "") -> Check:
    return Check("temporal", "version", status, "1.31.2", "1.32.2", message)


@given(st.lists(st.sampled_from(STATUSES)))
def test_the_worst_decides(statuses: list[Status]) -> None:
    result = worst(check(status) for status in statuses)
    if "failed" in statuses:
        assert result == "failed"
    elif "degraded" in statuses:
        assert result == "degraded"
    else:
        assert result == "healthy"


def test_a_check_is_a_row_and_a_sentence() -> None:
    failed = check("failed", "Run site.yml.")
    assert set(failed.as_dict()) == {"component", "name", "status", "found", "expected", "message"}
    assert failed.sentence() == "temporal, version: found 1.31.2, expected 1.32.2. Run site.yml."
    assert check("healthy").sentence() == "temporal, version: found 1.31.2, expected 1.32.2."


@pytest.mark.parametrize(("statuses", "count"), [((), 0), (("failed",), 1), (("failed", "degraded"), 2)])
def test_complaints_are_those_of_the_statuses(statuses: tuple[Status, ...], count: int) -> None:
    checks = [check("healthy", "fine"), check("degraded", "look"), check("failed", "run")]
    assert complaints(checks, *statuses).count("temporal, version") == count
