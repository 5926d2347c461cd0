# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments with their secrets: where references may stand, and how filters resolve them.

Private to this collection. A declaration keeps its references. They are resolved where an environment is handed to what
writes it on a host, and nowhere before, so that whatever only looks at a declaration asks no provider.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import from_variables
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Provider, refers, texts
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import (
    KEPT,
    SPEC,
    VARIABLES,
    provider,
    resolve,
    settings,
    unresolved,
)

Application = Mapping[str, t.Any]


class Variables(t.Protocol):
    """Rendered variables by name: a mapping, or the context of Jinja, which renders them when they are asked for."""

    def __contains__(self, name: str, /) -> bool: ...

    def __getitem__(self, name: str, /) -> t.Any: ...


# Environments that lie in files which everybody on a host may read.
OPEN = {"host_ca_environment": "/etc/environment"}
# Where the values of an environment lie in what is declared, such as ``x_applications[0].processes[1].environment.KEY``.
_WITHIN = re.compile(r"[._]environment\.")


def source_of(variables: Variables) -> t.Callable[[], Provider]:
    """What makes the provider that the variables name, once it is needed."""

    def source() -> Provider:
        given = {name: variables[name] for name in (*VARIABLES.values(), "inventory_dir", KEPT) if name in variables}
        names, options = settings({}, given, os.environ)
        return provider(
            names,
            dataclasses.replace(
                options, vault=lambda: from_variables({name: variables[name] for name in SPEC if name in variables})
            ),
        )

    return source


def with_secrets(
    variables: Variables, application: Application, base: Mapping[str, t.Any] | None
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """An application (normalised) and the variables that every process gets, both with their secrets; one batch.

    :param variables: those that name the provider.
    :raises SecretError: names every reference that cannot be resolved.
    """
    processes = application["processes"]
    declared = [base or {}, application["environment"], [process["environment"] for process in processes]]
    of_all, of_application, of_processes = resolve(declared, source_of(variables))
    with_values = [{**process, "environment": own} for process, own in zip(processes, of_processes)]
    return {**application, "environment": of_application, "processes": with_values}, of_all


def judge(declared: Mapping[str, t.Any], variables: Variables) -> dict[str, str]:
    """What is wrong with references in what is declared: where, and the rest of a sentence.

    :param declared: names of options to their values, or of applications to their declarations.
    :param variables: those that name the provider.
    :raises SecretError: what keeps from asking for any secret.
    """
    problems = {}
    for place, text in texts(declared):
        name = place.removeprefix(".").split(".")[0]
        if not refers(text):
            continue
        if name in OPEN:
            problems[place] = (
                f"refers to a secret, and everybody may read {OPEN[name]}; expected a value that is none. "
                "Declare it for the processes that need it."
            )
        elif not _WITHIN.search(place):
            problems[place] = (
                "refers to a secret, which only the values of an environment do; expected a value. "
                "Where it may hold a secret, write {{ lookup('durable.temporal.secret', 'Name') }}."
            )
    right = {name: _environments(value, f".{name}") for name, value in declared.items() if name not in OPEN}
    problems |= unresolved(right, source_of(variables))
    return {place.removeprefix("."): text for place, text in problems.items()}


def _environments(value: t.Any, place: str) -> t.Any:
    """The same structure without texts that are no values of an environment."""
    if isinstance(value, Mapping):
        return {key: _environments(inner, f"{place}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_environments(inner, f"{place}[{index}]") for index, inner in enumerate(value)]
    return value if _WITHIN.search(place) else None
