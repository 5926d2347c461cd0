# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of what protects against bad days does not rot: what it takes away is there, and so are the flows."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "guards"))

from flow_catalogue import FLOW_GUARDS, FlowGuard  # noqa: E402
from flows import without  # noqa: E402


def flows(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / "flows" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("guard", FLOW_GUARDS, ids=lambda guard: guard.title)
def test_a_guard_can_be_taken_away(guard: FlowGuard) -> None:
    assert guard.test.partition("[")[0] in flows(guard.file)
    for edit in guard.edits:
        left = without((ROOT / edit.file).read_text(), edit)
        if edit.file.endswith(".py"):
            ast.parse(left)
        elif edit.file.endswith(".yml"):
            yaml.safe_load(left)


@pytest.mark.parametrize("file", ["test_bad_days.py", "test_edge.py", "test_interrupt.py"])
def test_every_bad_day_has_a_guard(file: str) -> None:
    assert {g.test.partition("[")[0] for g in FLOW_GUARDS if g.file == file} == flows(file)


def test_titles_tell_guards_apart() -> None:
    assert len({guard.title for guard in FLOW_GUARDS}) == len(FLOW_GUARDS)
