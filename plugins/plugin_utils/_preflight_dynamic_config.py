# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges Temporal's dynamic configuration: the server logs a wrong key or value, and goes on with what it has by itself.

Private to this collection. Pure: plain data in, problems out. What fits is what the server's loader takes
(``common/dynamicconfig/yaml_loader.go`` and ``collection.go`` of 1.32).
"""

from __future__ import annotations

import fnmatch
import functools
import re
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._client import SYSTEM_NAMESPACE
from ansible_collections.durable.temporal.plugins.plugin_utils._dynamic_config_keys import KEYS, RELEASES
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, meant, wrong

VARIABLE: t.Final = "temporal_dynamic_config"


@dataclass(frozen=True)
class Setting:
    """A key as the server spells it, what its constraints may name, its type, and the minor lines that have it."""

    key: str
    scope: str
    type: str
    minors: tuple[str, ...]


MINORS: t.Final = tuple(release.rpartition(".")[0] for release in RELEASES)


@functools.cache
def settings() -> dict[str, Setting]:
    """Key in lower case, which is how the server compares them → what it is."""
    rows = [line.split() for line in KEYS.split("\n") if line]
    return {key.lower(): Setting(key, scope, kind, tuple(minors) or MINORS) for key, scope, kind, *minors in rows}


# Values. A truth is a number in Python, not for the server.


def _whole(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: t.Any) -> bool:
    return _whole(value) or isinstance(value, float)


def _duration(value: t.Any) -> bool:
    if not isinstance(value, str):
        return _number(value)
    amount = r"(\d+(\.\d*)?|\.\d+)"
    return re.fullmatch(rf"{amount}|[+-]?0|[+-]?({amount}(d|h|m|s|ms|us|µs|ns))+", value) is not None


# With 0, the server refuses every request or every name. No setting has a negative number by itself.
_STOPS = ("limit.maxIDLength", "frontend.rps", "frontend.namespaceRPS", "history.rps", "matching.rps")
_TRUTHS = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
# Type → what it is called, and whether a value has it.
TYPES: t.Final[dict[str, tuple[str, Callable[[t.Any], bool]]]] = {
    "bool": ("true or false", lambda value: isinstance(value, bool) or value in _TRUTHS),
    "int": ("a whole number", _whole),
    "float": ("a number", _number),
    "duration": ("a duration such as 10s, or seconds", _duration),
    "string": ("text", lambda value: isinstance(value, str)),
    "map": ("a mapping", lambda value: isinstance(value, Mapping)),
}

# Constraints


def _text(value: t.Any) -> bool:
    return isinstance(value, str)


_TASK = re.compile(
    r"TASK_TYPE_[A-Z_]+|(Archival|Replication|Transfer|Visibility|StateMachine|Delete|Workflow|Activity)[A-Z]\w+"
    r"|UserTimer|Chasm|ChasmPure|WorkerCommands|TimeskippingTimer"
)
_QUEUE_TYPES = ("Workflow", "Activity", "Nexus")
# In lower case → what is expected, and whether a value is that.
CONSTRAINTS: t.Final[dict[str, tuple[str, Callable[[t.Any], bool]]]] = {
    "namespace": ("text", _text),
    "namespaceid": ("text", _text),
    "taskqueuename": ("text", _text),
    "tasktype": (
        f"one of {', '.join(_QUEUE_TYPES)}",
        lambda value: (
            (_whole(value) and value > 0)
            or value in (*_QUEUE_TYPES, *(f"TASK_QUEUE_TYPE_{one.upper()}" for one in _QUEUE_TYPES))
        ),
    ),
    "historytasktype": (
        "a type of tasks such as TransferActivityTask",
        lambda value: _whole(value) or (_text(value) and _TASK.fullmatch(value) is not None),
    ),
    "shardid": ("a whole number", _whole),
    "destination": ("text", _text),
    "chasmtasktype": ("text", _text),
}
# Spelt as people write them.
_SPELT = {
    **{"namespaceid": "namespaceID", "taskqueuename": "taskQueueName", "tasktype": "taskType", "shardid": "shardID"},
    **{"historytasktype": "historyTaskType", "chasmtasktype": "chasmTaskType"},
}
SCOPES: t.Final[dict[str, tuple[str, ...]]] = {
    "global": (),
    "namespace": ("namespace",),
    "namespaceid": ("namespaceid",),
    "taskqueue": ("namespace", "taskqueuename", "tasktype"),
    "tasktype": ("historytasktype",),
    "shardid": ("shardid",),
    "destination": ("namespace", "destination"),
    "chasmtasktype": ("chasmtasktype",),
    "any": tuple(CONSTRAINTS),
}


def check_dynamic_config(config: t.Any, version: t.Any, ignored: Sequence[str] = ()) -> list[Problem]:
    """Keys that the server does not have, and values and constraints that it does not take.

    :param config: key → value, or → a list of values with constraints.
    :param version: the server's.
    :param ignored: names or patterns such as ``temporal_dynamic_config.company.*``, for servers of one's own.
    """
    problems: list[Problem] = []
    for key, value in config.items() if isinstance(config, Mapping) else ():
        label = f"{VARIABLE}.{key}"
        if any(fnmatch.fnmatchcase(label, pattern) for pattern in ignored):
            continue
        setting = settings().get(str(key).lower())
        problems += _check_key(label, str(key), setting, str(version))
        problems += _check_values(label, value, setting)
    return problems


def _check_key(label: str, key: str, setting: Setting | None, version: str) -> Iterator[Problem]:
    minor = ".".join(version.removeprefix("v").split(".")[:2])
    if setting is None:
        known = sorted(one.key for one in settings().values() if minor in one.minors or minor not in MINORS)
        hint = meant(key, known)
        step = hint or f"Take it out, or list {label} in preflight_ignored_variables when your server has it."
        # Of a newer server, it is not known what it has.
        level: t.Literal["error", "warning"] = "error" if hint or minor in MINORS else "warning"
        text = f"{label} is not a key of Temporal {minor}; expected one of its dynamic configuration. {step}"
        yield Problem(label, text, level)
    elif setting.key != key:
        # The server would take it; of two spellings in one file, it would take either.
        yield wrong(label, "spelt otherwise than the server does", setting.key, "Correct it.")
    elif minor in MINORS and minor not in setting.minors:
        found = f"a key that Temporal {minor} does not read"
        yield wrong(
            label, found, f"one that it has; this is of {' and '.join(setting.minors)}", "Take it out.", "warning"
        )


def _check_values(label: str, value: t.Any, setting: Setting | None) -> Iterator[Problem]:
    listed = isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
    if not listed or not any({"value", "constraints"} & {*one} for one in value):
        yield from _check_value(label, value, setting)
        return
    for index, one in enumerate(value):
        where = f"{label}[{index}]"
        if "value" not in one:
            yield wrong(f"{where}.value", "not set", "a value for these constraints", "Write it.")
        else:
            yield from _check_value(f"{where}.value", one["value"], setting)
        for name in sorted({*map(str, one)} - {"value", "constraints"}):
            step = meant(name, ("value", "constraints"), 0.6) or "Take it out."
            yield wrong(f"{where}.{name}", "not an option", "value and constraints", step)
        yield from _check_constraints(f"{where}.constraints", one.get("constraints"), setting)


def _check_value(label: str, value: t.Any, setting: Setting | None) -> Iterator[Problem]:
    words, fits = TYPES.get(setting.type if setting else "", ("a value", lambda _value: True))
    if value is None or not fits(value):
        step = "Take it out to have the server's own." if value is None else "Correct it."
        yield wrong(label, describe(value), words, step)
    elif setting and (number := _amount(setting.type, value)) is not None:
        least = 1 if setting.key in _STOPS else 0
        if number < least:
            yield wrong(label, describe(value), f"{least} or more", "Correct it; the server would take it.")


def _amount(kind: str, value: t.Any) -> float | None:
    """The number that a value is or begins with; ``None`` for what is none."""
    if kind not in ("int", "float", "duration") or isinstance(value, bool):
        return None
    if _number(value):
        return float(value)
    return -1.0 if isinstance(value, str) and value.startswith("-") else None


def _check_constraints(label: str, constraints: t.Any, setting: Setting | None) -> Iterator[Problem]:
    if constraints is None:
        return
    if not isinstance(constraints, Mapping):
        yield wrong(label, describe(constraints), "a mapping such as {namespace: orders}", "Correct it.")
        return
    scope = SCOPES[setting.scope if setting else "any"]
    for name, value in constraints.items():
        if str(name).lower() not in scope:
            names = [_SPELT.get(one, one) for one in scope]
            expected = f"one of {', '.join(names)}" if names else "no constraint, as this holds for the whole server"
            found = "not a constraint of this key" if setting else "not a constraint"
            yield wrong(f"{label}.{name}", found, expected, meant(str(name), names, 0.6) or "Take it out.")
            continue
        words, fits = CONSTRAINTS[str(name).lower()]
        if not fits(value):
            yield wrong(f"{label}.{name}", describe(value), words, "Correct it.")


def check_namespaces(config: t.Any, known: t.Collection[str]) -> list[Problem]:
    """Namespaces of constraints that nobody declares: the setting would hold for none. Somebody may make them by hand.

    :param config: as in :func:`check_dynamic_config`.
    :param known: names of the declared namespaces.
    """
    problems = []
    for key, value in config.items() if isinstance(config, Mapping) else ():
        for index, one in enumerate(value if isinstance(value, list) else []):
            constraints = one.get("constraints") if isinstance(one, Mapping) else None
            for name, namespace in constraints.items() if isinstance(constraints, Mapping) else ():
                if (
                    str(name).lower() == "namespace"
                    and _text(namespace)
                    and namespace not in (*known, SYSTEM_NAMESPACE)
                ):
                    about = f"{VARIABLE}.{key}[{index}].constraints.{name}"
                    expected = f"one that is declared: {', '.join(sorted(known)) or 'none is'}"
                    problems.append(wrong(about, describe(namespace), expected, "Correct it.", "warning"))
    return problems
