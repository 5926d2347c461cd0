# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Temporal frontend as plain data.

Private to this collection. Nothing outside this file touches the SDK's objects: what comes out are dictionaries,
numbers and :class:`TemporalError`.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import time
import typing as t
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._client_deployments import Deployments
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError, explain

T = t.TypeVar("T")
Json = dict[str, t.Any]

PROBE_WORKFLOW: t.Final = "durable-temporal-probe"  # a workflow id that nobody starts
SYSTEM_NAMESPACE: t.Final = "temporal-system"
SYSTEM_TASK_QUEUE: t.Final = "default-worker-tq"  # polled by the server's own worker role

# The options that name or hold certificates and keys.
PEM = ("tls_ca_file", "tls_ca_data", "tls_cert_file", "tls_cert_data", "tls_key_file", "tls_key_data")


@dataclass(frozen=True)
class Settings:
    """How to connect. Files are read when the connection is made."""

    address: str
    tls: bool
    tls_ca_file: str | None
    tls_ca_data: str | None
    tls_cert_file: str | None
    tls_cert_data: str | None
    tls_key_file: str | None
    tls_key_data: str | None
    tls_server_name: str | None
    api_key: str | None
    timeout: timedelta

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Settings:
        """From module parameters.

        :raises TemporalError: ``option`` when they contradict themselves.
        """
        address = str(params["address"])
        if not re.match(r"^(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):\d{1,5}$", address):
            raise TemporalError("option", f"address is '{address}': expected host:port such as 127.0.0.1:7233.")
        given = [name for name in (*PEM, "tls_server_name", "api_key") if params.get(name)]
        tls = params.get("tls")
        if tls is False and [name for name in given if name != "api_key"]:
            raise TemporalError(
                "option", f"tls is off, but {given[0]} is set. Set tls to true or leave {given[0]} out."
            )
        if float(params["timeout_seconds"]) <= 0:
            raise TemporalError("option", f"timeout_seconds is {params['timeout_seconds']}: expected more than 0.")
        return cls(
            address=address,
            tls=bool(given) if tls is None else bool(tls),
            **{name: params.get(name) or None for name in PEM},
            tls_server_name=params.get("tls_server_name"),
            api_key=params.get("api_key"),
            timeout=timedelta(seconds=float(params["timeout_seconds"])),
        )


class Temporal(Deployments):
    """A connection to one frontend. Every method blocks, returns plain data and raises :class:`TemporalError`.

    Times are seconds; points in time are seconds since the epoch.
    """

    _quiet: t.ClassVar[t.Any] = None  # one runtime a process: each has threads of its own

    def __init__(self, settings: Settings, *, retry: bool = True) -> None:
        """Connect.

        :param retry: let the SDK repeat calls that fail for a moment. Callers that poll turn it off.
        """
        # Here and not at the top: modules must load, and say what is missing, where there is no SDK.
        service, runtime = importlib.import_module("temporalio.service"), importlib.import_module("temporalio.runtime")
        (
            self._common,
            self._deployment,
            self._enums,
            self._namespace,
            self._operator,
            self._taskqueue,
            self._workflow,
        ) = (
            importlib.import_module(f"temporalio.api.{name}.v1")
            for name in (
                "common",
                "deployment",
                "enums",
                "namespace",
                "operatorservice",
                "taskqueue",
                "workflowservice",
            )
        )
        self.settings = settings
        self._retry = retry
        self._loop = asyncio.new_event_loop()
        if Temporal._quiet is None:
            # The SDK's core would log to stdout, where Ansible expects nothing but the result.
            Temporal._quiet = runtime.Runtime(telemetry=runtime.TelemetryConfig(logging=None))
        config = service.ConnectConfig(
            target_host=settings.address,
            tls=self._tls(service),
            api_key=settings.api_key,
            runtime=Temporal._quiet,
            identity="durable.temporal",
        )
        try:
            self._client = self._run("connect", service.ServiceClient.connect(config))
        except TemporalError:
            self._loop.close()
            raise

    @classmethod
    def used(cls) -> bool:
        """Whether the SDK's threads run in this process."""
        return cls._quiet is not None

    def _tls(self, service: t.Any) -> t.Any:
        if not self.settings.tls:
            return False
        return service.TLSConfig(
            server_root_ca_cert=pem("tls_ca", self.settings),
            client_cert=pem("tls_cert", self.settings),
            client_private_key=pem("tls_key", self.settings),
            domain=self.settings.tls_server_name,
        )

    def close(self) -> None:
        """Forget the connection."""
        if not self._loop.is_closed():
            self._loop.close()

    def __enter__(self) -> Temporal:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _run(self, doing: str, call: t.Coroutine[t.Any, t.Any, T], seconds: float | None = None) -> T:
        limit = self.settings.timeout.total_seconds() if seconds is None else seconds
        try:
            # The SDK has deadlines of its own; a connection that hangs in the handshake has none.
            return self._loop.run_until_complete(asyncio.wait_for(call, limit + 1))
        except Exception as error:
            raise explain(error, self.settings.address, doing, limit) from error

    async def _call(self, method: t.Any, request: t.Any, timeout: timedelta | None = None) -> t.Any:
        return await method(request, retry=self._retry, timeout=timeout or self.settings.timeout)

    # -- cluster

    def cluster_info(self) -> Json:
        """``{"version": "1.32.2", "history_shards": 512, "cluster_name", "cluster_id", "persistence", ...}``."""
        request = self._workflow.GetClusterInfoRequest()
        info = self._run("read the cluster", self._call(self._client.workflow_service.get_cluster_info, request))
        return {
            "version": info.server_version,
            "history_shards": int(info.history_shard_count),
            "cluster_name": info.cluster_name,
            "cluster_id": info.cluster_id,
            "persistence": info.persistence_store,
            "visibility": info.visibility_store,
        }

    def serving(self, timeout: timedelta | None = None) -> bool:
        """Whether the frontend's own health service says SERVING."""
        limit = timeout or self.settings.timeout
        return bool(
            self._run("read the health", self._client.check_health(retry=False, timeout=limit), limit.total_seconds())
        )

    def read_namespace(self, name: str, timeout: timedelta | None = None) -> None:
        """Read one namespace from the database, past all caches."""
        request = self._workflow.DescribeNamespaceRequest(namespace=name)
        method = self._client.workflow_service.describe_namespace
        self._run(f"read namespace {name}", self._call(method, request, timeout))

    def history_answers(self, namespace: str, timeout: timedelta | None = None) -> bool:
        """Whether the history role answers for a namespace: it is asked for a workflow that does not exist.

        ``False`` when the namespace is not known yet.
        """
        execution = self._common.WorkflowExecution(workflow_id=PROBE_WORKFLOW)
        request = self._workflow.DescribeWorkflowExecutionRequest(namespace=namespace, execution=execution)
        method = self._client.workflow_service.describe_workflow_execution
        try:
            self._run(f"ask the history role about namespace {namespace}", self._call(method, request, timeout))
        except TemporalError as error:
            if error.kind == "namespace_not_found":
                return False
            if error.kind != "not_found":
                raise
        return True

    # -- namespaces

    def namespaces(self) -> dict[str, Json]:
        """All namespaces that are not deleted, by name, in the shape of the ``namespace`` module's items."""

        async def read() -> dict[str, Json]:
            found: dict[str, Json] = {}
            token = b""
            while True:
                request = self._workflow.ListNamespacesRequest(page_size=500, next_page_token=token)
                page = await self._call(self._client.workflow_service.list_namespaces, request)
                for item in page.namespaces:
                    if item.namespace_info.state != self._enums.NamespaceState.NAMESPACE_STATE_DELETED:
                        found[item.namespace_info.name] = self._plain(item)
                token = page.next_page_token
                if not token:
                    return found

        return self._run("list the namespaces", read(), seconds=6 * self.settings.timeout.total_seconds())

    def _plain(self, item: t.Any) -> Json:
        info, config = item.namespace_info, item.config
        return {
            "description": info.description,
            "owner_email": info.owner_email,
            "retention": int(config.workflow_execution_retention_ttl.seconds),
            "data": dict(info.data),
            "history_archival_state": self._archival(config.history_archival_state),
            "history_archival_uri": config.history_archival_uri,
            "visibility_archival_state": self._archival(config.visibility_archival_state),
            "visibility_archival_uri": config.visibility_archival_uri,
        }

    def _archival(self, value: int) -> str:
        return "enabled" if value == self._enums.ArchivalState.ARCHIVAL_STATE_ENABLED else "disabled"

    def _archival_value(self, fields: t.Mapping[str, t.Any], name: str) -> int:
        states = self._enums.ArchivalState
        value: int = {
            "enabled": states.ARCHIVAL_STATE_ENABLED,
            "disabled": states.ARCHIVAL_STATE_DISABLED,
        }.get(fields.get(name, ""), states.ARCHIVAL_STATE_UNSPECIFIED)
        return value

    def register_namespace(self, name: str, fields: t.Mapping[str, t.Any]) -> None:
        """Create a namespace. ``fields`` as :meth:`namespaces` returns them; ``retention`` is required."""
        request = self._workflow.RegisterNamespaceRequest(
            namespace=name,
            description=fields.get("description") or "",
            owner_email=fields.get("owner_email") or "",
            workflow_execution_retention_period=timedelta(seconds=fields["retention"]),
            data=fields.get("data") or {},
            history_archival_state=self._archival_value(fields, "history_archival_state"),
            history_archival_uri=fields.get("history_archival_uri") or "",
            visibility_archival_state=self._archival_value(fields, "visibility_archival_state"),
            visibility_archival_uri=fields.get("visibility_archival_uri") or "",
        )
        self._run(f"create namespace {name}", self._call(self._client.workflow_service.register_namespace, request))

    def update_namespace(self, name: str, fields: t.Mapping[str, t.Any]) -> None:
        """Update the given fields of a namespace; the server keeps the others."""
        config = self._namespace.NamespaceConfig(
            history_archival_state=self._archival_value(fields, "history_archival_state"),
            history_archival_uri=fields.get("history_archival_uri") or "",
            visibility_archival_state=self._archival_value(fields, "visibility_archival_state"),
            visibility_archival_uri=fields.get("visibility_archival_uri") or "",
        )
        if "retention" in fields:
            config.workflow_execution_retention_ttl.FromSeconds(fields["retention"])
        request = self._workflow.UpdateNamespaceRequest(
            namespace=name,
            update_info=self._namespace.UpdateNamespaceInfo(
                description=fields.get("description") or "",
                owner_email=fields.get("owner_email") or "",
                data=fields.get("data") or {},
            ),
            config=config,
        )
        self._run(f"update namespace {name}", self._call(self._client.workflow_service.update_namespace, request))

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace with all its workflows. The name is free at once, the data goes in the background."""
        request = self._operator.DeleteNamespaceRequest(namespace=name)
        limit = 6 * self.settings.timeout
        call = self._call(self._client.operator_service.delete_namespace, request, limit)
        self._run(f"delete namespace {name}", call, seconds=limit.total_seconds())

    def wait_for_namespaces(self, names: t.Iterable[str], seconds: float) -> list[str]:
        """Wait until workflows can be started in some namespaces; returns those in which they still cannot."""
        waiting, deadline = list(names), time.monotonic() + seconds
        while True:
            waiting = [name for name in waiting if not self.history_answers(name)]
            if not waiting or time.monotonic() >= deadline:
                return waiting
            time.sleep(0.2)

    # -- task queues

    def pollers(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        """Pollers of task queues, in the order of ``wanted``.

        A worker's polls reach any partition of its queue, so each partition is asked.

        :param wanted: (namespace, task queue, ``workflow`` or ``activity``).
        :returns: for each, a list of ``{"identity", "last_access", "build_id", "deployment"}`` by identity.
        """

        async def read() -> list[list[Json]]:
            return list(await asyncio.gather(*(self._pollers(*one) for one in wanted)))

        names = ", ".join(sorted({queue for _namespace, queue, _type in wanted}))
        return self._run(f"read the pollers of {names}", read(), 2 * self.settings.timeout.total_seconds())

    async def _pollers(self, namespace: str, queue: str, kind: str) -> list[Json]:
        service = self._client.workflow_service
        request = self._workflow.ListTaskQueuePartitionsRequest(
            namespace=namespace, task_queue=self._taskqueue.TaskQueue(name=queue)
        )
        listed = await self._call(service.list_task_queue_partitions, request)
        rows = listed.activity_task_queue_partitions if kind == "activity" else listed.workflow_task_queue_partitions
        types = self._enums.TaskQueueType
        number = types.TASK_QUEUE_TYPE_ACTIVITY if kind == "activity" else types.TASK_QUEUE_TYPE_WORKFLOW
        answers = await asyncio.gather(
            *(
                self._call(
                    service.describe_task_queue,
                    self._workflow.DescribeTaskQueueRequest(
                        namespace=namespace, task_queue=self._taskqueue.TaskQueue(name=name), task_queue_type=number
                    ),
                )
                for name in sorted({queue, *(row.key for row in rows)})
            )
        )
        found: dict[str, Json] = {}
        for poller in (poller for answer in answers for poller in answer.pollers):
            last = poller.last_access_time.ToNanoseconds() / 1e9
            if poller.identity not in found or found[poller.identity]["last_access"] < last:
                deployment = poller.deployment_options
                found[poller.identity] = {
                    "identity": poller.identity,
                    "last_access": last,
                    "build_id": deployment.build_id or poller.worker_version_capabilities.build_id,
                    "deployment": deployment.deployment_name,
                }
        return [found[identity] for identity in sorted(found)]


def pem(option: str, settings: Settings) -> bytes | None:
    """A certificate or key, which is given as a file or as its text."""
    data, path = getattr(settings, f"{option}_data"), getattr(settings, f"{option}_file")
    if data is not None:
        return str(data).encode()
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TemporalError(
            "option", f"{option}_file is {path}: {error.strerror}. Expected a PEM file on this host."
        ) from error
