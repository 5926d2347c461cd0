# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about releases: the one place that preflight, the schema step, upgrades and the documentation read.

Private to this collection. Pure data and pure functions; nothing here looks at a host. Functions that judge return
``None`` when all is well and otherwise one sentence that says what was found, what is expected and what to do.

Where the figures come from: schema levels are ``schema/postgresql/v12/version.go`` of each server tag; bad releases are
the retractions in the server's ``go.mod`` and the notes of the releases that repaired them.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

Version = tuple[int, int, int]
Store = t.Literal["default", "visibility"]
STORES: tuple[Store, Store] = ("default", "visibility")


@dataclass(frozen=True)
class Levels:
    """Schema levels of the two stores, as the ``schema_version`` tables hold them, such as ``1.19`` and ``1.14``."""

    default: str
    visibility: str

    def of(self, store: Store) -> str:
        """Level of one store."""
        return self.default if store == "default" else self.visibility

    def as_dict(self) -> dict[str, str]:
        """``{"default": ..., "visibility": ...}`` for results and diffs."""
        return {"default": self.default, "visibility": self.visibility}


@dataclass(frozen=True)
class Minor:
    """One minor line of the server. ``newest`` is the newest patch that this collection knows."""

    levels: Levels
    newest: str


MINORS: t.Final[dict[tuple[int, int], Minor]] = {
    (1, 24): Minor(Levels("1.12", "1.6"), "1.24.3"),
    (1, 25): Minor(Levels("1.14", "1.6"), "1.25.2"),
    (1, 26): Minor(Levels("1.14", "1.7"), "1.26.3"),
    (1, 27): Minor(Levels("1.16", "1.9"), "1.27.4"),
    (1, 28): Minor(Levels("1.17", "1.9"), "1.28.4"),
    (1, 29): Minor(Levels("1.18", "1.9"), "1.29.7"),
    (1, 30): Minor(Levels("1.18", "1.13"), "1.30.6"),
    (1, 31): Minor(Levels("1.19", "1.14"), "1.31.2"),
    (1, 32): Minor(Levels("1.19", "1.14"), "1.32.2"),
}

# Only two releases differ from the rest of their minor, and both are bad releases anyway.
_PATCH_LEVELS: t.Final[dict[Version, Levels]] = {
    (1, 24, 0): Levels("1.12", "1.5"),
    (1, 27, 0): Levels("1.15", "1.9"),
}

_REWRITES = "its schema step rewrites the visibility table once for each of four levels while workflows wait for it"
_SUPERSEDED: t.Final[dict[Version, tuple[str, str]]] = {
    # release: (why it must not run, the release to take instead)
    (1, 24, 0): ("its visibility schema is defective on SQL databases", "1.24.3"),
    (1, 26, 0): ("its makers retracted it", "1.26.3"),
    (1, 26, 1): ("its makers retracted it", "1.26.3"),
    (1, 27, 0): ("it damages the table of current executions and the deletion of namespaces", "1.27.4"),
    (1, 30, 0): ("its makers retracted it", "1.30.6"),
    (1, 30, 1): (_REWRITES, "1.30.6"),
    (1, 30, 2): (_REWRITES, "1.30.6"),
    (1, 30, 3): (_REWRITES, "1.30.6"),
    (1, 30, 4): (_REWRITES, "1.30.6"),
    (1, 31, 0): (_REWRITES, "1.31.2"),
}
_OLDEST: t.Final = min(MINORS)

DEFAULT_TEMPORAL: t.Final = "1.32.2"
POSTGRES_MAJORS: t.Final = (15, 16, 17, 18)
DEFAULT_POSTGRES: t.Final = 17
POSTGRES_OLDEST_RUNNING: t.Final = 12  # what the server itself can work with; supported is what POSTGRES_MAJORS says
DRIVERS: t.Final = ("postgres12_pgx", "postgres12")

Component = t.Literal["server", "sql_tool", "tdbg", "cli", "ui"]

# Releases that were seen to build from Go modules, with the Go toolchain that builds them.
# Left out because they do not: server 1.31.3 and later 1.31 patches, UI 2.56.1 and 2.58.0, CLI 1.6.0 and later.
_SERVER_GO: t.Final = {"1.30.6": "go1.25.11", "1.31.2": "go1.26.10", "1.32.2": "go1.26.10"}
GO_TOOLCHAINS: t.Final[dict[Component, dict[str, str]]] = {
    "server": _SERVER_GO,
    "sql_tool": _SERVER_GO,
    "tdbg": _SERVER_GO,
    "cli": {"1.5.1": "go1.26.10"},
    "ui": {"2.53.3": "go1.26.10", "2.54.1": "go1.26.10", "2.56.0": "go1.26.10"},
}
# Toolchain of releases of a server minor that are not listed: what its go.mod asks for.
_SERVER_GO_OF_MINOR: t.Final = {(1, 30): "go1.25.11", (1, 31): "go1.26.10", (1, 32): "go1.26.10"}
DEFAULT_CLI: t.Final = "1.5.1"
DEFAULT_UI: t.Final = "2.56.0"

_VERSION = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?$", re.ASCII)


def parse_version(version: str) -> Version:
    """``"1.32.2"`` or ``"v1.32.2"`` as a tuple; ``"1.32"`` has patch 0.

    :raises ValueError: for anything else, pre-releases included, with a sentence for the operator.
    """
    match = _VERSION.match(str(version).strip())
    if match is None:
        raise ValueError(f"'{version}' is not a version: expected three numbers such as {DEFAULT_TEMPORAL}.")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def parse_level(level: str) -> tuple[int, ...]:
    """A schema level as a tuple that compares by number: ``1.9`` is below ``1.13``.

    :raises ValueError: when a part is not a number.
    """
    try:
        return tuple(int(part) for part in str(level).split("."))
    except ValueError:
        raise ValueError(f"'{level}' is not a schema level: expected numbers such as 1.19.") from None


def _minor(version: str) -> tuple[int, int]:
    return parse_version(version)[:2]


def _text(minor: tuple[int, int]) -> str:
    return f"{minor[0]}.{minor[1]}"


def is_bad(version: str) -> str | None:
    """Why this release of the server must not be run, or ``None``.

    :raises ValueError: when ``version`` is not a version.
    """
    parsed = parse_version(version)
    text = ".".join(map(str, parsed))
    if parsed[:2] < _OLDEST:
        return (
            f"Temporal {text} is not supported: {_text(_OLDEST)} is the oldest line that this collection knows. "
            f"Use {DEFAULT_TEMPORAL}."
        )
    if parsed in _SUPERSEDED:
        reason, instead = _SUPERSEDED[parsed]
        return f"Temporal {text} must not be used: {reason}. Use {instead}."
    return None


def is_known(version: str) -> bool:
    """Whether the minor of this release is one that the collection was made for."""
    return _minor(version) in MINORS


def expected_schema(version: str) -> Levels | None:
    """Schema levels that this release of the server needs, or ``None`` when its minor is unknown."""
    parsed = parse_version(version)
    if parsed in _PATCH_LEVELS:
        return _PATCH_LEVELS[parsed]
    known = MINORS.get(parsed[:2])
    return known.levels if known else None


def schema_too_new(version: str, store: Store, present: str) -> str | None:
    """Why this release must not run on a store with the present schema level, or ``None``.

    A server starts on any newer schema, but data is promised to be compatible only between neighbouring minors: one
    minor back is a supported way to return from an upgrade, two are not.
    """
    own = expected_schema(version)
    if own is None or parse_level(present) <= parse_level(own.of(store)):
        return None
    major, minor = _minor(version)
    neighbour = MINORS.get((major, minor + 1))
    if neighbour and parse_level(present) <= parse_level(neighbour.levels.of(store)):
        return None
    newer = [m for m, known in MINORS.items() if parse_level(known.levels.of(store)) >= parse_level(present)]
    needs = (
        f"the level of Temporal {_text(min(newer))}" if newer else "newer than any release that this collection knows"
    )
    return (
        f"The {store} store has schema {present}, {needs}; Temporal {version} has {own.of(store)} and may run on the "
        f"schema of the next minor at most. Set temporal_version to the release that made this database, or restore a "
        f"backup from before its upgrade."
    )


def check_pair(temporal: str, postgres: str | int) -> str | None:
    """Why these two releases are not supported together, or ``None``.

    :param postgres: a major (``17``, ``"17"``) or a full version (``"17.6"``).
    """
    match = re.match(r"^\d+", str(postgres).strip())
    supported = f"{POSTGRES_MAJORS[0]} to {POSTGRES_MAJORS[-1]}"
    if match is None:
        return (
            f"'{postgres}' is not a PostgreSQL version: expected a major from {supported}, such as {DEFAULT_POSTGRES}."
        )
    major = int(match[0])
    if major in POSTGRES_MAJORS:
        return None
    if major < POSTGRES_OLDEST_RUNNING:
        found = f"PostgreSQL {major} cannot hold Temporal {temporal}, which needs {POSTGRES_OLDEST_RUNNING} or newer"
    elif major < POSTGRES_MAJORS[0]:
        found = f"PostgreSQL {major} is too old for a supported pair with Temporal {temporal}"
    else:
        found = f"PostgreSQL {major} was not proved with Temporal {temporal}"
    return f"{found}; supported are {supported}. Set postgres_version to {DEFAULT_POSTGRES}."


def next_minor_allowed(running: str, wanted: str) -> str | None:
    """Why the server must not go from one release to another in one step, or ``None``.

    Up: within a minor, or to the next one. Down: to the minor before, never further.
    """
    reason = is_bad(wanted)
    if reason:
        return reason
    here, there = parse_version(running), parse_version(wanted)
    if here[0] != there[0]:
        return f"Temporal {running} cannot become {wanted}: another major version. Stay on {here[0]}.x."
    distance = there[1] - here[1]
    if distance > 1:
        step = (here[0], here[1] + 1)
        via = MINORS[step].newest if step in MINORS else f"{_text(step)}, newest patch"
        return f"Temporal {running} cannot become {wanted} in one step: one minor at a time. Upgrade to {via} first."
    if distance < -1:
        back = (here[0], here[1] - 1)
        return (
            f"Temporal {running} cannot return to {wanted}: data is compatible with the minor before only. "
            f"Go back to {_text(back)} at most, or restore a backup from before the upgrade."
        )
    return None


def go_toolchain(component: Component, version: str) -> str | None:
    """Go toolchain that builds a release from Go modules, such as ``go1.26.10``, or ``None`` when none is known to."""
    text = ".".join(map(str, parse_version(version)))
    proved = GO_TOOLCHAINS[component].get(text)
    if proved or component in ("cli", "ui"):
        return proved
    return _SERVER_GO_OF_MINOR.get(_minor(version))


def is_proved_go_module(component: Component, version: str) -> bool:
    """Whether this very release was seen to build from Go modules."""
    return ".".join(map(str, parse_version(version))) in GO_TOOLCHAINS[component]
