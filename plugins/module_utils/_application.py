# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application is: one schema, its defaults, and where its things lie on a host.

Private to this collection. Roles and filters describe an application only through :func:`normalise`, so that the
runtime role, the deployment and the modules can never disagree about a path.
"""

from __future__ import annotations

import re
import typing as t

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PROCESS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

# What an application may leave out. Paths follow from its name.
DEFAULTS: dict[str, t.Any] = {
    "user": "workflow",
    "runtime": "pm2",
    "artifact": "",
    "artifact_sha256": "",
    "source": "",
    "namespace": "",
    "task_queues": [],
    "poller_identity": "",
    "temporal_address": "",
    "port": None,
    "health_url": "",
    "keep_releases": 5,
    "environment": {},
    "processes": [],
}

# The kill timeout must be longer than the time that the program gives its activities to finish: PM2's own 1600 ms kills
# them, and they run again. A process counts as started when it says so (wait_ready).
PROCESS_DEFAULTS: dict[str, t.Any] = {
    "instances": 1,
    "exec_mode": "fork",
    "args": "",
    "node_args": "",
    "max_memory_restart": "",
    "restart_delay": 3000,
    "max_restarts": 10,
    "min_uptime": "10s",
    "kill_timeout": 30000,
    "wait_ready": True,
    "listen_timeout": 15000,
    "environment": {},
}


class InvalidApplication(ValueError):
    """An application is declared in a way that cannot work; the text is for the operator."""


def _process(application: str, declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A process with its defaults filled in."""
    name = str(declared.get("name", ""))
    where = f"application {application}, process {name or declared!r}"
    if not PROCESS_NAME.fullmatch(name):
        raise InvalidApplication(f"{where}: a name of letters, digits, hyphens and underscores is needed.")
    if not declared.get("script"):
        raise InvalidApplication(f"{where}: script is missing; name the file in the release, such as dist/worker.js.")
    unknown = sorted(set(declared) - set(PROCESS_DEFAULTS) - {"name", "script"})
    if unknown:
        raise InvalidApplication(f"{where}: unknown option {', '.join(unknown)}.")
    process = {**PROCESS_DEFAULTS, **{k: v for k, v in declared.items() if v is not None}}
    process["instances"] = int(process["instances"])
    if process["instances"] < 1:
        raise InvalidApplication(f"{where}: instances is {process['instances']}, at least 1 is needed.")
    if process["exec_mode"] not in ("fork", "cluster"):
        raise InvalidApplication(f"{where}: exec_mode is {process['exec_mode']!r}; expected fork or cluster.")
    return process


def normalise(declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An application with its defaults and its places on the host filled in.

    :param declared: what the user wrote in ``topology_applications``.
    :raises InvalidApplication: what cannot work, with application, found and expected.
    """
    name = str(declared.get("name", ""))
    if not NAME.fullmatch(name):
        raise InvalidApplication(
            f"an application's name is {name!r}; expected lower-case letters, digits and single hyphens, "
            "such as order-processing."
        )
    application: dict[str, t.Any] = {
        "name": name,
        **DEFAULTS,
        "root": f"/opt/{name}/workflow",
        **{k: v for k, v in declared.items() if v is not None},
    }
    application["root"] = root = str(application["root"]).rstrip("/")
    if not root.startswith("/") or root.count("/") < 2 or "/../" in f"{root}/":
        raise InvalidApplication(
            f"application {name}: root is {root!r}; expected a directory of its own such as /opt/{name}/workflow."
        )
    if application["user"] == "root":
        raise InvalidApplication(f"application {name}: user is root; applications run as a user without rights.")
    application.setdefault("group", application["user"])
    application["processes"] = [_process(name, process) for process in application["processes"]]
    names = [process["name"] for process in application["processes"]]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise InvalidApplication(f"application {name}: process {', '.join(twice)} is declared twice.")
    application.update(
        current=f"{root}/current",
        releases=f"{root}/releases",
        shared=f"{root}/shared",
        home=f"/var/lib/{name}",
        pm2_home=f"/var/lib/{name}/.pm2",
        unit=f"{name}-pm2.service",
        configuration=f"/etc/{name}",
        ecosystem=f"/etc/{name}/ecosystem.config.json",
        crash_log=f"/etc/{name}/crash-log.cjs",
        logs=f"/var/log/pm2/{name}",
    )
    return application
