# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges where things are to lie on a host: in directories of the system, or in each other.

Private to this collection. Pure: plain data in, problems out. Nothing here looks at a host.
"""

from __future__ import annotations

import posixpath
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._application import (
    SHARED_STATE,
    SYSTEM_PLACES,
    SYSTEM_STATE,
)
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, wrong
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_applications import DECLARED_IN, normalised

# Role → the variables of its directories. They are used by containers only.
DIRECTORIES = {
    "postgres": ("postgres_directory", "postgres_data_directory"),
    "temporal": ("temporal_directory",),
    "temporal_ui": ("temporal_ui_directory",),
}
ROOT = "topology_root"
# What decides about the other places where something of this collection lies.
NAMED_BY = (ROOT, "host_directories", "host_deploy_user", "postgres_runtime", "postgres_data_directory", *DECLARED_IN)
# Other things lie in these, which have a place of their own there.
_HOLDERS = ("opt", "srv", "mnt", "media")


def directories(roles: t.Collection[str], values: Mapping[str, t.Any]) -> dict[str, str]:
    """The platform's own directories on a host: variable → path as it is written."""
    return {
        variable: str(values[variable])
        for role, variables in DIRECTORIES.items()
        if role in roles and (values.get(f"{role}_runtime") or "container") == "container"
        for variable in variables
        if values.get(variable) is not None
    }


def check_directories(roles: t.Collection[str], values: Mapping[str, t.Any]) -> list[Problem]:
    """Directories of the platform that are the system's: files of others would change owner."""
    found = directories(roles, values)
    if found and values.get(ROOT) is not None:
        found = {ROOT: str(values[ROOT]), **found}
    return [
        wrong(
            variable,
            describe(path),
            "the absolute path of a directory of its own",
            "Choose one that nothing else uses, such as /srv/temporal.",
        )
        for variable, path in found.items()
        # Of what is no such path, its kind is told.
        if kinds.PATH.fits(path) and not _own(path)
    ]


@dataclass(frozen=True)
class Place:
    """Where something of this collection is to lie.

    :ivar about: the variable, or what of an application it is.
    :ivar holds: ``database``; ``link``, to the live release; or ``files``.
    :ivar owner: who it is given to; empty when that is left to others.
    :ivar application: whose it is; empty for what is the platform's.
    """

    about: str
    path: str
    holds: t.Literal["database", "link", "files"]
    owner: str = ""
    application: str = ""


def taken(
    roles: t.Collection[str], values: Mapping[str, t.Any], declared: Sequence[Mapping[str, t.Any]]
) -> dict[str, Place]:
    """Places on a host whose owner or use changes with a run, by path.

    :param values: those of :data:`NAMED_BY`, rendered.
    :param declared: the applications of the host.
    """
    found = []
    listed = values.get("host_directories")
    if "host" in roles and isinstance(listed, list):
        deploy, root = str(values.get("host_deploy_user") or ""), plain(str(values.get(ROOT)))
        for path in (path for path in listed if isinstance(path, str)):
            about = ROOT if related(plain(path), root) in ("is", "lies in") else "host_directories"
            found.append(Place(about, path, "files", deploy))
    if "postgres_data_directory" in (kept := directories(roles, values)):
        found.append(Place("postgres_data_directory", kept["postgres_data_directory"], "database"))
    for application in normalised(declared):
        name, root = application["name"], application["root"]
        about = f"the root of the application {name}"
        found.append(Place(about, f"{root}/current", "link", application=name))
        found += [Place(about, f"{root}/{part}", "files", application["user"], name) for part in ("releases", "shared")]
    return {path: place for place in found if _own(path := plain(place.path))}


def check_taken(
    roles: t.Collection[str],
    values: Mapping[str, t.Any],
    declared: Sequence[Mapping[str, t.Any]],
    probe: Mapping[str, t.Any],
) -> list[Problem]:
    """Places where something of others lies. Only root sees it all; for the other parameters see :func:`taken`."""
    if not probe.get("privileged"):
        return []
    places, seen = taken(roles, values, declared), probe.get("directories") or {}
    known = {str(entry.get("name")) for entry in probe.get("applications") or ()}
    problems = []
    for path, place in places.items():
        there = seen.get(path)
        # An application that has been here has its own.
        if there and not (place.holds == "files" and place.application in known):
            inner = {_below(path, other) for other in places} - {""}
            problems += [
                wrong(place.about, f"{path}, {found}", expected, step)
                for found, expected, step in _theirs(place, there, inner)
            ]
    return problems


def _below(path: str, other: str) -> str:
    """The first part of a path below another one; empty when it is not there."""
    return other[len(path) + 1 :].partition("/")[0] if other.startswith(f"{path}/") else ""


def _theirs(place: Place, there: Mapping[str, t.Any], inner: t.Collection[str]) -> t.Iterator[tuple[str, str, str]]:
    """What is somebody else's where something of ours is to be: what was found, what is expected, and the next step."""
    names = [name for name in there["names"] if name not in inner and name != "lost+found"]
    holds = f"which holds {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"
    if place.holds == "link":
        if there["is"] != "link":
            yield f"a {there['is']}", "a link to the live release, or nothing", "Move it away, or set another root."
    elif place.holds == "database":
        if there["names"] and "PG_VERSION" not in there["names"]:
            holds = f"which holds {', '.join(there['names'][:3])} and no database"
            step = "Name a directory that nothing else uses. On a disk of its own, that is one below its mount point."
            yield holds, "a database, or an empty directory", step
    elif there["is"] == "directory" and not there["ours"]:
        step = f"It would be given to {place.owner}. Choose another one; or, if it is yours to give, do so: chown {place.owner}."
        expected = f"a directory of {place.owner}, or none"
        if there["owner"] not in ("root", place.owner):
            yield f"which belongs to {there['owner']}", expected, step
        elif there["owner"] != place.owner and names:
            yield f"{holds} of root", expected, step


def _own(path: str) -> bool:
    if not path.startswith("/") or ".." in path.split("/"):
        return False
    top, *below = plain(path).split("/")[1:]
    if top == "var":
        state = below[:1] == ["lib"] and len(below) == 2 and below[1] in SYSTEM_STATE
        return len(below) > 1 and below[0] not in SHARED_STATE and not state
    if top == "home":
        # A person's directory is theirs; a disk that is mounted there has room for others below it.
        return len(below) > 1
    return bool(below or top not in _HOLDERS) and bool(top) and top != "tmp" and top not in SYSTEM_PLACES


def plain(path: str) -> str:
    """A path without what means nothing: doubled and last slashes, and single dots."""
    return posixpath.normpath("/" + path.lstrip("/")) if path.startswith("/") else path


def check_roots(declared: Sequence[Mapping[str, t.Any]], taken: Mapping[str, str]) -> list[Problem]:
    """Applications whose root is, holds or lies in that of another one or a directory of the platform.

    :param taken: the platform's directories, by variable, as :func:`directories` returns them.
    """
    problems = []
    before = [(f"{variable}, {plain(path)}", "", plain(path)) for variable, path in taken.items()]
    for index, application in enumerate(declared):
        name = str(application.get("name"))
        root = plain(str(application.get("root") or f"/opt/{name}/workflow"))
        # The system empties it. Not a matter of what an application is: tests of the modules have theirs there.
        if related(root, "/tmp") in ("is", "lies in"):  # noqa: S108
            expected, step = f"a directory that stays, such as /opt/{name}/workflow", "Change it."
            problems.append(wrong(f"topology_applications[{index}].root", describe(root), expected, step))
        # Two of one name are told as such.
        if clash := next(((w, p) for w, n, p in before if n != name and related(root, p)), None):
            problems.append(
                wrong(
                    f"topology_applications[{index}].root",
                    f"{root}, which {related(root, clash[1])} {clash[0]}",
                    "a directory of its own",
                    "Change one of them.",
                )
            )
        before.append((f"the root of {name}, {root}", name, root))
    return problems


def related(one: str, other: str) -> str:
    """How a directory stands to another one: ``is``, ``lies in``, ``holds`` or nothing. Both are plain paths."""
    if one == other:
        return "is"
    if one.startswith(f"{other}/"):
        return "lies in"
    return "holds" if other.startswith(f"{one}/") else ""
