# SPDX-License-Identifier: GPL-3.0-or-later
"""What workflows do to the world. Each step may be tried many times and has one effect."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.exceptions import ApplicationError

from .ledger import Attempt, Ledger
from .model import Step
from .process import log


class Activities:
    """The activities of one worker."""

    def __init__(self, ledger: Ledger, release: str, fail_activity: str | None = None) -> None:
        self._ledger = ledger
        self._release = release
        self._fail_activity = fail_activity

    @activity.defn
    async def notify(self, step: Step) -> None:
        """Tells somebody. Here the message lies in the ledger; a real one would hand it on with the step as its key."""
        if await self._write_once(step):
            log.info("notified", extra={"fields": {"to": step.to, "text": step.text}})

    @activity.defn
    async def audit(self, step: Step) -> None:
        """Writes down what happened."""
        await self._write_once(step)

    async def _write_once(self, step: Step) -> bool:
        info = activity.info()
        attempt = Attempt(
            info.activity_type,
            info.workflow_id or "",
            step.name,
            info.workflow_run_id or "",
            info.attempt,
            self._release,
        )
        try:
            await self._rehearse(step, info.activity_type, info.attempt)
        except BaseException:
            await asyncio.to_thread(self._ledger.failed, attempt)
            raise
        return await asyncio.to_thread(self._ledger.write, attempt, step.to, step.text)

    async def _rehearse(self, step: Step, name: str, attempt: int) -> None:
        if name == self._fail_activity:
            raise ApplicationError(f"{name} fails for good, as APPROVALS_FAIL_ACTIVITY asks", non_retryable=True)
        for _second in range(step.rehearsal.slow_seconds.get(name, 0)):
            activity.heartbeat()
            await asyncio.sleep(1)
        failures = step.rehearsal.fail_times.get(name, 0)
        if attempt <= failures:
            raise ApplicationError(f"{name} fails as the request asks: attempt {attempt} of {failures}")
