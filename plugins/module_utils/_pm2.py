# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes under PM2: what an application wants, what PM2 has, and what to do about the difference.

Private to this collection. Pure functions; modules/pm2.py does what they say.
"""

from __future__ import annotations

import json
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._application import (
    CANDIDATE,
    DEFINITION,
    INDEX,
    candidate_queue,
    check_base,
)
from ansible_collections.durable.temporal.plugins.module_utils._environment import digest, environment_of
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan, compare

# Statuses of a process that is on its way; it is waited for before anything is decided.
UNDER_WAY = ("launching", "stopping")
# A process that has ended, and that PM2 is to start again.
CRASHED = "waiting restart"
# A candidate has no work to finish when it is taken away.
CANDIDATE_KILL_MS = 500
# PM2 calls a process online that has not said in time that it is ready. A candidate is taken away before that.
CANDIDATE_READY_MS = 3_600_000


class Pm2Error(Exception):
    """Why processes cannot be brought to the wanted state; the text is for the operator."""


class RefusedError(Pm2Error):
    """A release was tried and does not work; what runs was not touched."""


def ecosystem(application: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """PM2's ecosystem file of an application (normalised, see ``_application``). Holds secrets.

    :param base: variables of the host that every process gets, such as the place of its certificates.
    :raises InvalidApplication: one of them has a name that PM2 has for something else.
    """
    check_base(application, base)
    return {"apps": [_entry(application, process, base) for process in application["processes"]]}


def _entry(
    application: t.Mapping[str, t.Any], process: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    name = process["name"]
    entry: dict[str, t.Any] = {
        "name": name,
        # The link, not the release: PM2 follows it at each start, so that a restart takes the release that is live then.
        "cwd": application["current"],
        "script": process["script"],
        "exec_mode": process["exec_mode"],
        "out_file": f"{application['logs']}/{name}-out.log",
        "error_file": f"{application['logs']}/{name}-error.log",
        "merge_logs": True,
        "log_date_format": "YYYY-MM-DD HH:mm:ss Z",
        "vizion": False,
        # PM2's own metrics, which nothing here reads: 0.04 s of a processor at each start.
        "pmx": False,
        # PM2 turns them on where Node.js does not: a worker of the Temporal SDK then reads hundreds of maps at each start,
        # a quarter second of a processor. An application that wants them says node_args: --enable-source-maps.
        "disable_source_map_support": True,
        "autorestart": True,
    }
    entry.update({k: process[k] for k in ("args", "max_memory_restart") if process[k]})
    # See roles/pm2_worker/files/crash-log.cjs: without it nobody learns why a clustered process has crashed.
    preload = f"--require={application['crash_log']}" if process["exec_mode"] == "cluster" else ""
    if node_args := f"{preload} {process['node_args']}".strip():
        entry["node_args"] = node_args
    entry.update(
        {
            k: process[k]
            for k in ("restart_delay", "max_restarts", "min_uptime", "kill_timeout", "wait_ready", "listen_timeout")
        }
    )
    environment = environment_of(application, process, base)
    own = {DEFINITION: digest([entry, environment], 32)}
    return {**entry, "instances": process["instances"], "env": {**environment, **own}}


def processes(file: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """What the module pm2 needs to know of an ecosystem: no variables, only their digest."""
    return [
        {
            "name": entry["name"],
            "instances": entry["instances"],
            "definition": entry["env"][DEFINITION],
        }
        for entry in file["apps"]
    ]


def candidate(
    file: t.Mapping[str, t.Any], directory: str, release: str, port: int, names: t.Collection[str] | None = None
) -> dict[str, t.Any]:
    """The ecosystem that tries a release beside the live one: one instance of each process, as declared, but on a spare
    port and a task queue of its own, so that it gets neither requests nor tasks. It is not restarted: a crash counts. As
    long as it has not said that it is ready, PM2 says that it is launching.

    :param file: the ecosystem of the application.
    :param directory: where the release lies.
    :param names: the processes to try; all when unset.
    """
    entries = []
    for entry in file["apps"]:
        if names is not None and entry["name"] not in names:
            continue
        env = dict(entry["env"])
        if "PORT" in env:
            env["PORT"] = str(port)
        if queue := env.get("TEMPORAL_TASK_QUEUE"):
            env["TEMPORAL_TASK_QUEUE"] = candidate_queue(queue, release)
        own = {
            "name": entry["name"] + CANDIDATE,
            "cwd": directory,
            "instances": 1,
            "autorestart": False,
            "kill_timeout": CANDIDATE_KILL_MS,
            "listen_timeout": CANDIDATE_READY_MS,
            "env": env,
        }
        # With a delay, PM2 says of one that has ended that it will be started again, which it never is.
        entries.append({**{option: value for option, value in entry.items() if option != "restart_delay"}, **own})
    return {"apps": entries}


@dataclass(frozen=True)
class Instance:
    """One process that PM2 knows. ``release`` is the release that it really runs in, empty when it does not run.

    ``number`` is PM2's, which is a word while PM2 itself replaces a process.
    """

    name: str
    number: str
    pid: int
    status: str
    restarts: int
    started_ms: int
    definition: str
    release: str = ""
    error_file: str = ""
    # Which of the instances of its process it is, for programs of which only the first does something.
    index: str = ""
    # How long after a crash PM2 starts it again; none when it does not.
    restart_seconds: float | None = None

    @property
    def crashes(self) -> int:
        """How often it has ended by itself: PM2 counts the starts after that."""
        return self.restarts + (self.status == CRASHED)


def parse(text: str) -> list[dict[str, t.Any]]:
    """What ``pm2 jlist`` says, without the notices that it may print before.

    :raises Pm2Error: it said something else.
    """
    decoder = json.JSONDecoder()
    for line in range(len(lines := text.splitlines())):
        if lines[line].startswith("["):
            try:
                found, _end = decoder.raw_decode("\n".join(lines[line:]))
            except ValueError:
                continue
            if isinstance(found, list) and all(isinstance(p, dict) for p in found):
                return found
    raise Pm2Error(f"pm2 jlist did not list its processes but said: {text.strip()[-300:] or '(nothing)'}")


def instances(listing: t.Iterable[t.Mapping[str, t.Any]], release_of: t.Callable[[int], str]) -> list[Instance]:
    """The processes of a listing, without PM2's own modules.

    :param release_of: process id to the release whose directory it works in.
    """
    found = []
    for row in listing:
        env = row.get("pm2_env") or {}
        if env.get("pmx_module"):
            continue
        pid = int(row.get("pid") or 0)
        found.append(
            Instance(
                name=str(row.get("name")),
                number=str(row.get("pm_id", env.get("pm_id", ""))),
                pid=pid,
                status=str(env.get("status", "unknown")),
                restarts=int(env.get("restart_time") or 0),
                started_ms=int(env.get("pm_uptime") or 0),
                definition=str(env.get(DEFINITION, "")),
                release=release_of(pid) if pid else "",
                error_file=str(env.get("pm_err_log_path", "")),
                index=str(env.get(INDEX, "")),
                restart_seconds=(
                    int(env.get("restart_delay") or 0) / 1000
                    if str(env.get("autorestart")).lower() != "false"
                    else None
                ),
            )
        )
    return found


def _one(values: t.Iterable[str]) -> str:
    """What all instances have, or how it is spread over them."""
    counted = Counter(values)
    if len(counted) <= 1:
        return next(iter(counted), "")
    return ", ".join(f"{n} x {v or 'none'}" for v, n in sorted(counted.items()))


def present(found: t.Iterable[Instance]) -> dict[str, dict[str, t.Any]]:
    """Process name to what its instances have in common."""
    grouped: dict[str, list[Instance]] = {}
    for instance in found:
        grouped.setdefault(instance.name, []).append(instance)
    return {
        name: {
            "instances": len(group),
            "status": _one(i.status for i in group),
            "release": _one(i.release for i in group),
            "definition": _one(i.definition for i in group),
        }
        for name, group in sorted(grouped.items())
    }


def plan(wanted: t.Iterable[t.Mapping[str, t.Any]], found: t.Iterable[Instance], release: str) -> Plan:
    """What differs. Processes that nobody wants are to go."""
    have = present(found)
    want: dict[str, dict[str, t.Any] | None] = {
        w["name"]: {"instances": w["instances"], "status": "online", "release": release, "definition": w["definition"]}
        for w in wanted
    }
    return compare({**want, **{name: None for name in have if name not in want}}, have)


@dataclass(frozen=True)
class Actions:
    """What to tell PM2: how many instances to start of each process, and then the numbers of those that are to end.

    PM2's own reload is not used. It ends the old instance also when the new one has not become ready in time, stops
    processes in fork mode before it starts them, takes one instance after the other, and takes over only a part of a
    changed declaration.
    """

    start: dict[str, int]
    end: tuple[str, ...]


def actions(
    wanted: t.Iterable[t.Mapping[str, t.Any]], found: t.Sequence[Instance], release: str, force: bool = False
) -> Actions:
    """What brings the found instances to the wanted state.

    :param force: replace also what is as wanted.
    """
    start: dict[str, int] = {}
    keep: set[str] = set()
    for want in wanted:
        right = [
            i.number
            for i in found
            if (i.name, i.status, i.release, i.definition) == (want["name"], "online", release, want["definition"])
        ][: 0 if force else want["instances"]]
        keep.update(right)
        if len(right) < want["instances"]:
            start[want["name"]] = want["instances"] - len(right)
    return Actions(start, tuple(i.number for i in found if i.number not in keep))


def additional(
    file: t.Mapping[str, t.Any], start: t.Mapping[str, int], staying: t.Iterable[Instance]
) -> dict[str, t.Any]:
    """The part of an ecosystem that is to be started: an entry for each instance, so that PM2 starts them at once.

    They are numbered as if those that are to end were gone already; PM2 itself would go on counting.
    """
    taken = {(i.name, i.index) for i in staying}
    entries = []
    for entry in file["apps"]:
        free = [str(n) for n in range(entry["instances"]) if (entry["name"], str(n)) not in taken]
        for number in free[: start.get(entry["name"], 0)]:
            entries.append({**entry, "instances": 1, "env": {**entry["env"], INDEX: number}})
    return {"apps": entries}


def trouble(wanted: t.Sequence[t.Mapping[str, t.Any]], found: t.Sequence[Instance], release: str) -> list[str]:
    """Sentences about what is not as wanted; empty when every instance runs the right release."""
    have = present(found)
    sentences = []
    for want in wanted:
        name, now = want["name"], have.get(want["name"])
        if now is None:
            sentences.append(f"{name} does not run; expected {want['instances']} online")
        elif now["status"] != "online" or now["instances"] != want["instances"]:
            online = sum(i.name == name and i.status == "online" for i in found)
            restarts = sum(i.restarts for i in found if i.name == name)
            sentences.append(f"{name} is {now['status']}: {online} of {want['instances']} online, {restarts} restarts")
        elif now["release"] != release:
            sentences.append(f"{name} runs release {now['release']}; expected {release}")
        elif now["definition"] != want["definition"]:
            sentences.append(f"{name} runs with an earlier declaration")
    return sentences


def unready(found: t.Iterable[Instance], now_seconds: float) -> str:
    """A sentence about instances that run and have not said that they are ready; empty when there is none.

    :param now_seconds: since the epoch.
    """
    ages = {i.name.removesuffix(CANDIDATE): now_seconds - i.started_ms / 1000 for i in found}
    if not ages:
        return ""
    told = "; ".join(
        f"{name} runs for {age:.0f} s and has not said that it is ready" for name, age in sorted(ages.items())
    )
    return (
        f"{told}, and wait_ready is true. Let the program call process.send('ready') once it works, raise listen_timeout "
        "if it needs longer, or declare wait_ready: false"
    )


def crashed(before: t.Sequence[Instance], now: t.Sequence[Instance]) -> dict[str, int]:
    """Process name to the crashes of its instances since ``before``; all those of instances that were not there."""
    earlier = {i.number: i.crashes for i in before}
    count: Counter[str] = Counter()
    for instance in now:
        # PM2 counts from 0 again after it has given up and is told to start.
        count[instance.name] += max(0, instance.crashes - earlier.get(instance.number, 0))
    return {name: number for name, number in count.items() if number}


def checks(
    application: str, wanted: t.Sequence[t.Mapping[str, t.Any]], found: t.Sequence[Instance], release: str
) -> list[dict[str, str]]:
    """The health of each wanted process, in the form that all health reports share."""
    rows = []
    for want in wanted:
        group = [i for i in found if i.name == want["name"]]
        online = sum(i.status == "online" for i in group)
        wrong = trouble([want], found, release)
        runs = _one(i.release for i in group) or "none"
        rows.append(
            {
                "component": application,
                "name": f"process {want['name']}",
                "status": "failed" if online == 0 else "degraded" if wrong else "healthy",
                "found": f"{online} online, {sum(i.restarts for i in group)} restarts, release {runs}",
                "expected": f"{want['instances']} online, release {release or 'none'}",
                "message": f"{wrong[0]}. Look at its log, then deploy again." if wrong else "",
            }
        )
    return rows
