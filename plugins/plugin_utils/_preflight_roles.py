# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the roles of this collection, and renders their options as a host would see them.

Private to this collection; the part of preflight that needs Ansible's own loader and template engine.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.durable.temporal.plugins.module_utils._namespaces import NAMESPACE
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight as options_
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets as secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem
from ansible_collections.durable.temporal.plugins.plugin_utils._references import refers, texts
from ansible_collections.durable.temporal.plugins.plugin_utils._written import place_of

try:  # about ten times as fast
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

COLLECTION = Path(__file__).resolve().parents[2]

# What Ansible itself puts beside the variables of a host, and what is large.
MAGIC = ("hostvars", "groups", "vars", "environment")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")

# What the wiring derives and a user may know better: where something listens, a database of somebody else, its passwords.
MAY_BE_SET = frozenset(
    [
        "topology_bind_address",
        "topology_application_bind_address",
        "topology_database_host",
        "topology_database_port",
        "topology_database_admin_host",
        "topology_database_admin_port",
        "topology_database_password",
        "topology_postgres_superuser_password",
    ]
)

# role → entry point → option → specification
Specs = dict[str, dict[str, dict[str, dict[str, t.Any]]]]


# Option → what the module that gets it takes.
HANDED_ON: Mapping[str, options_.Spec] = {"topology_namespaces": NAMESPACE, "temporal_namespaces": NAMESPACE}


def read_specs(root: Path = COLLECTION) -> Specs:
    """The argument specifications of every role."""
    specs: Specs = {}
    for path in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        data = yaml.load(path.read_bytes(), Loader=SafeLoader)
        entries = (data or {}).get("argument_specs") or {}
        role = path.parent.parent
        specs[role.name] = {name: dict(e.get("options") or {}) for name, e in entries.items()}
        # Ansible shows the defaults of a specification, rendered, when a value does not fit: those that may hold a secret are
        # left out of it.
        written = role / "defaults" / "main.yml"
        defaults = (yaml.load(written.read_bytes(), Loader=SafeLoader) or {}) if written.exists() else {}
        for options in specs[role.name].values():
            for name in options.keys() & defaults.keys():
                options[name] = {"default": defaults[name], **options[name]}
    # Roles hand these on to a module, which would only tell a slip when it runs.
    for options in (options for entries in specs.values() for options in entries.values()):
        for name in options.keys() & HANDED_ON.keys():
            options[name] = {**options[name], "options": HANDED_ON[name]}
    return specs


def read_variables(loader: DataLoader, roles: Iterable[str], root: Path = COLLECTION) -> dict[str, t.Any]:
    """Defaults and vars of these roles, as Ansible would load them when the roles start."""
    variables: dict[str, t.Any] = {}
    for role in roles:
        for part in ("defaults", "vars"):
            path = root / "roles" / role / part / "main.yml"
            if path.exists():
                variables.update(loader.load_from_file(str(path), trusted_as_template=True) or {})
    return variables


def render(templar: Templar, names: Iterable[str]) -> tuple[dict[str, t.Any], dict[str, str]]:
    """The values of these variables, and the causes of those that cannot be rendered. Absent ones are left out."""
    values: dict[str, t.Any] = {}
    failures: dict[str, str] = {}
    variables: Mapping[str, t.Any] = templar.available_variables
    for name in names:
        if name in variables:
            try:
                values[name] = templar.template(variables[name])
            except AnsibleError as error:
                failures[name] = cause(error)
    return values, failures


def derived(spec: Mapping[str, t.Any], own: Mapping[str, t.Any], variables: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Specifications of what the wiring derives and a user has set all the same, and may.

    :param spec: options of the wiring.
    :param own: defaults of roles.
    :param variables: those of a host.
    """
    return {
        name: {"type": "str", "required": True, "no_log": name.endswith("_password")}
        for name in MAY_BE_SET
        if name in kinds.KINDS or name.endswith("_password")
        if name in own and name not in spec and name in variables and variables[name] != own[name]
    }


def check_derived(spec: Mapping[str, t.Any], own: Mapping[str, t.Any], variables: Mapping[str, t.Any]) -> list[Problem]:
    """What follows from groups and options and is set all the same: the plays go by the groups, whatever it says.

    For the parameters see :func:`derived`.
    """
    return [
        options_.wrong(
            name,
            "set",
            "nothing: it follows from the groups that a host is in and from options",
            "Take it out, and set these instead.",
        )
        for name in sorted(own)
        if name.startswith(("topology_", "__")) and name not in spec and name not in MAY_BE_SET
        if name in variables and variables[name] != own[name]
    ]


def dependents(variables: Mapping[str, t.Any], names: Iterable[str]) -> set[str]:
    """Variables whose templates read one of these, or one that does."""
    read = {name: set(_WORD.findall(str(value))) for name, value in variables.items()}
    found: set[str] = set()
    new = set(names)
    while new:
        new = {name for name, words in read.items() if words & new} - found
        found |= new
    return found


def check_names(specs: Specs, own: set[str], variables: Mapping[str, t.Any], ignored: Sequence[str]) -> list[Problem]:
    """Variables of a host that look like options of ours and are none, or that nothing reads and are nearly one.

    :param own: names of defaults and vars of roles.
    :param ignored: names or patterns that are somebody's own.
    """
    known = {name for entries in specs.values() for spec in entries.values() for name in spec}
    known |= own | set(secrets.SPEC)
    prefixes = sorted((f"{role}_" for role in (*specs, *secrets.PREFIXES)), key=len, reverse=True)
    slips = options_.check_slips(variables, known, prefixes, ignored)
    used = read([problem.about for problem in slips], [variables])
    found = options_.check_names(variables, known, prefixes, ignored)
    return found + [problem for problem in slips if problem.about not in used]


def read(names: Iterable[str], hosts: Iterable[Mapping[str, t.Any]]) -> set[str]:
    """Those of the names that a variable of a host reads."""
    wanted = {name: re.compile(rf"\b{re.escape(name)}\b") for name in names if name.isidentifier()}
    if not wanted:
        return set()
    texts = {text for host in hosts for text in _templates({k: v for k, v in host.items() if k not in MAGIC})}
    return {name for name, pattern in wanted.items() if any(pattern.search(text) for text in texts)}


def _templates(value: t.Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _templates(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _templates(inner)


def cause(error: BaseException) -> str:
    """What was wrong in the end, without the chain of templates that led there."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "message", None) or error)


def place_within(values: Mapping[str, t.Any], about: str, base: Path) -> str:
    """``file:line`` of the innermost part of a value that a user wrote; empty when it is not known.

    :param values: rendered ones. Each part keeps where it was written, however it came here.
    :param about: such as ``topology_applications[1].port``; what is not there stands for what should hold it.
    :param base: as of :func:`places`.
    """
    found = [shown for part in _parts(values, f".{about}") if (shown := _shown(part, base))]
    return found[-1] if found else ""


def _parts(value: t.Any, rest: str) -> Iterator[t.Any]:
    """What lies on the way to a place, outermost first: keys of mappings, and elements of lists."""
    if isinstance(value, Mapping) and rest.startswith("."):
        # Keys may have dots themselves: those of Temporal's dynamic configuration do.
        fits = [k for k in value if rest[1:] == str(k) or rest[1:].startswith((f"{k}.", f"{k}["))]
        for key in sorted(fits, key=lambda k: len(str(k)))[-1:]:
            yield key
            yield from _parts(value[key], rest[1 + len(str(key)) :])
    elif isinstance(value, list) and (index := re.match(r"\[(\d+)\]", rest)) and int(index[1]) < len(value):
        yield value[int(index[1])]
        yield from _parts(value[int(index[1])], rest[index.end() :])


def places(variables: Mapping[str, t.Any], base: Path, within: bool = False) -> dict[str, str]:
    """``file:line`` of each variable that the user wrote, relative to a directory where it lies below it.

    :param within: instead, of each text that looks like a reference to a secret, at any depth.
    """
    found = {}
    for name, value in _references(variables) if within else variables.items():
        if shown := _shown(value, base):
            found[name] = shown
    return found


def _shown(value: t.Any, base: Path) -> str:
    """``file:line`` of a value, or of a key; empty for those of this collection's roles, and when it is not known."""
    place = place_of(value)
    if place is None or Path(place.path).resolve().is_relative_to(COLLECTION / "roles"):
        return ""
    path = Path(place.path)
    shown = path.relative_to(base) if path.is_relative_to(base) else path
    return f"{shown}:{place.line}" if place.line else str(shown)


def _references(variables: Mapping[str, t.Any]) -> Iterator[tuple[str, str]]:
    return ((place.removeprefix("."), text) for place, text in texts(variables) if refers(text))
