# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what is declared for a host before anything is changed: the options of its roles, one by one.

Private to this collection. Pure: plain data in, problems out. What concerns ports, releases, the host itself and
several hosts together is in ``_preflight_platform.py``.
"""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS
from ansible_collections.durable.temporal.plugins.module_utils._application import DEFAULTS as APPLICATION
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds

Level = t.Literal["error", "warning"]
Spec = Mapping[str, Mapping[str, t.Any]]

# What other roles and collections may well use too. An unknown name below these is an error only when it looks like a
# slip of the pen.
COMMON_PREFIXES = ("host_", "docker_", "nginx_", "status_")
CLOSE = 0.8
# Words that nobody else's variables begin with when a letter of them is another.
OWN_WORDS = ("postgres", "temporal", "topology")
# Options of an application that nobody else's variables are called like. A line that is not indented makes a variable of one.
APPLICATION_OPTIONS = (*(n for n in APPLICATION if "_" in n and not n.startswith("temporal_")), "writable")
# What people call these without their prefix, when they are lists of mappings with a name.
BARE = {"applications": "topology_applications", "namespaces": "topology_namespaces"}

_TYPES = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "text",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``text`` is whole sentences: what was found, what is expected, what to do.

    ``about`` is the variable, port or component: it orders the report and keeps one cause from being told twice.
    """

    about: str
    text: str
    level: Level = "error"

    def as_dict(self) -> dict[str, str]:
        return {"about": self.about, "text": self.text, "level": self.level}


def wrong(variable: str, found: str, expected: str, step: str = "", level: Level = "error") -> Problem:
    """``variable is found; expected …. Step.``"""
    return Problem(variable, f"{variable} is {found}; expected {expected}. {step}".strip(), level)


def describe(value: t.Any, secret: bool = False) -> str:
    """A value in words. Those of secrets, mappings and lists are never shown."""
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a list of {len(value)}" if value else "an empty list"
    if secret:
        return "a value that is not shown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "empty" if not value else repr(str(value) if len(value) <= 60 else f"{value[:57]}...")
    return str(value)


def meant(name: str, known: t.Iterable[str], cutoff: float = CLOSE) -> str:
    """``Did you mean x?`` or nothing. Names that begin with ``__`` are nobody's to set."""
    offered = [one for one in known if not one.startswith("__")]
    close = [one for one in offered if _one_slip(name, one)] or difflib.get_close_matches(
        name, offered, n=1, cutoff=cutoff
    )
    return f"Did you mean {close[0]}?" if close else ""


# Options against their specification


def check_options(spec: Spec, values: Mapping[str, t.Any], path: str = "", texts: bool = False) -> list[Problem]:
    """Every value that does not fit its option, at any depth.

    :param spec: ``options`` of an argument specification.
    :param values: rendered values; names that the spec does not have are the caller's business at the top, and problems
        below it.
    :param path: where in a variable the values lie, such as ``topology_applications[0]``.
    :param texts: whether a text may stand for a list, a mapping or a truth, as Ansible converts it for modules. Roles get
        variables as they are: a list that is a text is one of its letters, and ``false`` that is a text is true.
    """
    problems: list[Problem] = []
    for name, option in spec.items():
        label = f"{path}.{name}" if path else name
        if values.get(name) is None:
            if option.get("required"):
                problems.append(wrong(label, "not set", _expected(option), f"Set {label}."))
            elif name in values and option.get("default") is not None and (not path or _typed(option)):
                # Roles take the null for the value. Ansible makes text of it, which stands for the default in applications.
                step = "Write a value, or take it out to have the default."
                problems.append(wrong(label, "null", _expected(option), step))
        else:
            problems += _check_value(label, option, values[name], texts)
    if path:
        unknown = [str(key) for key in values if key not in spec]
        problems += [
            Problem(
                f"{path}.{key}",
                f"{path}.{key} is not an option; expected {', '.join(sorted(spec))}. {meant(key, spec, 0.6)}".strip(),
            )
            for key in unknown
        ]
    return problems


def _check_value(label: str, option: Mapping[str, t.Any], value: t.Any, texts: bool) -> list[Problem]:
    kind, secret = str(option.get("type", "str")), bool(option.get("no_log"))
    reason = "Take it out, or write a value." if value is None else _misfit(kind, label, value, texts)
    if reason is not None:
        return [wrong(label, describe(value, secret), _expected(option), reason)]
    if kind == "list":
        converted = DEFAULT_TYPE_VALIDATORS["list"](value)
        element = {
            "type": option.get("elements", "raw"),
            **{k: option[k] for k in ("options", "choices", "no_log") if k in option},
        }
        problems = []
        for index, item in enumerate(converted):
            problems += _check_value(f"{label}[{index}]", element, item, texts)
        return problems
    choices = option.get("choices")
    if choices and value not in choices and DEFAULT_TYPE_VALIDATORS[kind](value) not in choices:
        step = meant(str(value), map(str, choices), 0.6)
        return [wrong(label, describe(value, secret), f"one of {', '.join(map(str, choices))}", step)]
    if kind == "dict":
        converted = DEFAULT_TYPE_VALIDATORS["dict"](value)
        if option.get("options"):
            return check_options(option["options"], converted, label, texts)
        return _check_environment(label, converted) if kinds.is_environment(label) else []
    if kind == "int":
        return _check_number(label, DEFAULT_TYPE_VALIDATORS["int"](value))
    return [] if choices else _check_text(label, value, secret)


def _typed(option: Mapping[str, t.Any]) -> bool:
    return option.get("type", "str") not in ("str", "path", "raw")


def _check_number(label: str, number: int) -> list[Problem]:
    if re.search(r"(^|[_.])(port|listen)$", label):
        return [] if 0 < number < 65536 else [wrong(label, describe(number), "a port from 1 to 65535")]
    least = kinds.least(label)
    return [] if number >= least else [wrong(label, describe(number), f"{least} or more", kinds.step(label))]


def _check_text(label: str, value: t.Any, secret: bool) -> list[Problem]:
    if secret and value == "" and label.endswith("password"):
        step = "Take it out to have one generated, or put one into the provider of secrets."
        return [wrong(label, "empty", "a password", step)]
    kind = kinds.misfit(label, value)
    return [wrong(label, describe(value, secret), kind.expected, kind.step)] if kind else []


def _check_environment(label: str, variables: Mapping[t.Any, t.Any]) -> list[Problem]:
    """What no process can have in its environment, or what nobody means to be there. Values are not shown."""
    problems = []
    for name, value in variables.items():
        if not kinds.is_variable(name):
            step = "A secret is a value: write NAME: '@keyvault/Secret'." if "@" in str(name) else "Rename it."
            text = f"{label} has the variable {name!r}; expected {kinds.ENVIRONMENT_NAME.expected}. {step}"
            problems.append(Problem(label, text))
        elif sentence := kinds.misfit_of_variable(name, value, lines=label not in kinds.ONE_LINE):
            problems.append(wrong(f"{label}.{name}", *sentence))
    return problems


# Type → what a role takes for it, and how to write it with -e.
_AS_IT_IS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "bool": (bool, "true"),
    "dict": (Mapping, '{"…": "…"}'),
    "list": ((list, tuple), '["…"]'),
}


def _misfit(kind: str, label: str, value: t.Any, texts: bool) -> str | None:
    """``None`` when a value has this type or may be taken for it; else what more can be said, possibly nothing."""
    if kind == "raw":
        return None
    # Ansible would make text of these, or a number of true; nobody means that.
    if kind in ("str", "path") and isinstance(value, Mapping | list | tuple):
        return ""
    if kind in ("int", "float") and isinstance(value, bool):
        return ""
    types, instead = _AS_IT_IS.get(kind, (object, ""))
    if not texts and not isinstance(value, types):
        json = f"With -e, write JSON: -e '{{\"{label}\": {instead}}}'."
        return f"It is a text. {'' if re.search('[.[]', label) else json}".strip() if isinstance(value, str) else ""
    if kind == "str" and isinstance(value, float) and "version" in label:
        return "YAML reads this as a number and drops zeros at its end: put it in quotes."
    try:
        DEFAULT_TYPE_VALIDATORS[kind](value)
    except (TypeError, ValueError, OverflowError):  # an infinite number is no whole one
        return ""
    return None


def _expected(option: Mapping[str, t.Any]) -> str:
    if choices := option.get("choices"):
        return f"one of {', '.join(map(str, choices))}"
    kind = str(option.get("type", "str"))
    words = _TYPES.get(kind, kind)
    if kind == "list" and (element := option.get("elements")):
        words += f" of {'mappings' if element == 'dict' else 'texts' if element == 'str' else element}"
    return words


def check_as_the_role_will(role: str, spec: Spec, values: Mapping[str, t.Any]) -> list[Problem]:
    """What Ansible itself will say when the role starts. For what :func:`check_options` does not know.

    Values are taken out of its messages: it quotes them, secrets included.
    """
    result = ArgumentSpecValidator(spec).validate({k: v for k, v in values.items() if k in spec})
    hidden = sorted(secrets_in(spec, values), key=len, reverse=True)
    problems = []
    for message in result.error_messages:
        text = str(message)
        for secret in hidden:
            text = text.replace(secret, "********")
        problems.append(Problem(role, f"the role {role} will refuse its options: {text.rstrip('.')}."))
    return problems


def secrets_in(spec: Spec, values: Mapping[str, t.Any]) -> set[str]:
    """Texts of all options that are marked ``no_log``, at any depth."""
    found: set[str] = set()
    for name, option in spec.items():
        value = values.get(name)
        if option.get("no_log"):
            found |= set(_texts(value))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping) and option.get("options"):
                found |= secrets_in(option["options"], item)
    return found


def check_passwords(spec: Spec, values: Mapping[str, t.Any]) -> list[Problem]:
    """Secrets that everybody knows, and passwords that do not arrive as they are."""
    problems = []
    for name, option in spec.items():
        texts = list(_texts(values.get(name))) if option.get("no_log") else []
        if any(text.lower() in _KNOWN_PASSWORDS for text in texts):
            step = "Leave it out to have one generated."
            problems.append(wrong(name, "one that everybody tries first", "a password of its own", step))
        # Temporal's server logs in with a plus in the place of a blank, and without what ends the last line.
        if name.endswith("_password") and any(re.search(r"\s", text) for text in texts):
            step = "Put another one into the provider of secrets."
            problems.append(wrong(name, "one with a blank or the end of a line in it", "none of these", step))
    return problems


_KNOWN_PASSWORDS = {
    "changeme",
    "change-me",
    "change_me",
    "password",
    "secret",
    "postgres",
    "temporal",
    "admin",
    "123456",
}


def _texts(value: t.Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif value not in (None, ""):
        yield str(value)


# Names


def check_names(
    defined: t.Iterable[str],
    known: t.Collection[str],
    prefixes: Sequence[str],
    ignored: Sequence[str] = (),
) -> list[Problem]:
    """Variables that look like options of ours and are none.

    :param defined: names of variables.
    :param known: names of all options of all roles.
    :param prefixes: what our options start with, such as ``temporal_``.
    :param ignored: names, or patterns such as ``temporal_company_*``, that are somebody's own.
    """
    problems = []
    for name in sorted(set(defined) - set(known)):
        prefix = next((p for p in prefixes if name.startswith(p)), None)
        if prefix is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored):
            continue
        hint = meant(name, known)
        slip = bool(hint) or not name.startswith(COMMON_PREFIXES)
        near = difflib.get_close_matches(name, [one for one in known if one.startswith(prefix)], n=3, cutoff=0)
        such = "" if hint or not near else f", such as {', '.join(near)}"
        step = hint or "Remove it"
        step += "" if hint else ", or list it in preflight_ignored_variables when it is your own."
        problems.append(
            Problem(
                name,
                f"{name} is not an option of any role; expected a known name below {prefix}{such}. {step}",
                "error" if slip else "warning",
            )
        )
    return problems


def check_slips(
    defined: t.Iterable[str], known: t.Collection[str], prefixes: Sequence[str], ignored: Sequence[str] = ()
) -> list[Problem]:
    """Variables that do not start like options of ours, and are one slip of the pen away from one. For the parameters see
    :func:`check_names`.
    """
    problems = []
    for name in sorted(set(defined) - set(known)):
        if name.startswith((*prefixes, "ansible_", "_")) or any(fnmatch.fnmatchcase(name, one) for one in ignored):
            continue
        if option := _slip_of(name, known):
            problems.append(_unread(name, option))
    return problems


def check_bare(variables: Mapping[str, t.Any], ignored: Sequence[str] = ()) -> list[Problem]:
    """Declarations without their prefix, where there is none with it, and options of an application outside of all."""
    declared = variables.get("topology_applications")
    said = {
        option for one in (declared if isinstance(declared, list) else []) if isinstance(one, Mapping) for option in one
    }
    outside = [
        Problem(
            name,
            f"{name} is read by nothing; expected it to be an option of an application. Indent it below its entry of "
            "topology_applications, or list it in preflight_ignored_variables when it is your own.",
        )
        for name in APPLICATION_OPTIONS
        if name in variables and name not in said and not any(fnmatch.fnmatchcase(name, one) for one in ignored)
    ]
    return outside + [
        _unread(name, option)
        for name, option in BARE.items()
        if option not in variables
        and isinstance(found := variables.get(name), list)
        and found
        and all(isinstance(one, Mapping) and "name" in one for one in found)
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored)
    ]


def _unread(name: str, option: str) -> Problem:
    step = "Rename it, or list it in preflight_ignored_variables when it is your own."
    return Problem(name, f"{name} is read by nothing; expected a known name. Did you mean {option}? {step}")


def _slip_of(name: str, known: t.Collection[str]) -> str:
    """The option that was meant, or nothing."""
    known = sorted(
        (o for o in known if not o.startswith("__")), key=lambda option: (not option.startswith("topology_"), option)
    )
    if near := next((option for option in known if _one_slip(name, option)), ""):
        return near
    first, _underscore, rest = name.partition("_")
    for word in OWN_WORDS:
        if rest and _one_slip(first, word):
            right = f"{word}_{rest}"
            close = difflib.get_close_matches(right, known, n=1, cutoff=CLOSE)
            return next((option for option in known if option.endswith(f"_{right}")), close[0] if close else "")
    return ""


def _one_slip(name: str, option: str) -> bool:
    """Whether one letter is too many, missing or another, or two have changed places."""
    if abs(len(name) - len(option)) > 1 or name == option:
        return False
    start = _common(name, option)
    name, option = name[start:], option[start:]
    end = _common(name[::-1], option[::-1])
    name, option = name[: len(name) - end], option[: len(option) - end]
    return max(len(name), len(option)) <= 1 or (len(name) == 2 and name == option[::-1])


def _common(one: str, other: str) -> int:
    """How many letters are the same at the start."""
    return sum(1 for _pair in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def check_rendering(failures: Mapping[str, str]) -> list[Problem]:
    """Variables whose value cannot be found out. Those that fail for the same cause are one problem.

    :param failures: variable → the cause.
    """
    causes: dict[str, list[str]] = {}
    for variable, cause in failures.items():
        causes.setdefault(cause, []).append(variable)
    problems = []
    for cause, variables in causes.items():
        first, *others = variables
        also = f" The same holds for {', '.join(others)}." if others else ""
        problems.append(Problem(first, f"{first} cannot be rendered; expected a value. {cause.rstrip('.')}.{also}"))
    return problems


def locate(problem: Problem, where: Mapping[str, str]) -> Problem:
    """The same problem, with the file and line of its value or else its variable, where that is known.

    :param where: variable, or place within one → ``group_vars/all.yml:12``.
    """
    place = where.get(problem.about) or where.get(re.split(r"[.\[]", problem.about)[0])
    if place is None or not problem.text.startswith(problem.about):
        return problem
    rest = problem.text.removeprefix(problem.about)
    return Problem(problem.about, f"{problem.about} ({place}){rest}", problem.level)
