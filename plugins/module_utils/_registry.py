# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which applications this collection has put on a host, whether or not they are still declared.

Private to this collection. The roles that run applications write one file for each, ``<name>.json``, without secrets. It
goes last when an application is removed, so that an interrupted removal is known. When its releases and shared data stay,
a shorter record stays with them, with ``removed`` in it, which says where they are.
"""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._application import STATE
from ansible_collections.durable.temporal.plugins.module_utils._systemd import UNITS, owner

RECORDS = f"{STATE}/applications"
# What says that data of ours was made, such as a PG_VERSION, and the file to remove to have other data made.
DATA = f"{STATE}/data"
# Where the role nginx has its sites, and how each of its files begins.
SITES = "/etc/nginx/conf.d"
SITE_MARK = "# Written by Ansible; changes made here are lost."
PM2_MARK = "# Managed by Ansible (durable.temporal.pm2_worker)"
# What of a declaration is recorded. The names and paths that follow from it are, too: another version may derive others.
RECORDED = ("name", "runtime", "root", "user", "group", "port", "unit", "configuration", "home", "logs")
# What stays known of an application that was removed without its data.
KEPT = ("name", "root", "user", "group", "logs")

Record = dict[str, t.Any]


def record(application: t.Mapping[str, t.Any]) -> Record:
    """What is recorded of an application (normalised, see ``_application``)."""
    processes = [process["name"] for process in application["processes"]]
    return {**{field: application[field] for field in RECORDED}, "processes": processes}


def text(entry: t.Mapping[str, t.Any]) -> str:
    """The file of a record."""
    return json.dumps(entry, indent=2, sort_keys=True) + "\n"


def records(directory: str = RECORDS, units: str = UNITS) -> list[Record]:
    """What is recorded on this host, by name. One that cannot be read, or is lost, has a ``name`` and ``unreadable``.

    :param units: where units are; one without a record is told, too.
    """
    found = []
    for path in sorted(Path(directory).glob("*.json")):
        try:
            entry = json.loads(path.read_text())
            found.append({**entry, "name": path.stem})
        except (OSError, ValueError, TypeError):
            found.append({"name": path.stem, "unreadable": str(path)})
    lost = sorted(set(runtimes(units)) - {entry["name"] for entry in found})
    return [*found, *({"name": name, "unreadable": f"{directory}/{name}.json"} for name in lost)]


def remember_data(made: str, mark: str, record: str = DATA) -> None:
    """Record that data was made.

    :param made: a file of it.
    :param mark: a file that is there as long as no other data is to be made.
    """
    known, line = _lines(record), f"{made}\t{mark}"
    if line not in known:
        Path(record).parent.mkdir(parents=True, exist_ok=True)
        Path(record).write_text("".join(f"{one}\n" for one in sorted([*known, line])))


def lost_data(record: str = DATA) -> dict[str, str]:
    """Each file of data that was made here and is gone, to the file to remove to say that it may be."""
    pairs = [line.partition("\t") for line in _lines(record)]
    # Without privileges neither is seen: Path.exists would raise.
    return {made: mark for made, _tab, mark in pairs if not os.path.exists(made) and os.path.exists(mark)}


def _lines(record: str) -> list[str]:
    try:
        return Path(record).read_text().splitlines()
    except OSError:
        return []


def active(entries: t.Iterable[Record]) -> list[Record]:
    """Those that were not removed."""
    return [entry for entry in entries if not entry.get("removed")]


def first_lines(path: Path, count: int = 2) -> str:
    try:
        with path.open(errors="replace") as file:
            return "".join(file.readline(200) for _line in range(count))
    except OSError:
        return ""


def sites(directory: str = SITES) -> dict[str, Path]:
    """Name to file of the sites of this collection that nginx has."""
    files = sorted(Path(directory).glob("*.conf"))
    return {path.stem: path for path in files if first_lines(path, 1).startswith(SITE_MARK)}


def runtimes(units: str = UNITS) -> dict[str, list[str]]:
    """Application to what has units for it on this host: ``pm2``, ``systemd`` or both."""
    found: dict[str, set[str]] = {}
    for path in sorted(Path(units).glob("*.s*")):
        line = first_lines(path, 1)
        if line.startswith(PM2_MARK) and path.name.endswith("-pm2.service"):
            found.setdefault(path.name.removesuffix("-pm2.service"), set()).add("pm2")
        elif name := owner(line):
            found.setdefault(name, set()).add("systemd")
    return {name: sorted(found[name]) for name in sorted(found)}


def foreign_files(root: str = "/") -> list[str]:
    """Files of others that have a name as ours would have: units, commands and rotations called ``<name>-pm2``, sockets, sites."""
    patterns: tuple[str, ...] = ("usr/local/bin/*-pm2", "etc/logrotate.d/*-pm2", "etc/sudoers.d/*-pm2")
    patterns += (f"{SITES.lstrip('/')}/*.conf",)
    for place in ("etc/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system"):
        patterns += (f"{place}/*-pm2.service", f"{place}/*.socket")
    paths = [path for pattern in patterns for path in sorted(Path(root).glob(pattern))]
    return [f"/{path.relative_to(root)}" for path in paths if not _ours(path)]


def _ours(path: Path) -> bool:
    lines = first_lines(path)
    return PM2_MARK in lines or lines.startswith(SITE_MARK) or bool(owner(lines))


def claim(
    application: t.Mapping[str, t.Any],
    entries: t.Iterable[Record],
    units: t.Mapping[str, t.Sequence[str]],
    fields: t.Sequence[str] = ("root", "port"),
) -> str:
    """Why an application must not run on this host as it is declared; empty when it may.

    :param application: ``name``, ``runtime`` and ``root``; ``port`` when it has one.
    :param entries: what :func:`records` finds.
    :param units: what :func:`runtimes` finds.
    :param fields: what must not be that of another application.
    """
    name, runtime = application["name"], application["runtime"]
    if others := [other for other in units.get(name, ()) if other != runtime]:
        return (
            f"{name} is to run under {runtime}, and has units of {others[0]} on this host, which would go on beside it. "
            f"Take it out of topology_applications, remove it (remove.yml -e remove_application={name}; its releases stay), "
            "and declare it again."
        )
    for entry in active(entries):
        if entry["name"] == name:
            continue
        for field in fields:
            if application.get(field) and entry.get(field) == application[field]:
                return (
                    f"{name} has the {field} {application[field]} of {entry['name']}, which is on this host. That looks like "
                    f"a rename of {entry['name']}: remove it first (remove.yml -e remove_application={entry['name']}; its "
                    "releases stay)."
                )
    return ""


def refusal(name: str, runtime: str, current: str) -> str:
    """As :func:`claim`, asked by a module on the host itself. Ports may be exchanged in one run; a root is not shared.

    :param current: the link to the live release, which lies in the application's root.
    """
    declared = {"name": name, "runtime": runtime, "root": str(Path(current).parent)}
    return claim(declared, records(), runtimes(), ("root",))
