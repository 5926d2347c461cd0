# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what a playbook is asked for on the command line, before anything else runs.

Private to this collection. Pure: plain data in, problems out. The options of each playbook are specified in the role
``verb``; the action plugin ``verb`` collects what is given.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import split_host_pattern
from ansible.parsing.splitter import parse_kv
from ansible_collections.durable.temporal.plugins.module_utils._release import ID
from ansible_collections.durable.temporal.plugins.plugin_utils._groups import OURS
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import (
    Problem,
    Spec,
    check_options,
    describe,
    meant,
    wrong,
)


@dataclass(frozen=True)
class Verb:
    """What a playbook works on.

    ``groups`` are those that must have a host left after ``--limit``; with ``whole``, ``--limit`` must leave out none of
    their hosts. With ``applications`` it works on what ``topology_applications`` declares. With ``others`` it looks at
    hosts in none of our groups as well. Of the hosts of a group, ``reads`` names the role whose options it needs.
    """

    groups: tuple[str, ...] = ()
    whole: bool = False
    applications: bool = False
    others: bool = False
    reads: Mapping[str, str] = field(default_factory=dict)


# Every playbook that begins with the check, by name. One that is not here has no options.
VERBS: dict[str, Verb] = {
    "site": Verb(),
    "deploy": Verb(groups=("app",), applications=True),
    "rollback": Verb(groups=("app",), applications=True),
    "rotate": Verb(groups=("postgres", "temporal"), whole=True, reads={"postgres": "postgres", "temporal": "temporal"}),
    "status": Verb(reads=dict.fromkeys(OURS, "status")),
    "remove": Verb(others=True),
}
# Options of roles that a playbook fills in → the option of the playbook, empty when it finds them out itself.
FILLED_IN = {
    "app_release_only": "application",
    "app_release_reason": "reason",
    "app_release_release": "release",
    "app_release_take_over": "take_over",
    "app_release_one_host": "",
    "app_release_failures": "",
    "removal_application": "application",
    "removal_applications": "",
    "removal_known_applications": "",
    "removal_hosts": "",
    "removal_data": "data",
    "removal_confirm": "confirm",
}
# What programs that run Ansible add by themselves.
_RUNNERS = ("ansible_", "awx_", "molecule_", "packer_", "semaphore_", "tower_")
# The end of a pattern that chooses among the hosts of a group: app[0], app[0:2].
_SUBSCRIPT = re.compile(r"(?<=.)\[(-?[0-9]+|[0-9]+[:-][0-9]*)\]$")
_SERIAL = re.compile(r"[1-9][0-9]*|([1-9][0-9]?|100)%")


def cut_texts(given: Sequence[str]) -> list[Problem]:
    """What of ``-e`` Ansible loses: it cuts ``NAME=VALUE`` at blanks.

    :param given: each ``-e`` as it was written.
    """
    problems = []
    for text in given:
        if text[:1] in ("@", "{", "[", ""):
            continue
        try:
            found = parse_kv(text)
        except AnsibleError:
            continue  # Ansible has refused it already
        if "_raw_params" not in found:
            continue
        names = [name for name in found if name != "_raw_params"]
        if not names:
            problems.append(
                Problem("-e", "-e is given something that sets no variable; expected NAME=VALUE, JSON, or @FILE.")
            )
        else:
            problems.append(
                Problem(
                    names[-1],
                    f"-e {' and '.join(names)} has a text with blanks, which Ansible cuts at the first one; expected quotes "
                    f'inside the quotes. Write -e "{names[-1]}=\'…\'", or -e \'{{"{names[-1]}": "…"}}\'.',
                )
            )
    return problems


@dataclass(frozen=True)
class Known:
    """The names that may be given with ``-e``.

    ``verbs`` are the options of each playbook; ``roles`` the names of options of roles; ``ignored`` patterns of names that
    are somebody's own.
    """

    verbs: Mapping[str, Spec]
    roles: Collection[str]
    ignored: Sequence[str] = ()

    def own(self, verb: str) -> Spec:
        return self.verbs.get(verb, {})


def check_names(
    verb: str, given: Mapping[str, bool], known: Known, read: Collection[str], form: str = "-e {}"
) -> list[Problem]:
    """Variables given with ``-e``, or by a playbook that imports this one, that the playbook does not know.

    :param given: name → whether it comes from a file, which may serve other playbooks as well.
    :param read: names that the inventory sets or uses.
    :param form: how a name is written in messages, with ``{}`` in its place.
    """
    problems = []
    for name, from_file in given.items():
        if name == "_raw_params" or name in known.own(verb) or name.startswith((*_RUNNERS, "__")):
            continue
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in known.ignored):
            found = _check_name(verb, name, from_file, known, read)
            problems += [Problem(p.about, form.format(name) + p.text, p.level) for p in found]
    return problems


def check_internals(given: Collection[str], roles: Collection[str]) -> list[Problem]:
    """Internals of roles among the variables of ``-e``, which win over what a task returns."""
    internal = tuple(f"__{role}_" for role in roles)
    return [
        Problem(name, f"-e {name} is an internal of a role; expected options. Leave it out.")
        for name in sorted(given)
        if name == "__verb" or name.startswith(internal)
    ]


def _check_name(verb: str, name: str, from_file: bool, known: Known, read: Collection[str]) -> list[Problem]:
    """What is wrong with a name: texts are what follows it."""
    own = known.own(verb)
    options = f"{verb} has {', '.join(own)}" if own else f"{verb} has no options of its own"
    # What was meant: an option without its prefix, that of another playbook, or what a role is given by this one.
    of_others = {option: other for other, spec in known.verbs.items() for option in spec if other != verb}
    word = FILLED_IN.get(name) or (name.removeprefix(f"{of_others[name]}_") if name in of_others else name)
    option = f"{verb}_{word}"
    if option in own:
        return [Problem(name, f" is not an option of {verb}; expected {option}. ({options}.)")]
    if name in of_others:
        return [Problem(name, f" is an option of {of_others[name]}; {options}.")]
    if name in FILLED_IN:
        return [Problem(name, f" is filled in by the playbook; {options}. Leave it out.")]
    if name in known.roles or name in read:
        return []
    bare = {o.removeprefix(f"{verb}_"): o for o in own}
    close = meant(name, [*own, *bare, *known.roles])
    for short, whole in bare.items():
        close = close.replace(f"Did you mean {short}?", f"Did you mean {whole}?")
    if close or name.startswith(f"{verb}_") or not from_file:
        text = (
            f" is read by nothing: it is no option of {verb} or of a role, and the inventory does not use it; "
            f"{options}. {close or 'Correct it, or list it in preflight_ignored_variables when it is your own.'}"
        )
        return [Problem(name, text)]
    return [Problem(name, f" is read by nothing; {options}.", "warning")]


def check_values(verb: str, spec: Spec, values: Mapping[str, t.Any]) -> list[Problem]:
    """Options of a playbook that are of another type, or empty."""
    problems = check_options(spec, values, texts=True)
    told = {problem.about for problem in problems}
    for name, value in values.items():
        if name in spec and name not in told and (value is None or value in ("", []) or not str(value).strip()):
            problems.append(wrong(name, describe(value), "a value", f"Leave it out to have {verb} do it without."))
    return problems


def check_inventory(spec: Spec, places: Mapping[str, str]) -> list[Problem]:
    """Options of a playbook that the inventory sets: they belong to one run. So do those of roles that it fills in.

    :param places: variables that the inventory sets → where, or empty.
    """
    problems = []
    for name in (*spec, *FILLED_IN):
        if name not in places:
            continue
        found = f"{name}{f' ({places[name]})' if places[name] else ''} is set in the inventory; "
        option = (
            name if name in spec else next((o for o in spec if FILLED_IN[name] and o.endswith(FILLED_IN[name])), "")
        )
        give = f", and give it with -e {option}=…" if option else ""
        expected = (
            "on the command line only, as it is for one run" if name in spec else "nothing: the playbook fills it in"
        )
        problems.append(Problem(name, f"{found}expected {expected}. Remove it there{give}."))
    return problems


def check_hosts(verb: str, groups: Mapping[str, Sequence[str]], targeted: Collection[str]) -> list[Problem]:
    """Groups that the playbook needs and that have no host, or none after ``--limit``."""
    problems = []
    ours = sorted({host for name in OURS for host in groups.get(name) or ()})
    if ours and not VERBS[verb].groups and not VERBS[verb].others and not set(ours) & set(targeted):
        text = (
            f"--limit chooses {', '.join(targeted)}, in none of the groups {', '.join(OURS)}, so that {verb} would do "
            f"nothing; expected at least one of {', '.join(ours)}. Leave --limit out, or choose one of these."
        )
        problems.append(Problem("--limit", text))
    for name in VERBS[verb].groups:
        hosts = list(groups.get(name) or ())
        left = [host for host in hosts if host in targeted]
        if not hosts:
            text = f"the group {name} has no host; {verb} expects at least one. Put a host into it."
            problems.append(Problem(f"the group {name}", text))
        elif not left or (VERBS[verb].whole and left != hosts):
            out = [host for host in hosts if host not in targeted]
            expected = "all of them" if VERBS[verb].whole else "at least one"
            text = (
                f"--limit leaves out {', '.join(out)} of the group {name}; {verb} expects {expected}. "
                f"Leave --limit out, or add {' or '.join(out[:3])} to it."
            )
            problems.append(Problem("--limit", text))
    return problems


def check_limit(subset: str | None, hosts: Collection[str], groups: Collection[str]) -> list[Problem]:
    """Names in ``--limit`` that are no host and no group: Ansible leaves such out, and goes on with the others.

    Expressions are left alone: what they match may well be nothing.

    :param subset: as it was written.
    """
    known = {*hosts, *groups, *constants.LOCALHOST}
    problems = []
    for pattern in dict.fromkeys(_patterns(subset)):
        name = pattern.lstrip("!&")
        bare = _SUBSCRIPT.sub("", name)
        if name in known or bare in known or not bare or name.startswith("~") or re.search(r"[*?\[]", bare):
            continue
        near = meant(bare, [*hosts, *groups], 0.6) or "Correct it, or take it out."
        some = ", ".join([*[name for name in OURS if name in groups], *hosts][:8])
        text = f"--limit names {bare}, which is no host and no group of the inventory; expected such as {some}. {near}"
        problems.append(Problem("--limit", text))
    return problems


def _patterns(subset: str | None) -> list[str]:
    """The parts of a limit. Each line of a file in it is one."""
    found: list[str] = []
    for pattern in split_host_pattern(subset or ""):
        file = Path(pattern[1:])
        if pattern[:1] != "@":
            found.append(pattern)
        elif file.is_file():  # else Ansible has refused it already
            found += [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    return found


def check_application(verb: str, name: str, declared: Mapping[str, Collection[str]]) -> list[Problem]:
    """The application that is named, or that there is any.

    :param declared: host → names of its applications.
    """
    known = sorted({application for of_host in declared.values() for application in of_host})
    if not known:
        hosts = ", ".join(declared)
        text = f"topology_applications is empty on {hosts}; {verb} expects an application. Declare one."
        return [Problem("topology_applications", text)]
    if name and name not in known:
        option = f"{verb}_application"
        return [wrong(option, repr(name), f"one of {', '.join(known)}", meant(name, known, 0.6))]
    return []


def check_stays(said: Mapping[str, bool], app: Collection[str]) -> list[Problem]:
    """Hosts that do not say which applications stay: all that they have would count as no longer declared.

    :param said: host → whether it has a value of ``topology_applications``.
    :param app: the hosts of the group app. Others need not say it, as long as anyone does.
    """
    silent = [host for host in app if not said.get(host)] or ([] if any(said.values()) else list(said))
    if not silent:
        return []
    return [
        wrong(
            "topology_applications",
            f"not set for {', '.join(silent)}",
            "the list of the applications that stay",
            "Write topology_applications: [] if none is declared.",
        )
    ]


def check_release(name: str, value: t.Any) -> list[Problem]:
    """Whether a text can be the id of a release. Which ones there are, the hosts know."""
    if not isinstance(value, str | int) or not value or ID.fullmatch(str(value)):
        return []
    return [
        wrong(
            name,
            describe(value),
            "the id of a kept release, or previous",
            "A wrong id is told with those that are kept.",
        )
    ]


def check_secrets(name: str, values: Sequence[str], known: Sequence[str]) -> list[Problem]:
    """Secrets to renew that are not there."""
    unknown = [value for value in values if value not in (*known, "all")]
    if not unknown:
        return []
    step = meant(unknown[0], known, 0.6) or (
        "A secret of an application is changed in its provider, and deploy hands it out."
    )
    return [
        wrong(name, ", ".join(map(repr, unknown)), f"all, or names of {', '.join(known)} with commas between", step)
    ]


def check_serial(values: Mapping[str, t.Any]) -> list[Problem]:
    """How many hosts are switched at a time: one value for all hosts, as it is one decision.

    :param values: host → ``app_release_serial``.
    """
    name = "app_release_serial"
    for host, value in values.items():
        if isinstance(value, bool) or not _SERIAL.fullmatch(str(value)):
            expected = "a number of hosts from 1 on, or a percentage such as 25%"
            return [wrong(name, f"{describe(value)} on {host}", expected)]
    if len({str(value) for value in values.values()}) > 1:
        found = ", ".join(f"{value} on {host}" for host, value in values.items())
        return [
            wrong(
                name, found, "the same on all hosts of the group app", "Set it in group_vars/app.yml or group_vars/all."
            )
        ]
    return []


def without_password(cause: str) -> dict[str, str]:
    """The check of a database that cannot be looked into, for the report.

    :param cause: what keeps from having the password.
    """
    return {
        "component": "database",
        "name": "password",
        "status": "failed",
        "found": "missing",
        "expected": "that of the database, which was not asked without it",
        "message": f"{' '.join(cause.split()).rstrip('.')}.",
    }
