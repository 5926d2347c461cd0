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

from ansible_collections.durable.temporal.plugins.module_utils._application import (
    SHARED_STATE,
    SYSTEM_PLACES,
    SYSTEM_STATE,
)
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, wrong

# Role → the variables of its directories. They are used by containers only.
DIRECTORIES = {
    "postgres": ("postgres_directory", "postgres_data_directory"),
    "temporal": ("temporal_directory",),
    "temporal_ui": ("temporal_ui_directory",),
}
ROOT = "topology_root"
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
