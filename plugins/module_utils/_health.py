# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the health of a cluster, and waits until it is usable.

Private to this collection.
"""

from __future__ import annotations

import time
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, Status, complaints, worst
from ansible_collections.durable.temporal.plugins.module_utils._client import (
    SYSTEM_NAMESPACE,
    SYSTEM_TASK_QUEUE,
    Temporal,
)
from ansible_collections.durable.temporal.plugins.module_utils._database import (
    DATABASE,
    DRIVERS,
    Database,
    DatabaseError,
    Member,
)
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule
from ansible_collections.durable.temporal.plugins.module_utils._venv import provide
from ansible_collections.durable.temporal.plugins.module_utils._versions import (
    STORES,
    Levels,
    Store,
    check_pair,
    expected_schema,
    is_bad,
    parse_level,
    schema_too_new,
)

PROBE = timedelta(seconds=3)
POLL_SECONDS = 0.5
# Options of the fragment durable.temporal.health.
EXPECTED: dict[str, dict[str, t.Any]] = {
    "expected_version": {"type": "str"},
    "expected_history_shards": {"type": "int"},
    "expected_members": {"type": "dict", "default": {}},
    "database": {"type": "dict", "options": DATABASE},
}
# A poll is held for a minute, so a live worker was heard from within that time.
POLLER_SECONDS = 90
ROLES = ("frontend", "history", "matching", "worker")
CONNECTIONS_PERCENT = 90


@dataclass
class Stores:
    """What PostgreSQL says. A level that is an error could not be read."""

    version: str = ""
    levels: dict[Store, str | DatabaseError | None] = field(default_factory=dict)
    members: list[Member] | None = None
    connections: tuple[int, int] | None = None
    read_only: bool = False
    error: DatabaseError | None = None


@dataclass
class Observation:
    """What was measured once. An error in a place means that this could not be measured, and why."""

    reached: TemporalError | None = None
    serving: bool | TemporalError = False
    database: TemporalError | None = None
    history: TemporalError | None = None
    matching: TemporalError | None = None
    system_pollers: int = 0
    cluster: dict[str, t.Any] = field(default_factory=dict)
    namespaces: set[str] | TemporalError = field(default_factory=set)
    stores: Stores | None = None


@dataclass(frozen=True)
class Expected:
    """What the operator expects."""

    version: str | None = None
    history_shards: int | None = None
    members: t.Mapping[str, int] = field(default_factory=dict)
    namespaces: t.Sequence[str] = ()


def _probe(name: str, error: TemporalError | None, answers: str) -> Check:
    if error is None:
        return Check("temporal", name, "healthy", answers, answers)
    if error.kind == "permission_denied":
        return Check("temporal", name, "degraded", "not allowed to ask", answers, error.message)
    return Check("temporal", name, "failed", "no answer", answers, error.message)


def assess(seen: Observation, expected: Expected) -> list[Check]:
    """Turn what was measured into checks. Pure."""
    if seen.reached:
        checks = [Check("temporal", "frontend serving", "failed", "not reachable", "SERVING", seen.reached.message)]
    else:
        checks = [*_roles(seen), *_cluster(seen.cluster, expected), *_namespaces(seen.namespaces, expected.namespaces)]
    if seen.stores:
        checks += _stores(seen.stores, str(seen.cluster.get("version", "")), expected)
    return checks


def _roles(seen: Observation) -> list[Check]:
    if isinstance(seen.serving, TemporalError):
        frontend = Check("temporal", "frontend serving", "failed", "no answer", "SERVING", seen.serving.message)
    elif seen.serving:
        frontend = Check("temporal", "frontend serving", "healthy", "SERVING", "SERVING")
    else:
        advice = "It is starting or stopping. Look at the log of the server if it stays so."
        frontend = Check("temporal", "frontend serving", "failed", "NOT_SERVING", "SERVING", advice)
    checks = [
        frontend,
        _probe("database answers", seen.database, "reads"),
        _probe("history answers", seen.history, "answers"),
        _probe("matching answers", seen.matching, "answers"),
    ]
    if seen.matching is None:
        polls, advice = (
            seen.system_pollers > 0,
            "Deletions, schedules and archival wait for it. Look at the server's log.",
        )
        checks.append(
            Check(
                "temporal", "worker polls", "healthy" if polls else "degraded",
                f"{seen.system_pollers} pollers", "1 poller or more", "" if polls else advice,
            )
        )  # fmt: skip
    return checks


def _cluster(cluster: t.Mapping[str, t.Any], expected: Expected) -> list[Check]:
    if not cluster:
        return []
    version, shards = str(cluster["version"]), int(cluster["history_shards"])
    bad = _judge(is_bad, version)
    wanted = expected.version or version
    if version != wanted:
        advice = "The old release still runs, or another server answers at this address. Run site.yml."
        checks = [Check("temporal", "version", "failed", version, wanted, advice)]
    else:
        checks = [Check("temporal", "version", "degraded" if bad else "healthy", version, wanted, bad or "")]
    if expected.history_shards is not None:
        same = shards == expected.history_shards
        advice = (
            f"The number is fixed since the first start of this cluster. Set temporal_history_shards to {shards}; "
            "another number needs a new cluster."
        )
        checks.append(
            Check(
                "temporal", "history shards", "healthy" if same else "failed",
                str(shards), str(expected.history_shards), "" if same else advice,
            )
        )  # fmt: skip
    return checks


def _judge(rule: t.Callable[[str], str | None], version: str) -> str | None:
    try:
        return rule(version)
    except ValueError:  # a build of the user's own, such as 1.32.2-rc.1
        return None


def _namespaces(present: set[str] | TemporalError, wanted: t.Sequence[str]) -> list[Check]:
    if not wanted:
        return []
    if isinstance(present, TemporalError):
        return [_probe("namespaces", present, ", ".join(wanted))]
    missing = [name for name in wanted if name not in present]
    # Healthy all the same: it keeps its workflows, and somebody may have made it by hand.
    others = sorted(present - {*wanted, SYSTEM_NAMESPACE, "default"})
    more = f"; not declared: {', '.join(others)}" if others else ""
    found = f"{len(wanted) - len(missing)} of {len(wanted)}{more}"
    advice = f"Missing: {', '.join(missing)}. Declare them in temporal_namespaces and run site.yml." if missing else ""
    return [
        Check(
            "temporal",
            "namespaces",
            "failed" if missing else "healthy",
            found,
            f"{len(wanted)} of {len(wanted)}",
            advice,
        )
    ]


def _stores(stores: Stores, temporal: str, expected: Expected) -> list[Check]:
    if stores.error:
        return [Check("postgresql", "answers", "failed", "no answer", "answers", stores.error.message)]
    pair = check_pair(temporal or "this release", stores.version)
    checks = [
        Check("postgresql", "version", "degraded" if pair else "healthy", stores.version, "supported", pair or "")
    ]
    if stores.read_only:
        advice = (
            "It is a standby, or has default_transaction_read_only: the server can keep nothing. Look at its settings."
        )
        checks.append(Check("postgresql", "takes writes", "failed", "read-only", "read and write", advice))
    checks += [_level(store, stores.levels.get(store), temporal) for store in STORES]
    if stores.members is not None:
        checks += _members(stores.members, expected.members)
    if stores.connections:
        used, limit = stores.connections
        high = used * 100 >= limit * CONNECTIONS_PERCENT
        advice = "Soon nobody can connect. Lower the pools of the server, or raise max_connections." if high else ""
        wanted = f"less than {CONNECTIONS_PERCENT} % of {limit}"
        checks.append(
            Check("postgresql", "connections", "degraded" if high else "healthy", f"{used} of {limit}", wanted, advice)
        )
    return checks


def _needs(temporal: str) -> Levels | None:
    try:
        return expected_schema(temporal)
    except ValueError:  # not known, or a build of the user's own
        return None


def _level(store: Store, level: str | DatabaseError | None, temporal: str) -> Check:
    name = f"{store} schema"
    needs = _needs(temporal)
    wanted = f"{needs.of(store)} or newer" if needs else "any"
    if isinstance(level, DatabaseError):
        return Check("postgresql", name, "failed", "unreadable", wanted, level.message)
    if level is None:
        return Check("postgresql", name, "failed", "none", wanted, "Run site.yml, which makes the schema.")
    if needs and parse_level(level) < parse_level(needs.of(store)):
        advice = f"Temporal {temporal} cannot start on it. Run site.yml, which upgrades the schema."
        return Check("postgresql", name, "failed", level, wanted, advice)
    newer = schema_too_new(temporal, store, level) if needs else None
    return Check("postgresql", name, "degraded" if newer else "healthy", level, wanted, newer or "")


def _members(members: t.Sequence[Member], expected: t.Mapping[str, int]) -> list[Check]:
    checks: list[Check] = []
    for role in dict.fromkeys([*ROLES, *expected]):
        found, wanted = sum(member.role == role for member in members), int(expected.get(role, 1))
        if found == wanted or (role not in expected and found > wanted):
            checks.append(Check("temporal", f"{role} members", "healthy", str(found), str(wanted)))
        elif found > wanted:
            advice = "Members that stopped leave within 20 seconds; otherwise a server too many uses this database."
            checks.append(Check("temporal", f"{role} members", "degraded", str(found), str(wanted), advice))
        else:
            advice = f"Look at the log of the servers that should run the {role} role, and at their clocks."
            checks.append(
                Check("temporal", f"{role} members", "degraded" if found else "failed", str(found), str(wanted), advice)
            )
    return checks


def observe(temporal: Temporal | TemporalError, wants_namespaces: bool) -> Observation:
    """Measure the cluster once, with short deadlines."""
    if isinstance(temporal, TemporalError):
        return Observation(reached=temporal)
    seen = Observation(serving=_try(lambda: temporal.serving(PROBE)))
    seen.database = _error(lambda: temporal.read_namespace(SYSTEM_NAMESPACE, PROBE))
    seen.history = _error(lambda: temporal.history_answers(SYSTEM_NAMESPACE, PROBE))
    pollers = _try(lambda: temporal.pollers([(SYSTEM_NAMESPACE, SYSTEM_TASK_QUEUE, "workflow")])[0])
    if isinstance(pollers, TemporalError):
        seen.matching = pollers
    else:
        seen.system_pollers = sum(poller["last_access"] > time.time() - POLLER_SECONDS for poller in pollers)
    cluster = _try(temporal.cluster_info)
    seen.cluster = {} if isinstance(cluster, TemporalError) else cluster
    if wants_namespaces:
        names = _try(temporal.namespaces)
        seen.namespaces = names if isinstance(names, TemporalError) else set(names)
    return seen


def _try(call: t.Callable[[], t.Any]) -> t.Any:
    try:
        return call()
    except TemporalError as error:
        return error


def _error(call: t.Callable[[], object]) -> TemporalError | None:
    result = _try(call)
    return result if isinstance(result, TemporalError) else None


def observe_stores(driver: str | None, options: t.Mapping[str, t.Any]) -> Stores:
    """Read what PostgreSQL says, once."""
    if driver is None:
        missing = "Neither psycopg nor psycopg2 was found. Run the role durable.temporal.temporal_client on this host."
        return Stores(error=DatabaseError("other", missing))
    stores = Stores()
    try:
        with Database(driver, options, options["name"]) as database:
            stores.version = database.version()
            stores.connections = database.connections()
            stores.read_only = database.read_only()
            stores.levels["default"] = _level_of(database, "default")
            if database.has_table("cluster_membership"):
                stores.members = database.members()
    except DatabaseError as error:
        stores.error = error
        return stores
    try:
        with Database(driver, options, options["visibility_name"]) as database:
            stores.levels["visibility"] = _level_of(database, "visibility")
    except DatabaseError as error:
        stores.levels["visibility"] = error
    return stores


def _level_of(database: Database, store: Store) -> str | DatabaseError | None:
    try:
        return database.schema_level(store)
    except DatabaseError as error:
        return error


def is_final(checks: t.Sequence[Check], wait_for: str) -> bool:
    """Whether waiting is over: what was waited for is there, or can never come."""
    if any(check.name == "history shards" and check.status == "failed" for check in checks):
        return True
    status = worst(checks)
    return status == "healthy" or (status == "degraded" and wait_for == "usable")


class Cluster:
    """Measures again and again over one connection, which is made anew when it fails."""

    def __init__(self, module: TemporalModule, namespaces: t.Sequence[str]) -> None:
        self._module = module
        self._namespaces = namespaces
        self._temporal: Temporal | None = None
        database = module.params["database"]
        self._driver = provide(DRIVERS, module.params["venv"]) if database else None
        self._database = database

    def measure(self) -> Observation:
        """One observation."""
        if self._temporal is None:
            temporal = _try(lambda: self._module.connect(retry=False))
            self._temporal = None if isinstance(temporal, TemporalError) else temporal
        else:
            temporal = self._temporal
        seen = observe(temporal, bool(self._namespaces))
        if self._database:
            seen.stores = observe_stores(self._driver, self._database)
        return seen


def require(
    module: TemporalModule,
    wait_for: str,
    wait_seconds: float,
    *,
    namespaces: t.Sequence[str] = (),
    intolerable: t.Sequence[Status] = ("failed",),
) -> dict[str, t.Any]:
    """Wait until a cluster is as expected; a status that is intolerable then fails the module, except in check mode.

    :param module: with the options :data:`EXPECTED`.
    :param wait_for: ``usable`` or ``healthy``.
    :returns: what was measured, for the result of the module.
    """
    options = module.params
    expected = Expected(
        version=options["expected_version"],
        history_shards=options["expected_history_shards"],
        members=members_option(module),
        namespaces=namespaces,
    )
    module.has_sdk()  # may start the module again under the interpreter that has it, so before anything else
    cluster = Cluster(module, namespaces)
    start = time.monotonic()
    end = start + (0 if module.check_mode else wait_seconds)
    while True:
        seen = cluster.measure()
        checks = assess(seen, expected)
        if is_final(checks, wait_for) or time.monotonic() >= end or not module.has_sdk():
            break
        time.sleep(POLL_SECONDS)
    waited = round(time.monotonic() - start, 1)
    result = {"waited_seconds": waited, **report(seen, checks)}
    if result["status"] in intolerable and not module.check_mode:
        after = f" after {waited:g} s" if wait_seconds else ""
        text = complaints(checks, *intolerable)
        module.fail(f"Temporal at {options['address']} is {result['status']}{after}. {text}", **result)
    return result


def members_option(module: TemporalModule) -> dict[str, int]:
    """The option ``expected_members`` with counts as numbers."""
    counts: dict[str, int] = {}
    for role, count in module.params["expected_members"].items():
        if not str(count).isdecimal():
            module.fail(f"expected_members.{role} is '{count}': expected a number of members.")
        counts[str(role)] = int(count)
    if counts and not module.params["database"]:
        module.fail("expected_members is set, but database is not: members are read from the database. Set database.")
    return counts


def report(seen: Observation, checks: t.Sequence[Check]) -> dict[str, t.Any]:
    """The module's result."""
    stores = seen.stores or Stores()
    members: dict[str, list[str]] = defaultdict(list)
    for member in stores.members or []:
        members[member.role].append(member.address)
    used, limit = stores.connections or (0, 0)
    return {
        "status": worst(checks),
        "checks": [check.as_dict() for check in checks],
        "versions": {
            "temporal": str(seen.cluster.get("version", "")),
            "postgresql": stores.version,
            "schema": {store: level for store, level in stores.levels.items() if isinstance(level, str)},
        },
        "cluster": seen.cluster,
        "members": dict(members),
        "connections": {"used": used, "limit": limit} if stores.connections else {},
    }
