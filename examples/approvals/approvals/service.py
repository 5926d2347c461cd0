# SPDX-License-Identifier: GPL-3.0-or-later
"""What the HTTP API needs from Temporal, and what may go wrong with it, in words."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from .config import Config
from .model import Decision, Request, State, objection
from .workflows import ApprovalWithEscalation, SimpleApproval, _Approval

WORKFLOW_PREFIX = "approval-"
_HEALTH = timedelta(seconds=2)
_QUERY = timedelta(seconds=3)
_CALL = timedelta(seconds=10)
_ABSENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


class UnknownApproval(Exception):
    """There is no such approval."""


class Refused(Exception):
    """It is there and cannot take this; the message says why."""


class Unavailable(Exception):
    """Temporal or its workers do not answer now; later is worth a try."""


class Approvals:
    """The approvals of one namespace."""

    def __init__(self, client: Client | None, config: Config) -> None:
        self._client = client
        self._config = config

    async def check(self) -> None:
        """Returns when Temporal answers; raises :class:`Unavailable`."""
        try:
            await self._connected().service_client.check_health(timeout=_HEALTH)
        except (RPCError, RuntimeError) as error:
            raise self._translated(error) from error

    async def start(self, request: Request) -> dict[str, Any]:
        """Starts an approval; the same one again while it is open finds the open one."""
        kind = ApprovalWithEscalation if request.kind == "escalation" else SimpleApproval
        try:
            handle = await self._connected().start_workflow(
                kind.__name__,
                request,
                id=_workflow_id(request.id),
                task_queue=self._config.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=request.subject,
                rpc_timeout=_CALL,
            )
        except WorkflowAlreadyStartedError as error:
            raise Refused(f"The approval {request.id} has been closed already") from error
        except (RPCError, RuntimeError) as error:
            raise self._translated(error) from error
        return {"workflowId": handle.id, "runId": handle.first_execution_run_id}

    async def describe(self, approval: str) -> dict[str, Any]:
        """How it stands; ``state`` is None while no worker answers."""
        handle = self._handle(approval)
        try:
            found = await handle.describe(rpc_timeout=_CALL)
            state: State | None
            if found.status == WorkflowExecutionStatus.COMPLETED:
                state = await handle.result(rpc_timeout=_CALL)
            else:
                state = await self._query(handle)
        except RPCError as error:
            raise self._translated(error, approval) from error
        return {
            "workflowId": found.id,
            "runId": found.run_id,
            "requestId": approval,
            "status": found.status.name if found.status else "UNKNOWN",
            "startedAt": found.start_time.isoformat(),
            "closedAt": found.close_time.isoformat() if found.close_time else None,
            "state": asdict(state) if state else None,
            "url": f"{self._config.ui_url}/namespaces/{quote(self._config.namespace, safe='')}/workflows/{found.id}",
        }

    async def decide(self, approval: str, decision: Decision) -> dict[str, Any]:
        """Hands a decision over and returns the state after it; the decision that was taken already is welcome."""
        handle = self._handle(approval)
        try:
            state = await handle.execute_update(_Approval.decide, decision, rpc_timeout=_CALL)
        except WorkflowUpdateFailedError as error:
            raise Refused(getattr(error.cause, "message", str(error.cause))) from error
        except RPCTimeoutOrCancelledError as error:
            raise Unavailable(
                f"No worker on {self._config.task_queue} answered in time; the same decision may be sent again"
            ) from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise self._translated(error, approval) from error
            # Temporal answers alike for what never was and for what is closed.
            state = await self._closed(handle, approval)
            if reason := objection(state, decision):
                raise Refused(reason) from error
        return asdict(state)

    async def _closed(self, handle: WorkflowHandle[Any, State], approval: str) -> State:
        try:
            found = await handle.describe(rpc_timeout=_CALL)
            if found.status == WorkflowExecutionStatus.COMPLETED:
                return await handle.result(rpc_timeout=_CALL)
        except RPCError as error:
            raise self._translated(error, approval) from error
        word = found.status.name.lower() if found.status else "closed"
        raise Refused(f"The approval {approval} is {word} and takes no decision")

    async def _query(self, handle: WorkflowHandle[Any, State]) -> State | None:
        try:
            return await handle.query(_Approval.state, rpc_timeout=_QUERY)
        except RPCError:
            return None  # a query needs a worker; the rest is worth showing without one

    def _handle(self, approval: str) -> WorkflowHandle[Any, State]:
        return self._connected().get_workflow_handle(_workflow_id(approval), result_type=State)

    def _connected(self) -> Client:
        if self._client is None:
            raise Unavailable("Temporal is switched off here by ENABLE_TEMPORAL=false")
        return self._client

    def _translated(self, error: Exception, approval: str = "") -> Exception:
        """The error in the words of this module; itself when nobody expected it."""
        if isinstance(error, RPCError) and error.status == RPCStatusCode.NOT_FOUND and approval:
            return UnknownApproval(f"There is no approval {approval}")
        if not isinstance(error, RPCError) or error.status in _ABSENT:  # a first connection fails with RuntimeError
            return Unavailable(f"Temporal at {self._config.address} cannot be reached: {error}")
        return error


def _workflow_id(approval: str) -> str:
    return f"{WORKFLOW_PREFIX}{approval}"
