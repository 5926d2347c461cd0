# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that a user starts with, made of the inventories and of the example repository of the collection.

Private to this collection.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_collections.durable.temporal.plugins.module_utils._application import NAME

TOPOLOGIES: t.Final = ("single_vm", "production")
INVENTORY: t.Final = "inventory"
# Python's, with what the secrets of a vault need: locked, as the collection is tested.
REQUIREMENTS: t.Final = Path("requirements/controller.txt")
HEAD: t.Final = "# Ansible and what the collection needs on this machine, each version fixed. Raise them together, on staging first.\n"
README: t.Final = Path("playbooks/files/starter/README.md")
ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*")
# What YAML reads as text without quotes, unless it is a word such as yes.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
USER = re.compile(r"[A-Za-z_][A-Za-z0-9._@-]*")


class StarterError(Exception):
    """Says in a sentence for each problem what was found, what is expected, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Wanted:
    """What a user has said. ``hosts`` is name → address; without a ``user`` the one of the topology stays."""

    topology: str
    name: str
    hosts: Mapping[str, str]
    user: str | None = None


def addresses(given: t.Any, topology: str) -> dict[str, str]:
    """Host → address, of a mapping, of the text ``db1=10.0.0.11,app1=10.0.0.31``, or of the address of the only host.

    :raises StarterError: it is neither.
    """
    if isinstance(given, Mapping):
        return {str(host): str(address) for host, address in given.items()}
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else []
    if topology == "single_vm" and len(parts) == 1 and parts[0] and "=" not in parts[0]:
        return {"vm1": parts[0]}
    if not parts or any("=" not in part for part in parts):
        raise StarterError([_wrong("init_hosts", given, "host=address,host=address, or a mapping")])
    return dict(t.cast("tuple[str, str]", tuple(part.split("=", 1))) for part in parts)


def check(wanted: Wanted, known_hosts: t.Collection[str]) -> list[str]:
    """A sentence for each value that cannot be used."""
    problems = []
    if not NAME.fullmatch(wanted.name):
        problems.append(
            _wrong("init_name", wanted.name, "lower-case letters, digits and single hyphens, a letter first")
        )
    if wanted.user is not None and not USER.fullmatch(wanted.user):
        problems.append(_wrong("init_user", wanted.user, "the name of an account on the hosts"))
    for host, address in wanted.hosts.items():
        if host not in known_hosts:
            expected = f"hosts of {wanted.topology}: {', '.join(known_hosts)}"
            problems.append(f"{_wrong('init_hosts', host, expected)} Others are added to hosts.yml afterwards.")
        elif not ADDRESS.fullmatch(address):
            problems.append(_wrong(f"init_hosts of {host}", address, "an IP address or a host name"))
    return problems


def check_names(names: t.Iterable[str], known: t.Collection[str]) -> list[str]:
    """A sentence for each variable that is meant for this playbook and unknown to it."""
    listed = ", ".join(sorted(known))
    return [
        f"{name} is not an input of this playbook; expected some of {listed}."
        for name in sorted(names)
        if name.startswith("init_") and name not in known
    ]


def _wrong(name: str, found: t.Any, expected: str) -> str:
    return f"{name} is {found!r}; expected {expected}."


def files(collection: Path, wanted: Wanted) -> dict[str, str]:
    """Path below the directory → content.

    :param collection: directory of the collection, or a checkout of it.
    :raises StarterError: a value cannot be used; names all of them.
    """
    if wanted.topology not in TOPOLOGIES:
        raise StarterError([_wrong("init_topology", wanted.topology, f"one of {', '.join(TOPOLOGIES)}")])
    source = collection / "inventories" / wanted.topology
    hosts = (source / "hosts.yml").read_text(encoding="utf-8")
    placeholders = {host: str(given["ansible_host"]) for host, given in yaml.safe_load(hosts)["all"]["hosts"].items()}
    if problems := check(wanted, placeholders):
        raise StarterError(problems)

    example = collection / "examples" / "deployment"
    shared = [example / ".gitignore", example / "ansible.cfg", *sorted(example.glob("*.yml"))]
    made = {path.name: path.read_text(encoding="utf-8") for path in shared}
    made["requirements.txt"] = HEAD + (collection / REQUIREMENTS).read_text(encoding="utf-8")
    made["README.md"] = (collection / README).read_text(encoding="utf-8")
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        made[f"{INVENTORY}/{path.relative_to(source).as_posix()}"] = path.read_text(encoding="utf-8")

    for host, address in wanted.hosts.items():
        hosts = _set(hosts, f"{host}: {{ansible_host: ", placeholders[host], address)
    if wanted.user:
        hosts = _set(hosts, "ansible_user: ", str(yaml.safe_load(hosts)["all"]["vars"]["ansible_user"]), wanted.user)
    made[f"{INVENTORY}/hosts.yml"] = hosts
    main = f"{INVENTORY}/group_vars/all/main.yml"
    made[main] = _set(made[main], "topology_name: ", str(yaml.safe_load(made[main])["topology_name"]), wanted.name)
    return made


def _set(text: str, before: str, old: str, new: str) -> str:
    """The text with another value at one place; comments stay."""
    if text.count(before + old) != 1:
        raise ValueError(f"{before}{old} is there {text.count(before + old)} times, expected once")
    plain = PLAIN.fullmatch(new) and yaml.safe_load(new) == new
    return text.replace(before + old, before + (new if plain else f'"{new}"'))


@dataclass(frozen=True)
class Comparison:
    """Paths by what has to be done with them: to be written, there already, in the way."""

    new: list[str]
    same: list[str]
    different: list[str]


def compare(directory: Path, made: Mapping[str, str]) -> Comparison:
    """What of these files is in the directory already. Reads only."""
    states: dict[str, list[str]] = {"new": [], "same": [], "different": []}
    for path, content in made.items():
        states[_state(directory / path, content)].append(path)
    return Comparison(**states)


def _state(path: Path, content: str) -> str:
    try:
        return "same" if path.read_bytes() == content.encode() else "different"
    except FileNotFoundError:
        return "different" if path.is_symlink() else "new"
    except OSError:  # a directory, or something else that is in the way
        return "different"


def write(directory: Path, made: Mapping[str, str], paths: t.Iterable[str]) -> None:
    """Write these of the files. One that has appeared in the meantime is an error, never overwritten.

    :raises OSError: one of them could not be written.
    """
    for path in paths:
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x", encoding="utf-8") as file:
            file.write(made[path])
