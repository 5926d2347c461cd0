# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of earlier approvals are replayed: what runs now must still be understood after the next release.

Recorded by ``temporal workflow show --workflow-id … --output json``; add one with each new way through a workflow.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from approvals.workflows import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: str(path.stem))
def test_the_workflows_understand_what_was(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    asyncio.run(Replayer(workflows=WORKFLOWS).replay_workflow(history))


def test_a_different_course_would_be_noticed() -> None:
    text = (Path(__file__).parent / "histories" / "expired.json").read_text()
    history = WorkflowHistory.from_json("changed", text.replace('"name": "notify"', '"name": "tell"'))
    with pytest.raises(NondeterminismError, match="tell"):
        asyncio.run(Replayer(workflows=WORKFLOWS).replay_workflow(history))
