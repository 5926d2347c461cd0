# SPDX-License-Identifier: GPL-3.0-or-later
"""A Temporal frontend in memory, with the manners of the real one, and a way to run modules against it."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from datetime import timedelta
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.module_utils._errors import Kind, TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

Json = dict[str, t.Any]
EMPTY: Json = {
    "description": "",
    "owner_email": "",
    "data": {},
    "history_archival_state": "disabled",
    "history_archival_uri": "",
    "visibility_archival_state": "disabled",
    "visibility_archival_uri": "",
}


class FakeTemporal:
    """Implements what modules call. ``failing`` maps a method to the kind of error that it raises."""

    def __init__(self, **namespaces: Json) -> None:
        self.present: dict[str, Json] = {name: {**EMPTY, **fields} for name, fields in namespaces.items()}
        self.failing: dict[str, Kind] = {}
        self.calls: list[str] = []
        self.listed: dict[tuple[str, str, str], list[Json]] = {}
        self.cluster: Json = {"version": "1.32.2", "history_shards": 512, "cluster_name": "active"}
        self.healthy = True

    def _call(self, method: str, subject: str = "") -> None:
        self.calls.append(f"{method} {subject}".strip())
        kind = self.failing.get(f"{method} {subject}".strip()) or self.failing.get(method)
        if kind:
            raise TemporalError(kind, f"Temporal at fake:7233: cannot {method}.")

    def __enter__(self) -> FakeTemporal:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def close(self) -> None:
        return None

    def namespaces(self) -> dict[str, Json]:
        self._call("namespaces")
        return {name: dict(fields) for name, fields in self.present.items()}

    def register_namespace(self, name: str, fields: t.Mapping[str, t.Any]) -> None:
        self._call("register", name)
        assert name not in self.present
        assert fields["retention"] > 0
        self.present[name] = {**EMPTY, **fields}

    def update_namespace(self, name: str, fields: t.Mapping[str, t.Any]) -> None:
        self._call("update", name)
        have = self.present[name]
        for key, value in fields.items():
            if key == "data":
                have["data"] = {**have["data"], **value}
            elif value:  # the real one cannot take a text away
                have[key] = value

    def delete_namespace(self, name: str) -> None:
        self._call("delete", name)
        del self.present[name]

    def wait_for_namespaces(self, names: t.Iterable[str], seconds: float) -> list[str]:
        return list(names) if "wait" in self.failing else []

    def serving(self, timeout: timedelta | None = None) -> bool:
        self._call("serving")
        return self.healthy

    def read_namespace(self, name: str, timeout: timedelta | None = None) -> None:
        self._call("read", name)

    def history_answers(self, namespace: str, timeout: timedelta | None = None) -> bool:
        self._call("history", namespace)
        return True

    def cluster_info(self) -> Json:
        self._call("cluster")
        return self.cluster

    def pollers(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        self._call("pollers")
        return [self.listed.get(one, []) for one in wanted]


def run(
    main: t.Callable[[], None],
    temporal: FakeTemporal | Kind | None = None,
    *,
    check: bool = False,
    **options: t.Any,
) -> Json:
    """Run a module as Ansible would and return its result.

    :param temporal: what the module connects to; an error kind when connecting fails so.
    """

    def connect(_module: TemporalModule, **_options: t.Any) -> t.Any:
        if isinstance(temporal, str):
            raise TemporalError(temporal, f"Temporal at fake:7233: cannot connect ({temporal}).")
        return temporal

    out = io.StringIO()
    with (
        patch_module_args({**options, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        mock.patch.object(TemporalModule, "connect", connect),
        mock.patch.object(TemporalModule, "has_sdk", return_value=temporal != "sdk_missing"),
        pytest.raises(SystemExit),
    ):
        main()
    result: Json = json.loads(out.getvalue())
    return result
