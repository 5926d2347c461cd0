# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker deployments of a Temporal frontend as plain data.

Private to this collection. A part of :class:`_client.Temporal`, which connects and makes the calls.
"""

from __future__ import annotations

import asyncio
import json
import time
import typing as t
from datetime import datetime, timezone

from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError

Json = dict[str, t.Any]

IDENTITY: t.Final = "durable.temporal"  # who the server says has changed a deployment
# The server runs deployments as workflows of its own: reading and changing them takes longer than other calls.
SLOWER: t.Final = 3
# Calls that the server limits for a moment; workers that register together do that.
BUSY_RETRIES: t.Final = 4


class Deployments:
    """What the server knows of worker deployments. A deployment is named by (namespace, name).

    Times are seconds since the epoch, and ``None`` for what has not happened.
    """

    settings: t.Any
    _client: t.Any
    _enums: t.Any
    _deployment: t.Any
    _workflow: t.Any
    _run: t.Callable[..., t.Any]
    _call: t.Callable[..., t.Any]

    def worker_deployments(self, wanted: t.Sequence[tuple[str, str]]) -> list[Json | None]:
        """Deployments in the order of ``wanted``; ``None`` for one that no worker has registered.

        Each is ``{"current": build id or "", "ramping": {"build_id", "percentage"} or None, "token": bytes,
        "manager", "modifier", "settled": whether all task queues know the routing, "versions": {build id: {"status":
        inactive|current|ramping|draining|drained, "created", "since" (it ramps or is current), "drainage_changed",
        "drainage_checked"}}}``.
        """

        async def read() -> list[Json | None]:
            return list(await asyncio.gather(*(self._read_deployment(*one) for one in wanted)))

        found: list[Json | None] = self._slowly("read worker deployments", read())
        return found

    def _slowly(self, doing: str, call: t.Coroutine[t.Any, t.Any, t.Any]) -> t.Any:
        return self._run(doing, call, SLOWER * self.settings.timeout.total_seconds())

    async def _ask(self, method: t.Any, request: t.Any) -> t.Any:
        return await self._call(method, request, SLOWER * self.settings.timeout)

    async def _read_deployment(self, namespace: str, name: str) -> Json | None:
        request = self._workflow.DescribeWorkerDeploymentRequest(namespace=namespace, deployment_name=name)
        try:
            answer = await self._ask(self._client.workflow_service.describe_worker_deployment, request)
        except Exception as error:
            # A namespace that does not exist is another matter.
            text = str(getattr(error, "message", ""))
            if getattr(getattr(error, "status", None), "name", "") == "NOT_FOUND" and "Deployment" in text:
                return None
            raise
        info = answer.worker_deployment_info
        routing = info.routing_config
        ramping = routing.ramping_deployment_version.build_id
        return {
            "current": routing.current_deployment_version.build_id,
            "ramping": {"build_id": ramping, "percentage": _percentage(routing.ramping_version_percentage)}
            if ramping
            else None,
            "token": answer.conflict_token,
            "manager": info.manager_identity,
            "modifier": info.last_modifier_identity,
            "settled": info.routing_config_update_state
            != self._enums.RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS,
            "versions": {
                one.deployment_version.build_id: {
                    "status": self._status(one.status),
                    "created": _seconds(one, "create_time"),
                    "since": _seconds(one, "ramping_since_time") or _seconds(one, "current_since_time"),
                    "drainage_changed": _seconds(one.drainage_info, "last_changed_time"),
                    "drainage_checked": _seconds(one.drainage_info, "last_checked_time"),
                }
                for one in info.version_summaries
            },
        }

    def _status(self, value: int) -> str:
        name: str = self._enums.WorkerDeploymentVersionStatus.Name(value)
        return name.removeprefix("WORKER_DEPLOYMENT_VERSION_STATUS_").lower()

    def version_task_queues(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        """Task queues of versions, in the order of ``wanted``.

        :param wanted: (namespace, deployment, build id).
        :returns: for each, rows of ``{"name", "type", "backlog", "backlog_age_seconds"}``; none for an unknown version.
            ``type`` is ``workflow``, ``activity`` or ``nexus``.
        """

        async def read() -> list[list[Json]]:
            return list(await asyncio.gather(*(self._version_task_queues(*one) for one in wanted)))

        found: list[list[Json]] = self._slowly("read the task queues of worker deployment versions", read())
        return found

    async def _version_task_queues(self, namespace: str, name: str, build_id: str) -> list[Json]:
        request = self._workflow.DescribeWorkerDeploymentVersionRequest(
            namespace=namespace, deployment_version=self._version(name, build_id), report_task_queue_stats=True
        )
        try:
            answer = await self._ask(self._client.workflow_service.describe_worker_deployment_version, request)
        except Exception as error:
            text = str(getattr(error, "message", ""))
            if getattr(getattr(error, "status", None), "name", "") == "NOT_FOUND" and "Deployment" in text:
                return []
            raise
        types = self._enums.TaskQueueType
        return [
            {
                "name": row.name,
                "type": types.Name(row.type).removeprefix("TASK_QUEUE_TYPE_").lower(),
                "backlog": int(row.stats.approximate_backlog_count),
                "backlog_age_seconds": round(row.stats.approximate_backlog_age.ToNanoseconds() / 1e9, 1),
            }
            for row in answer.version_task_queues
        ]

    def _version(self, name: str, build_id: str) -> t.Any:
        return self._deployment.WorkerDeploymentVersion(deployment_name=name, build_id=build_id)

    def set_current_version(self, namespace: str, name: str, build_id: str, token: bytes) -> bytes:
        """Send new workflows to a build, or with an empty build id to workers without one.

        :param token: of the deployment as it was read; the call fails when somebody has changed it since.
        :returns: the next token.
        """
        request = self._workflow.SetWorkerDeploymentCurrentVersionRequest(
            namespace=namespace, deployment_name=name, build_id=build_id, conflict_token=token, identity=IDENTITY
        )
        doing = f"make build {build_id or 'none'} the current version of worker deployment {name} in {namespace}"
        answer = self._patient(doing, self._client.workflow_service.set_worker_deployment_current_version, request)
        return bytes(answer.conflict_token)

    def set_ramping_version(self, namespace: str, name: str, build_id: str, percentage: float, token: bytes) -> bytes:
        """Send a share of new workflows to a build; with an empty build id and 0, none ramps any more.

        :param token: as for :meth:`set_current_version`.
        :returns: the next token.
        """
        request = self._workflow.SetWorkerDeploymentRampingVersionRequest(
            namespace=namespace,
            deployment_name=name,
            build_id=build_id,
            percentage=percentage,
            conflict_token=token,
            identity=IDENTITY,
        )
        doing = (
            f"ramp worker deployment {name} in {namespace} to {percentage:g} % of build {build_id}"
            if build_id
            else f"end the ramp of worker deployment {name} in {namespace}"
        )
        answer = self._patient(doing, self._client.workflow_service.set_worker_deployment_ramping_version, request)
        return bytes(answer.conflict_token)

    def delete_version(self, namespace: str, name: str, build_id: str) -> None:
        """Delete a version. The server refuses while it is current, ramping or draining, or has pollers."""
        request = self._workflow.DeleteWorkerDeploymentVersionRequest(
            namespace=namespace, deployment_version=self._version(name, build_id), identity=IDENTITY
        )
        doing = f"delete build {build_id} of worker deployment {name} in {namespace}"
        self._patient(doing, self._client.workflow_service.delete_worker_deployment_version, request)

    def _patient(self, doing: str, method: t.Any, request: t.Any) -> t.Any:
        """Call, and call again while the server is only busy with the same deployment."""
        for attempt in range(BUSY_RETRIES + 1):
            try:
                return self._slowly(doing, self._ask(method, request))
            except TemporalError as error:
                if error.kind != "limit" or attempt == BUSY_RETRIES:
                    raise
                time.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")

    def workflow_counts(self, wanted: t.Sequence[tuple[str, str]]) -> list[dict[str, int]]:
        """How many workflows there are by status, such as ``{"Running": 3, "Completed": 97}``.

        :param wanted: (namespace, visibility query).
        """

        async def count(namespace: str, query: str) -> dict[str, int]:
            request = self._workflow.CountWorkflowExecutionsRequest(
                namespace=namespace, query=f"{query} GROUP BY ExecutionStatus"
            )
            answer = await self._ask(self._client.workflow_service.count_workflow_executions, request)
            return {json.loads(group.group_values[0].data): int(group.count) for group in answer.groups}

        async def read() -> list[dict[str, int]]:
            return list(await asyncio.gather(*(count(*one) for one in wanted)))

        found: list[dict[str, int]] = self._slowly("count workflows", read())
        return found


def _seconds(message: t.Any, field: str) -> float | None:
    return round(getattr(message, field).ToNanoseconds() / 1e9, 3) if message.HasField(field) else None


def _percentage(value: float) -> float:
    # The server keeps 32 bits: 33.3 comes back as 33.29999923706055.
    return round(float(value), 4)


def timestamp(seconds: float) -> str:
    """A point in time for a visibility query."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
