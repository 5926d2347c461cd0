# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the applications of a host against what is on it: what nobody declares any more, and what belongs to others.

Private to this collection. Pure: plain data in, problems out.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.durable.temporal.plugins.module_utils._accounts import OF_THE_SYSTEM
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise
from ansible_collections.durable.temporal.plugins.module_utils._registry import active, claim
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, wrong

Application = Mapping[str, t.Any]
Probe = Mapping[str, t.Any]


# Options with the applications of a host, the one that counts first.
DECLARED_IN = tuple(f"{role}_applications" for role in ("pm2_worker", "systemd_worker", "app_release", "topology"))


def normalised(declared: Sequence[Application]) -> list[dict[str, t.Any]]:
    """The applications with their paths. Those that cannot work are told of elsewhere."""
    found = []
    for application in declared:
        try:
            found.append(normalise(application))
        except (InvalidApplication, ValueError, TypeError, AttributeError):
            continue
    return found


def check_undeclared(declared: t.Collection[str], probe: Probe) -> list[Problem]:
    """Applications on the host that nobody declares: they go on as they are."""
    problems = []
    for entry in active(probe.get("applications", ())):
        name = entry["name"]
        if name not in declared:
            problems.append(
                wrong(
                    f"the application {name}",
                    "on this host and not declared for it",
                    "only what is declared",
                    "Its processes go on; site.yml takes its site from the edge. Declare it, or remove it: remove.yml -e "
                    f"remove_application={name}",
                    "warning",
                )
            )
    return problems


def check_claims(declared: Sequence[Application], probe: Probe) -> list[Problem]:
    """Applications that would run beside what runs already: after a rename, or a change of the runtime."""
    names = {str(a.get("name")) for a in declared}
    others = [entry for entry in probe.get("applications", ()) if entry["name"] not in names]
    problems = []
    for application in normalised(declared):
        if reason := claim(application, others, probe.get("units", {})):
            problems.append(Problem(f"the application {application['name']}", f"The application {reason}"))
    return problems


def check_foreign_files(declared: Sequence[Application], probe: Probe) -> list[Problem]:
    """Units, commands and the like of others, where those of an application would come. Whose they are is seen by root only."""
    if not probe.get("privileged"):
        return []
    problems = []
    for application in normalised(declared):
        name = application["name"]
        own = {f"{name}-pm2", application["unit"]} if application["runtime"] == "pm2" else set()
        own |= {f"{name}-{process['name']}.socket" for process in application["processes"] if process.get("socket")}
        for path in probe.get("foreign_files", ()):
            if path.rpartition("/")[2] in own:
                step = "Choose another name."
                problems.append(
                    wrong(f"the application {name}", f"one whose {path} is somebody else's", "a name of its own", step)
                )
    return problems


def check_users(declared: Sequence[Application], probe: Probe, people: Mapping[str, str]) -> list[Problem]:
    """Users of applications that are accounts of the system or of people, on the host or as declared.

    :param people: accounts that people or this collection's plays log in with → the variable that says so.
    """
    problems = []
    groups: dict[str, str] = {}
    for application in normalised(declared):
        user, variable = application["user"], f"the user of the application {application['name']}"
        found = probe.get("accounts", {}).get(user, "")
        if user in people:
            found = f"{user} is {people[user]}"
        elif user == probe.get("login"):
            found = f"{user} is the account that logs in here"
        if found:
            # It would lose its shell, or the application would get what is the account's.
            step = "Set user to one of their own, such as workflow."
            problems.append(
                Problem(variable, f"{variable}: {found}; expected an account for applications only. {step}")
            )
        first = groups.setdefault(user, application["group"])
        if application["group"] != first:
            problems.append(
                wrong(variable, f"{user} with the group {application['group']}", f"{first} as of another application")
            )
    return problems


def check_deploy_user(user: str, probe: Probe) -> list[Problem]:
    """An account of the system as the one that deploys: it gets a shell, and the engine, which is as much as root."""
    if user != "root" and OF_THE_SYSTEM not in probe.get("accounts", {}).get(user, ""):
        return []
    step = "Choose one of its own, such as deploy."
    return [
        wrong("topology_deploy_user", f"{user}, an account of the system", "an account for people who deploy", step)
    ]


def check(declared: Sequence[Application], probe: Probe, people: Mapping[str, str]) -> list[Problem]:
    """All that concerns applications and the host together."""
    return [
        *check_undeclared({str(a.get("name")) for a in declared}, probe),
        *check_claims(declared, probe),
        *check_foreign_files(declared, probe),
        *check_users(declared, probe, people),
    ]
