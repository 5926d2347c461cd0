# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m approvals.replay``: would this release understand what runs and ran lately?

Replays open and recent closed histories of its workflow types on its task queue, ``REPLAY_LIMIT`` of each. The last
line is JSON. Exit status: 0 all understood, 3 not all, 1 it could not be found out.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from .config import Config
from .process import identity_of, log, run, words
from .temporal import connect
from .workflows import WORKFLOWS

_FETCHED_AT_ONCE = 8


async def replay(config: Config) -> int:
    """Prints the verdict; returns the exit status."""
    verdict: dict[str, Any]
    try:
        verdict = await _verdict(config)
        status = 3 if verdict["failed"] else 0
    except Exception as error:
        verdict = {"replayed": 0, "failed": [], "error": words(error)}
        status = 1
    # Whatever the SDK wrote before, this is the last line.
    sys.stderr.flush()
    print(json.dumps(verdict), flush=True)
    return status


async def _verdict(config: Config) -> dict[str, Any]:
    if not config.enabled:
        return {"replayed": 0, "failed": [], "note": "ENABLE_TEMPORAL is false"}
    client = await connect(config, identity_of(config))
    known = [kind.__name__ for kind in WORKFLOWS]
    queue = f"TaskQueue = '{config.task_queue}'"
    failed: list[dict[str, str]] = []
    chosen: list[WorkflowExecution] = []
    pinned = 0

    for name in known:
        for state in ("ExecutionStatus = 'Running'", "ExecutionStatus != 'Running'"):
            found = client.list_workflows(f"{queue} AND WorkflowType = '{name}' AND {state}", limit=config.replay_limit)
            async for execution in found:
                if config.versioning and _is_pinned(execution):
                    pinned += 1  # stays with the build that it is pinned to, whatever this one does
                else:
                    chosen.append(execution)
    others = " AND ".join(f"WorkflowType != '{name}'" for name in known)
    async for execution in client.list_workflows(
        f"{queue} AND ExecutionStatus = 'Running' AND {others}", limit=config.replay_limit
    ):
        if not (config.versioning and _is_pinned(execution)):
            error = f"it is open and this release has no such workflow type; it has {', '.join(known)}"
            failed.append(_failure(execution, error))

    histories = await _fetch(client, chosen)
    by_run = {execution.run_id: execution for execution in chosen}

    async def each() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    results = await Replayer(workflows=WORKFLOWS).replay_workflows(each(), raise_on_replay_failure=False)
    for run_id, failure in results.replay_failures.items():
        failed.append(_failure(by_run[run_id], _essence(failure)))
    return {"replayed": len(histories), "pinned_elsewhere": pinned, "failed": failed}


async def _fetch(client: Client, executions: list[WorkflowExecution]) -> list[WorkflowHistory]:
    slots = asyncio.Semaphore(_FETCHED_AT_ONCE)

    async def one(execution: WorkflowExecution) -> WorkflowHistory | None:
        async with slots:
            try:
                return await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:  # its retention ended meanwhile
                    log.info("gone", extra={"fields": {"workflow_id": execution.id}})
                    return None
                raise

    return [history for history in await asyncio.gather(*map(one, executions)) if history is not None]


def _failure(execution: WorkflowExecution, error: str) -> dict[str, str]:
    return {
        "workflow_type": execution.workflow_type,
        "workflow_id": execution.id,
        "run_id": execution.run_id,
        "error": error,
    }


def _essence(error: Exception) -> str:
    """What differs, without the SDK's wrapping: which event, and what this release does instead."""
    message = words(error)
    found = re.search(r'\[TMPRL\d+\] [^"\\]*', message)
    return found[0] if found else message


def _is_pinned(execution: WorkflowExecution) -> bool:
    behavior = execution.raw_info.versioning_info.behavior
    return behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED


if __name__ == "__main__":
    run(replay)
