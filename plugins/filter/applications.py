# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules and templates need to know of applications."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils import _registry
from ansible_collections.durable.temporal.plugins.module_utils._application import (
    InvalidApplication,
    normalise,
    programs,
)
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import ecosystem, processes
from ansible_collections.durable.temporal.plugins.module_utils._systemd import processes as instances
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import with_secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from jinja2 import pass_context
from jinja2.runtime import Context

VIEWS = ("full", "host", "release", "replay", "pm2", "systemd", "status")
RELEASE = ("name", "root", "user", "group", "source", "keep_releases", "dependencies", "install_scripts", "writable")
REPLAY = ("name", "root", "user", "group", "replay_command")
HOST = ("name", "runtime", "user", "group", "unit", "home", "pm2_home", "releases", "shared", "configuration", "logs")
POLLERS = ("temporal_address", "namespace", "task_queues", "poller_identity")
PM2 = ("name", "user", "group", "unit", "pm2_home", "current", "ecosystem", "health_url", "candidate", *POLLERS)
SYSTEMD = ("name", "releases", "current", "configuration", "health_url", "candidate")
STATUS = ("name", "runtime", "user", "pm2_home", "configuration", "health_url", "root")


def _view(
    context: Context,
    application: dict[str, t.Any],
    view: str,
    environment: t.Mapping[str, t.Any] | None,
    bind_address: str,
) -> dict[str, t.Any]:
    if view == "release":
        artifact = {"artifact": application["artifact"] or None, "sha256": application["artifact_sha256"] or None}
        record = f"{_registry.RECORDS}/{application['name']}.json"
        started = {"programs": programs(application), "executed": application["runtime"] == "systemd"}
        return {**{k: application[k] for k in RELEASE}, **artifact, **started, "record": record}
    if view == "replay":
        return {k: application[k] for k in REPLAY}
    if view == "host":
        return {
            **{k: application[k] for k in (*HOST, "ecosystem")},
            "record": _registry.text(_registry.record(application)),
        }
    if view == "pm2":
        wanted = processes(ecosystem(*with_secrets(context, application, environment)))
        return {**{k: application[k] for k in PM2}, "processes": wanted}
    if view == "systemd":
        builds = application["versioning"] == "worker_deployment"
        wanted = instances(*with_secrets(context, application, environment), bind_address)
        return {**{k: application[k] for k in SYSTEMD}, "builds": builds, "processes": wanted}
    if view == "status":
        shown = ("name", "instances", "socket")
        wanted = [{k: process[k] for k in shown if k in process} for process in application["processes"]]
        return {**{k: application[k] for k in STATUS}, "processes": wanted}
    return application


def _with_log_links(rows: list[dict[str, t.Any]], found: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Each row with the links to its logs in the directory above, where operators look for them. Of processes that have
    one name, that of the first application has the links.
    """
    taken: set[str] = set()
    for row, application in zip(rows, found, strict=True):
        names = [p["name"] for p in application["processes"] if application["runtime"] == "pm2"]
        own = [name for name in names if name not in taken]
        taken |= set(own)
        files = [f"{name}-{stream}.log" for name in own for stream in ("out", "error")]
        row["log_links"] = {file: f"{application['name']}/{file}" for file in files}
    return rows


@pass_context
def applications(
    context: Context,
    declared: t.Any,
    view: str = "full",
    environment: t.Mapping[str, t.Any] | None = None,
    bind_address: str = "127.0.0.1",
) -> list[dict[str, t.Any]]:
    """Applications with their defaults and paths, or the part of them that a module takes.

    :param declared: list of what users write in ``topology_applications``.
    :param view: one of ``VIEWS``. None holds secrets: ``full`` has references to them. ``pm2`` and ``systemd`` leave out what
        another runtime runs; only they ask for secrets, which change digests.
    :param environment: variables that every process gets; needed for the runtimes, as it changes digests.
    :param bind_address: where sockets listen, for ``systemd``.
    """
    if view not in VIEWS:
        raise AnsibleFilterError(f"applications: there is no view {view!r}; expected one of {', '.join(VIEWS)}")
    if not isinstance(declared, list) or not all(isinstance(a, dict) for a in declared):
        raise AnsibleFilterError(f"applications: found {type(declared).__name__}, expected a list of dictionaries")
    try:
        found = [normalise(a) for a in declared]
        wanted = [a for a in found if view not in ("pm2", "systemd") or a["runtime"] == view]
        wanted = [a for a in wanted if view != "replay" or a["replay_command"]]
        rows = [_view(context, a, view, environment, bind_address) for a in wanted]
        return _with_log_links(rows, wanted) if view == "host" else rows
    except (InvalidApplication, SecretError, ValueError, TypeError) as error:
        raise AnsibleFilterError(f"applications: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"applications": applications}
