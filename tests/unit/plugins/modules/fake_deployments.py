# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker deployments in memory, with the manners of the real server."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import FakeTemporal, Json

SAID = "Temporal at fake:7233: cannot do that: the server's state does not allow this now. The server says: "
KEY = ("orders", "orders")


class FakeDeployments(FakeTemporal):
    """One worker deployment, ``orders`` in namespace ``orders``; ``polling`` are the builds whose workers run."""

    def __init__(self, current: str = "", ramping: Json | None = None, **versions: str) -> None:
        super().__init__()
        self.exists = True
        self.current, self.ramping, self.modifier = current, ramping, "durable.temporal"
        self.statuses = {**versions}
        self.polling = set(versions)
        self.token = 1
        self.counts: list[dict[str, int]] = []
        self.backlog_age = 0.0
        self.queries: list[tuple[str, str]] = []
        self.unsettled = 0

    def _routed(self, build: str) -> str:
        if build == self.current:
            return "current"
        if self.ramping and self.ramping["build_id"] == build:
            return "ramping"
        return "draining" if self.statuses[build] in ("current", "ramping") else self.statuses[build]

    def _change(self, token: bytes) -> bytes:
        if token != b"%d" % self.token:
            raise TemporalError("invalid", SAID + "conflict token mismatch")
        self.token += 1
        self.statuses = {build: self._routed(build) for build in self.statuses}
        return b"%d" % self.token

    def worker_deployments(self, wanted: t.Sequence[tuple[str, str]]) -> list[Json | None]:
        self._call("deployments")
        self.statuses = {build: self._routed(build) for build in self.statuses}
        versions = {
            build: {"status": status, "created": 1.0, "since": 100.0 if status in ("current", "ramping") else None}
            for build, status in self.statuses.items()
        }
        self.unsettled -= 1
        found = {
            "current": self.current,
            "ramping": copy.deepcopy(self.ramping),
            "token": b"%d" % self.token,
            "manager": "",
            "modifier": self.modifier,
            "settled": self.unsettled < 0,
            "versions": versions,
        }
        return [copy.deepcopy(found) if key == KEY and self.exists else None for key in wanted]

    def version_task_queues(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        row = {"name": "orders", "type": "workflow", "backlog": 3, "backlog_age_seconds": self.backlog_age}
        return [[dict(row)] if build in self.statuses else [] for _namespace, _name, build in wanted]

    def pollers(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        self._call("pollers")
        return [[{"deployment": "orders", "build_id": build} for build in sorted(self.polling)] for _one in wanted]

    def set_current_version(self, namespace: str, name: str, build_id: str, token: bytes) -> bytes:
        self._call("current", build_id)
        assert not build_id or build_id in self.statuses
        self.current = build_id
        if self.ramping and self.ramping["build_id"] == build_id:
            self.ramping = None
        return self._change(token)

    def set_ramping_version(self, namespace: str, name: str, build_id: str, percentage: float, token: bytes) -> bytes:
        self._call("ramp", f"{build_id} {percentage:g}")
        assert not build_id or build_id != self.current
        self.ramping = {"build_id": build_id, "percentage": percentage} if build_id else None
        return self._change(token)

    def delete_version(self, namespace: str, name: str, build_id: str) -> None:
        self._call("delete", build_id)
        if build_id in self.polling or self.statuses[build_id] in ("current", "ramping", "draining"):
            raise TemporalError("invalid", SAID + f"version 'orders:{build_id}' cannot be deleted")
        del self.statuses[build_id]

    def workflow_counts(self, wanted: t.Sequence[tuple[str, str]]) -> list[dict[str, int]]:
        self._call("counts")
        self.queries = list(wanted)
        answers = [*self.counts, {}, {}, {}]
        return answers[: len(wanted)]
