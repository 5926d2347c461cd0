# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the files of ``group_vars`` and ``host_vars`` once more, for what Ansible decides in silence.

Private to this collection. Ansible reads all files of a group's directory, and of a variable in two of them the last one
wins; of ``all.yml`` beside a directory ``all`` nothing is read.
"""

from __future__ import annotations

import os
import re
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.durable.temporal.plugins.plugin_utils._groups import meant_group
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, meant
from ansible_collections.durable.temporal.plugins.plugin_utils._written import place_of


def directories(sources: t.Any, playbook: str = "") -> list[Path]:
    """Where ``group_vars`` and ``host_vars`` may lie.

    :param sources: the inventory as given on the command line: paths of files and directories, or lists of hosts.
    :param playbook: directory of the playbook.
    """
    places = [place if place.is_dir() else place.parent for place in _paths(sources)]
    places += [Path(playbook)] if playbook else []
    return list({os.path.realpath(place): place for place in places}.values())


def _paths(sources: t.Any) -> Iterator[Path]:
    """Those parts of an inventory that are files or directories. A list of hosts may be longer than any path."""
    for source in sources if isinstance(sources, list | tuple) else [sources]:
        if source and os.path.exists(str(source)):
            yield Path(str(source))


def check_files(
    loader: DataLoader,
    places: Iterable[Path],
    names: Mapping[str, Collection[str]],
    ours: Collection[str],
    sources: t.Any = (),
) -> list[Problem]:
    """Variables of ours that are set twice in the files of one group or host, or in a file that is not read.

    :param places: from :func:`directories`.
    :param names: ``group_vars`` and ``host_vars`` → names of the groups or hosts of the inventory.
    :param ours: names of our variables.
    :param sources: the inventory as for :func:`directories`.
    """
    problems: list[Problem] = []
    misnamed: dict[str, Problem] = {}
    for place in places:
        for kind, known in names.items():
            for name in _names(place / kind):
                read = [Path(file) for file in loader.find_vars_files(str(place / kind), name)]
                problems += _twice(loader, place, read, ours)
                problems += _unread(loader, place, place / kind / name, read, ours)
                if name not in known and (found := _misnamed(loader, place, kind, name, read, ours, known)):
                    misnamed[name] = found
    # Files of variables may be shared with other inventories, which have these groups and hosts.
    elsewhere = list(_others(sources)) if misnamed else []
    return problems + [problem for name, problem in misnamed.items() if not _mentioned(name, elsewhere)]


def _names(directory: Path) -> list[str]:
    """Names of the groups or hosts that have files there."""
    if not directory.is_dir():
        return []
    entries = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    return sorted({entry.name if entry.is_dir() else _stem(entry.name) for entry in entries})


def _stem(name: str) -> str:
    return next((name.removesuffix(e) for e in constants.YAML_FILENAME_EXTENSIONS if name.endswith(e)), name)


def _variables(loader: DataLoader, file: Path, ours: Collection[str]) -> Iterator[str]:
    """The variables of ours in a file. One that cannot be read is Ansible's business: it stops the run."""
    try:
        content = loader.load_from_file(str(file))
    except AnsibleError:
        return
    if isinstance(content, dict):
        yield from (name for name in content if name in ours)


def _place(base: Path, file: Path, name: str) -> str:
    """``group_vars/all/main.yml:3``, below the directory of the inventory."""
    shown = str(file.relative_to(base)) if file.is_relative_to(base) else str(file)
    place = place_of(name)
    return f"{shown}:{place.line}" if place and place.line else shown


def _twice(loader: DataLoader, base: Path, files: Iterable[Path], ours: Collection[str]) -> Iterator[Problem]:
    found: dict[str, list[str]] = {}
    for file in files:
        for name in _variables(loader, file, ours):
            found.setdefault(str(name), []).append(_place(base, file, name))
    for name, places in found.items():
        if len(places) > 1:
            text = (
                f"{name} is set in {' and in '.join(places)}, and the last one wins; expected it once. "
                "Remove all but one."
            )
            yield Problem(name, text)


def _unread(
    loader: DataLoader, base: Path, stem: Path, read: Collection[Path], ours: Collection[str]
) -> Iterator[Problem]:
    for extension in constants.YAML_FILENAME_EXTENSIONS:
        file = Path(f"{stem}{extension}")
        if not file.is_file() or file in read or not (names := list(_variables(loader, file, ours))):
            continue
        shown, beside = file.relative_to(base), stem.relative_to(base)
        what = f"the directory {beside}" if stem.is_dir() else f"another file {beside}.*"
        text = f"{', '.join(names)} in {shown} is not read, because {what} is there. Move it into that."
        yield Problem(str(names[0]), text)


def _is_meant(file: Path) -> bool:
    """Whether Ansible would read it if its name was right; a copy, such as ``all.yml.bak``, is meant for nobody."""
    return file.suffix in constants.YAML_FILENAME_EXTENSIONS or "." not in file.name


def _misnamed(
    loader: DataLoader,
    base: Path,
    kind: str,
    name: str,
    read: Iterable[Path],
    ours: Collection[str],
    known: Collection[str],
) -> Problem | None:
    """What a file sets for a group or host that is not there."""
    found = [(str(v), file) for file in read if _is_meant(file) for v in _variables(loader, file, ours)]
    if not found:
        return None
    what, step = ("group", meant_group(name)[0]) if kind == "group_vars" else ("host", "")
    step = f"Did you mean {step}?" if step in known else meant(name.lower(), known)
    variable, file = found[0]
    text = (
        f"{', '.join(v for v, _file in found)} in {_place(base, file, '')} is read by nothing: no {what} is called {name}; "
        f"expected one of {', '.join(sorted(known))}. {step or f'Rename the file, or name a {what} so.'}"
    )
    return Problem(variable, text)


def _others(sources: t.Any) -> Iterator[Path]:
    """Files near the inventory that may be other inventories."""
    for place in (path.resolve() for path in _paths(sources)):
        base = place.parent if place.is_dir() else place.parent.parent
        for file in (one for pattern in ("*", "*/*", "*/*/*") for one in base.glob(pattern)):
            own = place in (file, *file.parents) or {"group_vars", "host_vars"} & set(file.parts)
            if not own and file.suffix in ("", ".ini", *constants.YAML_FILENAME_EXTENSIONS) and file.is_file():
                yield file


def _mentioned(name: str, inventories: Iterable[Path]) -> bool:
    """Whether another inventory has a line that begins with this name."""
    pattern = re.compile(rf"^[\s\['\"]*{re.escape(name)}\b".encode(), re.MULTILINE)
    return any(pattern.search(file.read_bytes()) for file in inventories if os.access(file, os.R_OK))
