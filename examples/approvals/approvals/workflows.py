# SPDX-License-Identifier: GPL-3.0-or-later
"""Deterministic: replayed from history, and reaches the world by activities only."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from .model import Decision, Request, State, Step, objection


class _Approval:
    """What both kinds share: who is asked, what is decided, and how each is told and written down."""

    _request: Request
    _state: State

    def _receive(self, request: Request) -> None:
        # The first approver may answer from the first moment on, before the word has reached them.
        self._request = request
        self._state = State(request.id, request.kind, asked=request.approvers[:1])

    @workflow.query
    def state(self) -> State:
        """Who was asked, and what came of it."""
        return self._state

    @workflow.update
    def decide(self, decision: Decision) -> State:
        """Takes a decision and answers what it made of the request; refused with the reason when it cannot be."""
        self._state.decision = decision
        return self._state

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        if reason := objection(self._state, decision):
            raise ValueError(reason)

    @workflow.signal
    def decided(self, decision: Decision) -> None:
        """The same for senders that want no answer; what cannot be taken is left aside."""
        if reason := objection(self._state, decision):
            workflow.logger.warning("decision left aside: %s", reason)
        else:
            self._state.decision = decision

    async def _ask(self, approver: str, number: int) -> bool:
        """Asks one approver and waits; whether there is a decision, theirs or that of one who was asked before."""
        if approver not in self._state.asked:
            self._state.asked.append(approver)
        await self._tell(f"asked-{number}", approver, f"please decide: {self._request.subject}")
        self._state.stage = "waiting"
        try:
            await workflow.wait_condition(
                lambda: self._state.decision is not None,
                timeout=timedelta(seconds=self._request.wait_seconds),
                timeout_summary=f"escalate from {approver}",
            )
        except asyncio.TimeoutError:
            return False
        return True

    async def _close(self) -> State:
        decision = self._state.decision
        if decision is None:
            self._state.stage, text = "expired", f"nobody decided: {self._request.subject}"
        else:
            self._state.stage = "approved" if decision.approved else "rejected"
            text = f"{self._state.stage} by {decision.by}: {self._request.subject}"
        await self._tell(self._state.stage, self._request.requested_by, text)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state

    async def _tell(self, step: str, to: str, text: str) -> None:
        await self._do("notify", step, to, text)
        await self._do("audit", step, to, text)

    async def _do(self, activity: str, step: str, to: str, text: str) -> None:
        await workflow.execute_activity(
            activity,
            Step(step, to, text, self._request.rehearsal),
            summary=f"{step}: {to}",
            start_to_close_timeout=timedelta(minutes=3),
            # A worker that dies is noticed by its missing heartbeat, long before the activity's own limit.
            heartbeat_timeout=timedelta(seconds=10),
            # Without a last attempt: telling and writing down must happen.
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
        )


@workflow.defn
class ApprovalWithEscalation(_Approval):
    """Asks a chain of approvers, each when the one before has not decided in time; expires after the last."""

    @workflow.init
    def __init__(self, request: Request) -> None:
        self._receive(request)

    @workflow.run
    async def run(self, request: Request) -> State:
        """From the request to its decision, or to its end without one."""
        await self._do("audit", "requested", request.requested_by, request.subject)
        for number, approver in enumerate(request.approvers, start=1):
            if await self._ask(approver, number):
                break
        return await self._close()


@workflow.defn
class SimpleApproval(_Approval):
    """Asks one approver; expires when they do not decide in time."""

    @workflow.init
    def __init__(self, request: Request) -> None:
        self._receive(request)

    @workflow.run
    async def run(self, request: Request) -> State:
        """From the request to its decision, or to its end without one."""
        await self._do("audit", "requested", request.requested_by, request.subject)
        await self._ask(request.approvers[0], 1)
        return await self._close()


WORKFLOWS: list[type] = [ApprovalWithEscalation, SimpleApproval]
