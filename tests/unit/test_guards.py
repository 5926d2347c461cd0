# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of guards keeps up with the code. Whether a test holds each of them takes `tests/guards/guards.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "guards"))

from guards import GUARDS, PARTS, NotFound, disabled, uncovered  # noqa: E402


def test_every_guard_is_where_the_catalogue_says() -> None:
    stale = []
    for guard in GUARDS:
        try:
            disabled((ROOT / guard.file).read_bytes(), guard)
        except NotFound as error:
            stale.append(f"{guard.title}: {error}")
    assert stale == []


def test_every_problem_that_is_reported_has_a_guard() -> None:
    assert uncovered() == []


def test_each_part_is_copied_once() -> None:
    assert sorted(set(PARTS)) == sorted(PARTS)
