# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what the hosts say of an application that is to go, and tells what became of it. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, meant, wrong

# Host to the result of application_removal.
Hosts = t.Mapping[str, t.Mapping[str, t.Any]]


def check(name: str, hosts: Hosts, declared: t.Collection[str], data: bool = False, confirm: str = "") -> list[Problem]:
    """Why nothing is removed; empty when all is well.

    :param declared: the applications that are declared anywhere.
    :param confirm: the name once more, needed for ``data``.
    """
    known = sorted({*declared, *(n for result in hosts.values() for n in result["applications"])})
    having = {host: r["state"] for host, r in hosts.items() if r["state"] != "unknown"}
    if not having:
        if name in declared:
            return [wrong("remove_application", f"{name!r}, which is on none of these hosts", "one that is on a host")]
        words = f"one of {', '.join(known)}" if known else "an application, and there is none on these hosts"
        return [wrong("remove_application", describe(name), words, meant(name, known, 0.6))]
    if set(having.values()) == {"declared"}:
        step = (
            "Take it out of topology_applications first: while it is declared, site.yml and deploy.yml bring it back."
        )
        return [
            wrong("remove_application", f"{name!r}, which is declared for {', '.join(having)}", "one that is not", step)
        ]
    if data and confirm != name:
        places = sorted({path for result in hosts.values() for path in result["kept"]})
        step = f"It removes {', '.join(places)} for good." if places else ""
        return [wrong("remove_confirm", describe(confirm), f"{name!r}, because remove_data is true", step)]
    if confirm and not data:
        step = "Set remove_data=true to remove releases and shared data too, or leave remove_confirm out."
        return [wrong("remove_confirm", describe(confirm), "nothing, because remove_data is not set", step)]
    return []


def silent(name: str, hosts: Hosts, ours: t.Collection[str]) -> list[Problem]:
    """Hosts that could not be asked for the application: errors, but of hosts of others that are out of reach.

    :param ours: hosts that may well have it, as they are in our groups.
    """
    problems = []
    for host, result in hosts.items():
        if "state" in result:
            continue
        unreachable = bool(result.get("unreachable"))
        found = f"{host} {'is out of reach' if unreachable else 'could not be asked'} ({_reason(result)})"
        if unreachable and host not in ours:
            text = f"{found}, is in none of our groups, and is left out. What it may have of {name} stays."
            problems.append(Problem(host, text, "warning"))
        else:
            step = f"Make sure that it answers and this user may become root there, or leave it out: --limit 'all:!{host}'."
            problems.append(Problem(host, f"{found}; expected an answer, as it may have {name}. {step}"))
    return problems


def _reason(result: t.Mapping[str, t.Any]) -> str:
    lines = str(result.get("module_stderr") or result.get("msg") or "no answer").strip().splitlines()
    return lines[-1].rstrip(".")


def outcome(name: str, before: Hosts, after: Hosts, data: bool = False, dry: bool = False) -> list[str]:
    """A sentence for each host that has, or had, the application.

    :param dry: nothing was done, as in check mode.
    """
    lines = []
    for host, result in after.items():
        # Without the entry point find, what the removal itself found.
        state = before.get(host, result)["state"]
        if state == "declared":
            lines.append(f"{host}: {name} is declared here, and stays.")
        elif state != "unknown":
            done = "would be removed" if dry else "is removed"
            said = done if result["changed"] else "was removed earlier"
            kept = "" if data else ", ".join(result["kept"])
            options = f"-e remove_application={name} -e remove_data=true -e remove_confirm={name}"
            stays = f" These stay: {kept}. To remove them: remove.yml {options}" if kept else ""
            lines.append(f"{host}: {name} {said}.{stays}")
    return lines
