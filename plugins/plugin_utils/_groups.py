# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the groups of an inventory: misspelt ones, empty ones, and platforms that lack a part.

Private to this collection. Pure: plain data in, problems out.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import CLOSE, Problem

OURS = ("postgres", "temporal", "temporal_ui", "app", "edge")
# Words that people use for these groups, in the singular.
SYNONYMS = {
    "postgres": ("db", "database", "pg", "postgres_server", "postgres_db", "temporal_db", "temporal_database"),
    "temporal": ("temporal_server", "temporal_cluster", "temporal_frontend", "temporal_host"),
    "temporal_ui": (
        "ui",
        "web_ui",
        "webui",
        "temporal_web",
        "temporalui",
        "dashboard",
        "temporal_dashboard",
        "console",
        "temporal_console",
        "web_console",
        "gui",
    ),
    "app": ("application", "worker", "app_server", "app_host", "api", "temporal_worker"),
    "edge": (
        "web",
        "webserver",
        "web_server",
        "nginx",
        "proxy",
        "lb",
        "load_balancer",
        "loadbalancer",
        "gateway",
        "ingress",
        "frontend",
        "front_end",
        "front",
        "reverse_proxy",
        "proxy_server",
        "web_proxy",
        "balancer",
        "router",
        "edge_server",
        "edge_host",
        "http",
        "https",
    ),
}
# A platform works without these. Where the inventory has one without hosts, that is meant.
OPTIONAL = ("temporal_ui", "edge")
_MEANT = {name: group for group, names in SYNONYMS.items() for name in names}

Groups = Mapping[str, Sequence[str]]


def meant_group(name: str) -> tuple[str, bool]:
    """The group of ours that a name stands for, empty when it stands for none, and whether it is that name misspelt."""
    plain = name.lower().replace("-", "_")
    if plain in OURS:
        return plain, True
    singular = plain[:-3] + "y" if plain.endswith("ies") else plain.removesuffix("s")
    if singular in OURS:
        return singular, True
    if known := _MEANT.get(plain) or _MEANT.get(singular):
        return known, False
    close = difflib.get_close_matches(plain, OURS, n=1, cutoff=CLOSE)
    return (close[0], True) if close else ("", False)


def check_groups(
    groups: Groups, declared: int = 0, elsewhere: bool = False, database_elsewhere: bool = False
) -> list[Problem]:
    """Whether the groups of an inventory make a platform, or a part of one that works.

    :param groups: group → its hosts, those of the groups below it included; as the variable ``groups`` of Ansible.
    :param declared: how many applications are declared.
    :param elsewhere: whether the inventory says where the Temporal cluster is, so that it need not have one.
    :param database_elsewhere: the same of the database.
    """
    hosts = {name: list(groups.get(name) or ()) for name in OURS}
    names = check_names(groups)
    if not any(hosts.values()):
        return [*names, _none(groups)]
    problems = []
    if hosts["temporal"] and not hosts["postgres"] and not database_elsewhere:
        problems.append(_lacks("temporal", "postgres", hosts, "the server keeps its data there"))
    if not hosts["temporal"] and not elsewhere:
        for group in ("temporal_ui", "app"):
            if hosts[group]:
                step = "or set topology_temporal_address to a cluster that is not ours"
                problems.append(_lacks(group, "temporal", hosts, "there is no server to talk to", step))
    if declared and not hosts["app"]:
        count = "1 application" if declared == 1 else f"{declared} applications"
        text = (
            f"the group app has no host, and {count} in topology_applications; expected the hosts that run them. "
            "Put hosts into the group app, or remove the applications."
        )
        problems.append(Problem("the group app", text))
    if hosts["edge"] and not hosts["app"] and not hosts["temporal_ui"]:
        text = "the group edge has hosts, and neither app nor temporal_ui has one; nginx has nothing to publish."
        problems.append(Problem("the group edge", text, "warning"))
    # What is missing may be there under another name, which says it all.
    told = {meant_group(p.about)[0] for p in names if p.level == "error"}
    return [*names, *(p for p in problems if p.about.removeprefix("the group ") not in told)]


def check_names(groups: Groups) -> list[Problem]:
    """Groups whose name is nearly one of ours, or another word for it. What is somebody's own is left alone.

    ``about`` is the name of the group, which stands for what it was taken for.
    """
    problems = []
    others: dict[str, str] = {}
    for name, members in groups.items():
        meant, misspelt = meant_group(name)
        if name in OURS or not meant or not members:
            continue
        there = set(groups.get(meant) or ())
        # Another word may well be a group of one's own, as long as ours has hosts or none on purpose; a slip leaves hosts
        # out, unless it is somebody's name as well.
        said = there or (meant in OPTIONAL and meant in groups)
        if set(members) <= there or (said and not misspelt):
            continue
        if there:
            others[name] = meant
            continue
        own = f" If it is your own, and {meant} is to have no host, write {meant}: {{}}." if meant in OPTIONAL else ""
        text = (
            f"the group {name} ({_some(members)}) is read by nothing; expected one of {', '.join(OURS)}, "
            f"or a name of your own. Did you mean {meant}? Rename it, or put its hosts into {meant} as well."
            f"{own if not misspelt else ''}"
        )
        problems.append(Problem(name, text))
    if others:
        hosts = list(dict.fromkeys(host for name in others for host in groups[name]))
        text = (
            f"nothing reads the group{'s' if len(others) > 1 else ''} {', '.join(others)} ({_some(hosts)}), which may be your "
            f"own. If {', '.join(dict.fromkeys(others.values()))} was meant, put the hosts into that as well."
        )
        problems.append(Problem("groups of others", text, "warning"))
    return problems


def check_published(groups: Groups, declared: Sequence[Mapping[str, object]]) -> list[Problem]:
    """Applications with a port that nothing publishes, as no host is an edge. ``edge: {}`` says that this is meant.

    :param declared: the applications of a host.
    """
    if "edge" in groups or not groups.get("app"):
        return []
    return [
        Problem(
            f"the port of the application {application.get('name')}",
            f"the application {application.get('name')} has "
            f"{'a server_name' if application.get('server_name') else 'a port'}, and the group edge has no host; nothing "
            "publishes it. Put a host into edge, or write edge: {} in the inventory if that is meant.",
            "warning",
        )
        for application in declared
        if application.get("port") or application.get("server_name")
    ]


def _none(groups: Groups) -> Problem:
    own = [name for name, members in groups.items() if members and name not in ("all", "ungrouped")]
    hosts = list(groups.get("all") or ())
    found = f"the groups {', '.join(own)}" if own else f"{_some(hosts)} in no group" if hosts else "no host"
    step = "See inventories/single_vm of the collection."
    if named := [host for host in hosts if host in OURS]:
        step = f"{', '.join(named)} is the name of a host there, not of a group: groups are written below children."
    text = f"the inventory has {found}; expected hosts in one of {', '.join(OURS)}. {step}"
    return Problem("the inventory", text)


def _lacks(group: str, other: str, hosts: Groups, why: str, step: str = "") -> Problem:
    text = (
        f"the group {other} has no host, and {group} has {_some(hosts[group])}; {why}. "
        f"Put a host into the group {other}{', ' + step if step else ''}."
    )
    return Problem(f"the group {other}", text)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
