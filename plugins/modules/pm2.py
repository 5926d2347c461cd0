#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the processes of applications under PM2, and finds out whether they really run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pm2
short_description: Run the processes of applications under PM2
version_added: 0.1.0
description:
  - Compares the processes that PM2 runs for each application with those that are wanted - their number, status, release
    and declaration - and replaces only what differs.
  - New instances are started beside the old ones. Only when they run, and the application answers, the old ones are told
    to end; they finish their work while the new ones are watched already. When the new ones fail, they are taken away
    and the old ones go on. Two instances cannot listen on one port unless PM2 shares it (C(exec_mode) V(cluster)), so
    that one that listens itself ends before its successor starts. So do those that share a port, when their successors
    listen on another address of it.
  - Each application has its own PM2 daemon in a systemd unit. No PM2 command is run while that unit is not active,
    because PM2 would start a daemon outside of it, without its limits, that does not come back after a reboot.
  - PM2 reports success when it has started a program that crashes. After each action this module watches until all
    instances are online in the live release and stay so, and fails with the last lines of their logs if not.
  - The list of processes is saved for the next boot after they were seen to run.
  - No value of a variable is read, compared or shown; a declaration is compared by its digest, which processes carry in
    their environment (see the filter P(durable.temporal.pm2_ecosystem#filter)).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.connection
options:
  applications:
    description:
      - The applications. P(durable.temporal.applications#filter) makes this list from their declarations.
      - One that has no release yet is left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      user:
        description: User that runs PM2 and the processes.
        type: str
        required: true
      group:
        description: Group of the processes. The primary group of O(applications[].user) when unset.
        type: str
      unit:
        description: The systemd unit that owns the PM2 daemon.
        type: str
        required: true
      pm2_home:
        description: Directory of the PM2 daemon, E(PM2_HOME).
        type: path
        required: true
      current:
        description: Link to the live release.
        type: path
        required: true
      ecosystem:
        description: The ecosystem file, JSON, on the managed host.
        type: path
        required: true
      processes:
        description: The wanted processes; others are deleted. Those of O(applications[].ecosystem) when unset.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the process.
            type: str
            required: true
          instances:
            description: How many of it are to run.
            type: int
            default: 1
          definition:
            description: Digest of its declaration, as in the ecosystem file.
            type: str
            required: true
      health_url:
        description:
          - Address that must answer 200, as seen from the managed host, before an application counts as running.
          - When the answer is JSON with a text as C(status), that must be V(healthy), V(ok), V(up), V(pass), V(passing),
            V(ready), V(running), V(alive), V(serving), V(available) or V(success), in any case of letters.
        type: str
      candidate:
        description: Whether O(state=candidate) tries it. Without, it does nothing.
        type: bool
        default: true
      namespace:
        description: Temporal namespace of O(applications[].task_queues).
        type: str
      task_queues:
        description: Task queues that its workers poll, for O(pollers).
        type: list
        elements: str
        default: []
      poller_identity:
        description:
          - Regular expression that the identity of its workers matches. When unset, identities begin with the number of
            the process, such as V(4711@app1).
        type: str
      temporal_address:
        description: Its Temporal frontend. When it is another than O(address), its pollers are not waited for.
        type: str
  ecosystems:
    description:
      - Path to content of ecosystem files, which hold secrets. One that differs is written, readable by the user alone.
      - Those that are not given stay as they are.
    type: dict
    default: {}
  pollers:
    description:
      - Whether an application runs only when the server sees a new instance, or a candidate, poll each of its task queues,
        whatever PM2 says.
    type: bool
    default: false
  state:
    description:
      - V(started) runs what is wanted and changes only what differs.
      - V(reloaded) also replaces what does not differ.
      - V(candidate) tries what V(started) would start, beside what runs. It starts one instance of each process
        in the release that O(live) names, on a spare port and on a task queue of its own (C(-candidate-) and the release
        are appended to E(TEMPORAL_TASK_QUEUE)), and waits until it runs and answers. What runs is not touched. Nothing is
        tried when no release is live yet. One that has ended, or has C(wait_ready) and does not say within its
        C(listen_timeout) that it is ready, is refused.
      - V(withdrawn) deletes candidates only. So does V(started), besides what it does.
      - V(deleted) deletes all processes of the applications.
    type: str
    choices: [started, reloaded, candidate, withdrawn, deleted]
    default: started
  live:
    description:
      - Application to release that is expected to be live, as RV(durable.temporal.release#module:live) has it.
      - In check mode a release that is not there yet is taken from here.
    type: dict
    default: {}
  wait_seconds:
    description: How long processes may take to run and O(applications[].health_url) to answer.
    type: int
    default: 60
  stable_seconds:
    description:
      - How long all new instances must stay online, without a restart. The time counts from when they run, while old
        ones end their work.
    type: int
    default: 3
  try_first:
    description:
      - With O(state=started), whether the programs that answer requests are tried before they are started, as
        O(state=candidate) does it, in the same step. Meanwhile new workers start, which are judged by their polling.
      - For a release that has run here before.
    type: bool
    default: false
  restarts_allowed:
    description: How often an instance may crash while it is waited for. One more is taken for a crash loop.
    type: int
    default: 1
  pm2:
    description: The PM2 program.
    type: path
    default: /opt/pm2/bin/pm2
"""

EXAMPLES = r"""
- name: Run the applications
  durable.temporal.pm2:
    applications: "{{ topology_applications | durable.temporal.applications('pm2') }}"

- name: What is not healthy?
  durable.temporal.pm2:
    applications: "{{ topology_applications | durable.temporal.applications('pm2') }}"
  check_mode: true
  register: processes
"""

RETURN = r"""
applications:
  description: One row an application, in the order of O(applications).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the application.
      type: str
    release:
      description: The live release; empty when there is none yet.
      type: str
    processes:
      description: Process name to number of instances, status, release and digest of the declaration.
      type: dict
pids:
  description: Application to the process ids of its instances. A Temporal worker's identity begins with one of them.
  returned: always
  type: dict
candidates:
  description: What was tried, one row an application.
  returned: when O(state=candidate)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the application.
      type: str
    release:
      description: The release that was tried.
      type: str
    task_queues:
      description: The task queues that its candidates poll, if they are workers.
      type: list
      elements: str
    pids:
      description: The process ids of its candidates.
      type: list
      elements: int
checks:
  description: The health of each wanted process and each O(applications[].health_url).
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: Name of the application.
      type: str
    name:
      description: What was looked at.
      type: str
    status:
      description: V(healthy), V(degraded) or V(failed).
      type: str
    found:
      description: What was seen.
      type: str
    expected:
      description: What should have been seen.
      type: str
    message:
      description: What to do; empty when healthy.
      type: str
changes:
  description: What differed, one row a process.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Application and process.
      type: str
    action:
      description: V(create), V(update) or V(delete).
      type: str
    fields:
      description: What differed about it.
      type: list
      elements: str
"""

import contextlib
import json
import re
import socket
import time
import typing as t
from dataclasses import replace
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils import _pm2_packaged as packaged
from ansible_collections.durable.temporal.plugins.module_utils._application import CANDIDATE, DEFINITION
from ansible_collections.durable.temporal.plugins.module_utils._client import Temporal
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import (
    CRASHED,
    Actions,
    Instance,
    Pm2Error,
    RefusedError,
    actions,
    additional,
    candidate,
    checks,
    crashed,
    plan,
    present,
    processes,
    trouble,
    unready,
)
from ansible_collections.durable.temporal.plugins.module_utils._pm2_daemon import (
    POLL_SECONDS,
    Background,
    Daemon,
    listens,
)
from ansible_collections.durable.temporal.plugins.module_utils._pollers import (
    NOBODY,
    PASSING,
    complaint,
    own_identity,
    read,
    stray,
)
from ansible_collections.durable.temporal.plugins.module_utils._registry import refusal
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule
from ansible_collections.durable.temporal.plugins.module_utils._watch import (
    health,
    last_lines,
    on_port,
    spare_port,
    tried_and_refused,
)

PROCESS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "instances": {"type": "int", "default": 1},
    "definition": {"type": "str", "required": True},
}
APPLICATION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "group": {"type": "str"},
    "unit": {"type": "str", "required": True},
    "pm2_home": {"type": "path", "required": True},
    "current": {"type": "path", "required": True},
    "ecosystem": {"type": "path", "required": True},
    "processes": {"type": "list", "elements": "dict", "options": PROCESS},
    "health_url": {"type": "str"},
    "candidate": {"type": "bool", "default": True},
    "namespace": {"type": "str"},
    "task_queues": {"type": "list", "elements": "str", "default": []},
    "poller_identity": {"type": "str"},
    "temporal_address": {"type": "str"},
}
STATES = ("started", "reloaded", "candidate", "withdrawn", "deleted")
# A candidate must answer this often in a row: the first answer of a program may be its last.
HEALTHY_ANSWERS = 3
# What Node.js says of a port that another socket has.
TAKEN_PORT = re.compile(r"EADDRINUSE[^\n]*?:(\d+)(?!\d*[:\d])")
# What is launching so shortly before the time of PM2's patience is over does not get ready before that.
SILENT_SECONDS = 0.5
# How much the clocks of this host and of the server may differ.
CLOCK_SECONDS = 60


def sizes(logs: t.Mapping[str, list[Path]]) -> dict[Path, int]:
    """How long log files are now, so that only what comes after is shown."""
    return {path: path.stat().st_size if path.exists() else 0 for paths in logs.values() for path in paths}


def logged(paths: t.Iterable[Path], offsets: t.Mapping[Path, int]) -> str:
    """The end of what was logged since ``offsets``; of the first file that has anything."""
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(offsets.get(path, 0), path.stat().st_size - 8192))
            if text := last_lines(str(path), file.read().decode(errors="replace").splitlines()):
                return text
    return ""


class Pollers:
    """Asks the server whether it sees the workers of an application."""

    def __init__(self, module: TemporalModule, application: t.Mapping[str, t.Any]) -> None:
        self.module = module
        self.application = application
        self._temporal: Temporal | None = None
        address = application["temporal_address"] or module.params["address"]
        self._asked = module.params["pollers"] and address == module.params["address"]

    def reach(self) -> None:
        """Connect while programs start, so that a login which is refused is told at once.

        :raises Pm2Error: the server cannot be asked, and waiting does not help.
        """
        try:
            if self._asked and self.application["task_queues"]:
                self._temporal = self._temporal or self.module.connect()
        except TemporalError as error:
            if error.kind not in PASSING:
                raise Pm2Error(error.message) from None

    def strays(self, candidates: t.Iterable[Instance], since: float) -> str:
        """A sentence about a candidate that polls a task queue of the live release, which it was told to leave alone.

        :param since: when it was started, in seconds since the epoch: the server lists pollers that are gone.
        """
        if self._temporal is None or not self.application["task_queues"]:
            return ""
        wanted = {"namespace": self.application["namespace"] or "default", "types": ["workflow", "activity"]}
        wanted |= {"identity_pattern": own_identity(i.pid for i in candidates), **NOBODY, "newer_than": since}
        rows = [{"name": queue, **wanted} for queue in self.application["task_queues"]]
        try:
            return next((stray(queue, row) for queue, row in read(self._temporal, rows) if not row["ready"]), "")
        except TemporalError:
            # Whether it answers is asked for elsewhere.
            return ""

    def missing(self, queues: t.Iterable[str], found: t.Iterable[Instance]) -> list[str]:
        """Sentences about the task queues that no instance polls. Once there are none, the server is not asked again.

        :raises Pm2Error: the server cannot be asked.
        """
        wanted = {
            "namespace": self.application["namespace"] or "default",
            "types": ["workflow", "activity"],
            "identity_pattern": self.application["poller_identity"] or own_identity(i.pid for i in found),
            "min_pollers": 1,
            "max_pollers": None,
            "newer_than": None,
        }
        rows = [{"name": queue, **wanted} for queue in queues] if self._asked else []
        if not rows:
            return []
        try:
            self._temporal = self._temporal or self.module.connect()
            sentences = [complaint(queue, row) for queue, row in read(self._temporal, rows) if not row["ready"]]
        except TemporalError as error:
            if error.kind not in PASSING:
                raise Pm2Error(error.message) from None
            return [error.message]
        self._asked = bool(sentences)
        return sentences


class Work:
    """One application: compared, brought to the wanted state, watched."""

    def __init__(self, module: TemporalModule, application: dict[str, t.Any]) -> None:
        self.module = module
        self.application = application
        self.name: str = application["name"]
        self.state: str = module.params["state"]
        wait = module.params["wait_seconds"]
        self.daemon = Daemon(application, module.params["pm2"], timeout_seconds=wait + 300)
        self.declared = declare(module, self.daemon)
        self.wanted: list[dict[str, t.Any]] = [] if self.state == "deleted" else self._wanted()
        self.release = self._release()
        self.pollers = Pollers(module, application)
        self.found: list[Instance] = []
        self.plan = Plan()
        self.actions = Actions({}, ())
        # PM2's numbers of the instances from before, as far as they still run.
        self.before: set[str] = set()
        self.forced = False
        # Process to its log files, and how long those were before anything was done.
        self.logs: dict[str, list[Path]] = {}
        self.offsets: dict[Path, int] = {}
        # What to tell of processes that were started and never said that they were ready.
        self.unready = ""
        # What runs as wanted, and since when.
        self.pids: set[int] = set()
        self.running_since = 0.0
        self.checks: list[dict[str, str]] = []

    def _wanted(self) -> list[dict[str, t.Any]]:
        """:raises Pm2Error: there is no ecosystem to take the processes from."""
        declared: list[dict[str, t.Any]] | None = self.application["processes"]
        if declared is not None:
            return declared
        path = self.application["ecosystem"]
        try:
            return processes(json.loads(Path(path).read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.module.check_mode and isinstance(error, FileNotFoundError):
                return []
            raise Pm2Error(f"{path} cannot be used: {error}. Run site.yml first; it writes the ecosystem.") from None

    def _release(self) -> str:
        """The live release; in check mode the one that would be.

        :raises Pm2Error: another one is live than was expected.
        """
        current = Path(self.application["current"])
        live = current.resolve().name if current.is_dir() else ""
        expected = self.module.params["live"].get(self.name) or ""
        if self.module.check_mode:
            return str(expected or live)
        if expected and live != expected:
            raise Pm2Error(
                f"{current} points to {live or 'nothing'}; expected {expected}. Is another deployment running?"
            )
        return live

    def run(self) -> None:
        """:raises Pm2Error: the application cannot be brought to the wanted state."""
        active = self.daemon.runs()
        if not self.release and self.state != "deleted":
            return
        if active:
            self.found = self.daemon.settled(self.module.params["wait_seconds"])
        elif not self.module.check_mode:
            unit = self.application["unit"]
            raise Pm2Error(
                f"{unit} is not active, so no process can run. Look at journalctl -u {unit}, "
                f"then: systemctl start {unit}."
            )
        self._compare()
        changed = bool(self.plan) or self.forced
        if changed and not self.module.check_mode:
            wait = self.module.params["wait_seconds"]
            with self.daemon.alone(wait):
                # Another run may have finished meanwhile.
                self.found = self.daemon.settled(wait)
                self._compare()
                self._apply()
        elif not self.module.check_mode:
            self._apply()
        self.checks = checks(self.name, self.wanted, self.found, self.release) + self.checks

    def _compare(self) -> None:
        self.plan = plan(self.wanted, self.found, self.release)
        self.actions = actions(self.wanted, self.found, self.release, force=self.state == "reloaded")
        self.before = {i.number for i in self.found}
        self.forced = self.state == "reloaded" and bool(self.actions.start)

    def _apply(self) -> None:
        """:raises Pm2Error: it does not run as wanted."""
        self.logs = logs = self.daemon.logs()
        self.offsets = offsets = sizes(logs)
        changed = bool(self.plan) or self.forced
        try:
            if changed:
                self._replace()
            else:
                self._watch(0)
        except RefusedError:
            raise
        except Pm2Error as error:
            names = [w["name"] for w in self.wanted if trouble([w], self._staying(), self.release)] or [
                w["name"] for w in self.wanted
            ]
            said = "".join(logged(logs.get(name, []), offsets) for name in names)
            raise Pm2Error(f"{error}.{said}") from None
        if not self.daemon.saved(self.found):
            self.daemon.call("save", "--force")
            if not self.plan:
                self.plan.add("processes after a reboot", {"saved": False}, {"saved": True})
        if self.unready:
            self.module.warn(
                f"{self.name}: {self.unready}. A release that is tried beside the live one is refused for it."
            )
        if changed and self.wanted:
            self._compare_with_packaged()

    def _compare_with_packaged(self) -> None:
        """Tell what the release's own ecosystem file says otherwise, once what is declared runs."""
        declared = json.loads(Path(self.application["ecosystem"]).read_text())["apps"]
        if text := packaged.told(Path(self.application["current"]).resolve(), self.daemon.account(), declared):
            self.module.warn(f"{self.name}: {text}")

    def _staying(self) -> list[Instance]:
        """The instances without those that are to end."""
        return [i for i in self.found if i.number not in self.actions.end]

    def _replace(self) -> None:
        """Start what is missing, let end what is superfluous once that runs, and watch what has come.

        :raises Pm2Error: what was started does not run or answer. Before the old instances were told to end, it is taken
            away again and they go on.
        """
        missing = self.actions.start
        alone = [i.number for i in self.found if i.number in self.actions.end and i.name in missing and listens(i.pid)]
        if missing:
            try:
                self._bring(missing, alone)
            except RefusedError:
                raise
            except Pm2Error:
                if not (blocking := self._in_the_way(missing)):
                    raise
                self.found = [i for i in self.found if i.number in self.before]
                self._bring(missing, blocking)
        old = self.actions.end
        ending = Background((lambda: self.daemon.end(old)) if old else None)
        # Since they were seen to run: while the old ones end, that goes on.
        self._watch(self.module.params["stable_seconds"], ending)

    def _bring(self, missing: t.Mapping[str, int], alone: t.Sequence[str]) -> None:
        """Start what is missing, and wait until it runs.

        :param alone: instances that must end before their successors start.
        :raises Pm2Error: it does not. It is taken away again, and so is what was tried before it.
        """
        try:
            self._start(missing, alone)
            self._watch(0)
        except Pm2Error:
            found = self.daemon.listing()
            if new := [i.number for i in found if i.number not in self.before or i.name.endswith(CANDIDATE)]:
                self.daemon.end(new)
            raise

    def _in_the_way(self, missing: t.Iterable[str]) -> list[str]:
        """Instances that share a port which PM2 has on another address than their successors want: these could not start, and
        can as soon as the last instance that uses it has ended."""
        names = set()
        for name in missing:
            said = "".join(logged([path], self.offsets) for path in self.logs.get(name, []))
            if (taken := TAKEN_PORT.search(said)) and self.daemon.has_port(int(taken[1])):
                names.add(name)
        return [i.number for i in self.found if i.name in names and i.number in self.before & {*self.actions.end}]

    def _start(self, missing: t.Mapping[str, int], alone: t.Sequence[str]) -> None:
        """Start what is missing; what answers requests only after it was tried, when that was asked for.

        :param alone: instances that must end before their successors start.
        :raises Pm2Error: PM2 says that it failed.
        :raises RefusedError: what was tried does not work.
        """
        ecosystem = json.loads(Path(self.application["ecosystem"]).read_text())
        try_first = self.module.params["try_first"] and self.application["candidate"] and self.found
        tried = self._answering(ecosystem, missing) if try_first else set()
        others = {name: count for name, count in missing.items() if name not in tried}
        if not tried:
            self._end_before(alone)
            self._begin(additional(ecosystem, others, self._staying()))
            return
        candidate = Candidate(self.module, self.application, self.daemon)
        candidate.pollers = self.pollers
        workers = additional(ecosystem, others, self._staying())
        starting = candidate.attempt(ecosystem, tried, workers)
        answering = additional(ecosystem, {name: missing[name] for name in tried}, self._staying())
        ending = Background(candidate.end)
        self._end_before(alone)
        self.daemon.start(answering)
        ending.wait()
        starting.wait()

    def _begin(self, file: t.Mapping[str, t.Any]) -> None:
        """Start a part of an ecosystem, and note what PM2 has taken for ready because it had waited for long enough.

        :raises Pm2Error: PM2 says that it failed.
        """
        patience = {e["name"]: e["listen_timeout"] / 1000 - SILENT_SECONDS for e in file["apps"] if e["wait_ready"]}
        starting = Background(lambda: self.daemon.start(file))
        while not starting.done:
            now = time.time()
            launching = [i for i in self.daemon.listing() if i.status == "launching" and i.name in patience]
            self.unready = unready((i for i in launching if now - i.started_ms / 1000 > patience[i.name]), now)
            time.sleep(POLL_SECONDS)

    def _end_before(self, alone: t.Sequence[str]) -> None:
        """End what must be gone before its successor starts, which may get its number: PM2 counts anew from 0 when its
        list has been empty."""
        self.daemon.end(alone)
        self.found = [i for i in self.found if i.number not in alone]
        self.before -= {*alone}
        self.actions = replace(self.actions, end=tuple(n for n in self.actions.end if n not in alone))

    def _answering(self, ecosystem: t.Mapping[str, t.Any], names: t.Iterable[str]) -> set[str]:
        """Those of the processes that answer requests, as far as can be told from outside."""
        shared = {e["name"] for e in ecosystem["apps"] if e.get("exec_mode") == "cluster"}
        return {name for name in names if name in shared or any(i.name == name and listens(i.pid) for i in self.found)}

    def _watch(self, stable_seconds: float, ending: Background | None = None) -> None:
        """Wait until everything runs, stays so for a while, answers, and what is to end has ended.

        :param ending: the instances that are to end, once they have been told to.
        :raises Pm2Error: it does not.
        """
        parameters = self.module.params
        start = time.monotonic()
        url = self.application["health_url"] if self.wanted else None
        ended = ending is not None and ending.done
        self.found = self.daemon.listing()
        # Of those that have come, a crash while PM2 was starting the others counts, too.
        baseline = [i for i in self._staying() if i.number in self.before]
        answer = ""
        while True:
            now = time.monotonic()
            staying = self.found if ended else self._staying()
            wrong = trouble(self.wanted, staying, self.release)
            if wrong or self.pids != {i.pid for i in staying}:
                self.running_since, self.pids = now, {i.pid for i in staying}
            if not wrong and (ended or ending is None) and now - self.running_since >= stable_seconds:
                healthy, answer = health(url) if url else (True, "")
                if not healthy:
                    wrong = [f"{url} answers: {answer}; expected 200 and status healthy"]
                elif not (
                    wrong := self.pollers.missing(self.application["task_queues"] if self.wanted else (), staying)
                ):
                    break
            crashes = crashed(baseline, staying)
            lost = (
                any(i.status == "errored" for i in staying)
                or max(crashes.values(), default=0) > parameters["restarts_allowed"]
            )
            if lost or (wrong and now - start > parameters["wait_seconds"]):
                raise Pm2Error(
                    f"{'; '.join(wrong) or 'its processes crash'} (after {now - start:.0f} s, release {self.release})"
                )
            time.sleep(POLL_SECONDS)
            ended = ending is not None and ending.done
            self.found = self.daemon.listing()
        self.checks = [healthy_row(self.name, url, answer)] if url else []

    def row(self) -> dict[str, t.Any]:
        return {"name": self.name, "release": self.release, "processes": present(self.found)}


def healthy_row(application: str, url: str, answer: str) -> dict[str, str]:
    row = {"component": application, "name": url, "status": "healthy", "found": answer, "expected": "200"}
    return {**row, "message": ""}


def declare(module: TemporalModule, daemon: Daemon) -> bool:
    """Write the ecosystem when another one is given. Returns whether it differed."""
    path = Path(daemon.application["ecosystem"])
    given = module.params["ecosystems"].get(str(path))
    if given is None or module.params["state"] in ("withdrawn", "deleted"):
        return False
    text = f"{given.rstrip()}\n"
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return False
    if not module.check_mode:
        try:
            daemon.write(path, text)
        except OSError as error:
            raise Pm2Error(
                f"{path} cannot be written: {error.strerror}. Run site.yml first; it makes its directory."
            ) from None
    return True


class Candidate:
    """A release of one application, tried beside the live one."""

    def __init__(self, module: TemporalModule, application: dict[str, t.Any], daemon: Daemon | None = None) -> None:
        self.module = module
        self.application = application
        self.name: str = application["name"]
        self.wait: int = module.params["wait_seconds"]
        self.daemon = daemon or Daemon(application, module.params["pm2"], timeout_seconds=self.wait + 300)
        self.declared = declare(module, self.daemon)
        self.live = Path(application["current"])
        self.release = str(
            module.params["live"].get(self.name) or (self.live.resolve().name if self.live.is_dir() else "")
        )
        self.pollers = Pollers(module, application)
        self.found: list[Instance] = []
        self.queues: list[str] = []
        # Candidates that are to say when they are ready, and within how many seconds.
        self.patience: dict[str, float] = {}

    def run(self) -> None:
        """:raises Pm2Error: the release does not work; it is gone again, and what runs was not touched."""
        if self.module.check_mode or not self.application["candidate"]:
            return
        if not self.live.is_dir() or not self.daemon.runs():
            return
        with self.daemon.alone(self.wait):
            found = self.daemon.settled(self.wait)
            self._delete(found)
            if not self._differs([i for i in found if not i.name.endswith(CANDIDATE)]):
                return
            try:
                self.attempt(self._ecosystem(), stable_seconds=self.module.params["stable_seconds"]).wait()
            except Pm2Error:
                self.end()
                raise

    def end(self) -> None:
        """Let candidates end."""
        self._delete(self.daemon.listing())

    def withdraw(self) -> None:
        """Take candidates away."""
        if not self.module.check_mode and self.daemon.runs():
            with self.daemon.alone(self.wait):
                self._delete(self.daemon.listing())

    def _delete(self, found: t.Iterable[Instance]) -> None:
        self.daemon.end([i.number for i in found if i.name.endswith(CANDIDATE)])

    def _differs(self, found: t.Sequence[Instance]) -> bool:
        """Whether another program or another declaration would run than now; a mere number of instances is no news."""
        now = {(i.name, i.release, i.definition) for i in found if i.status == "online"}
        return any((w["name"], self.release, w["definition"]) not in now for w in self._wanted())

    def _ecosystem(self) -> dict[str, t.Any]:
        path = self.application["ecosystem"]
        try:
            file: dict[str, t.Any] = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise Pm2Error(f"{path} cannot be used: {error}. Run site.yml first; it writes the ecosystem.") from None
        return file

    def _wanted(self) -> list[dict[str, t.Any]]:
        return processes(self._ecosystem())

    def attempt(
        self,
        ecosystem: t.Mapping[str, t.Any],
        names: t.Collection[str] | None = None,
        more: t.Mapping[str, t.Any] | None = None,
        stable_seconds: float = 0,
    ) -> Background:
        """Try processes of an ecosystem.

        :param names: those to try; all when unset. Pollers are waited for only when all are tried.
        :param more: the part of an ecosystem that is started in the same go, but not waited for.
        :param stable_seconds: how long they must have run.
        :returns: the start, which may still be under way for ``more``.
        :raises RefusedError: they do not run, answer or poll.
        """
        port = spare_port()
        directory = self.live.parent / "releases" / self.release
        file = candidate(ecosystem, str(directory), self.release, port, names)
        declared = next((e["env"]["PORT"] for e in ecosystem["apps"] if "PORT" in e["env"]), "")
        logs = {e["name"]: [Path(e["error_file"]), Path(e["out_file"])] for e in file["apps"]}
        offsets = sizes(logs)
        self.patience = {
            e["name"] + CANDIDATE: e["listen_timeout"] / 1000 for e in ecosystem["apps"] if e["wait_ready"]
        }
        queues = {e["env"]["TEMPORAL_TASK_QUEUE"] for e in file["apps"] if "TEMPORAL_TASK_QUEUE" in e["env"]}
        self.queues = sorted(queues) if names is None else []
        together = {"apps": file["apps"] + (more or {"apps": []})["apps"]}
        starting = Background(lambda: self.daemon.start(together))
        try:
            self.pollers.reach()
            url = on_port(self.application["health_url"] or "", declared, port)
            self._watch(file, url, starting, stable_seconds)
        except Pm2Error as error:
            broken = self._lost() or [i.name for i in self.found if i.status != "online"]
            said = "".join(logged(logs[name], offsets) for name in broken or logs)
            # What is still to come must be there to be taken away. It comes as soon as what it waits for has ended.
            with contextlib.suppress(Pm2Error):
                while not starting.done:
                    self.end()
                    time.sleep(POLL_SECONDS)
            raise RefusedError(tried_and_refused(self.release, error, said)) from None
        return starting

    def _lost(self) -> list[str]:
        """Candidates that have ended."""
        return [i.name for i in self.found if i.status in ("stopped", "errored", CRASHED) or i.restarts]

    def _overdue(self) -> list[Instance]:
        """Candidates that should have said by now that they are ready."""
        now = time.time()
        return [i for i in self._unready() if now - i.started_ms / 1000 > self.patience[i.name]]

    def _unready(self) -> list[Instance]:
        """Candidates that run and have not said that they are ready, and are to."""
        return [i for i in self.found if i.status == "launching" and i.name in self.patience]

    def _watch(self, file: t.Mapping[str, t.Any], url: str, starting: Background, stable_seconds: float) -> None:
        """Wait until every process runs and has done so for a moment, and the address answers several times in a row.

        One that works by all other signs, and has not said so in time, will not say it any more.

        :param starting: what tells PM2 to start them.
        :raises Pm2Error: one has crashed or does not say that it is ready, or time is up.
        """
        wanted = [{**p, "definition": e["env"][DEFINITION]} for p, e in zip(processes(file), file["apps"], strict=True)]
        start, began = time.monotonic(), time.time() - CLOCK_SECONDS
        answers, answer, stable_since = 0, "", start
        while True:
            starting.check()
            self.found = [i for i in self.daemon.listing() if i.name.endswith(CANDIDATE)]
            overdue = self._overdue()
            working = [replace(i, status="online") if i in overdue else i for i in self.found]
            wrong = trouble(wanted, working, self.release)
            if strays := self.pollers.strays(self.found, began):
                raise Pm2Error(strays)
            stable_since = time.monotonic() if wrong else stable_since
            if not wrong and url and answers < HEALTHY_ANSWERS:
                healthy, answer = health(url)
                answers = answers + 1 if healthy else 0
                if answers < HEALTHY_ANSWERS:
                    wrong = [f"{url} answers: {answer}; expected 200 and status healthy"]
            wrong = wrong or self.pollers.missing(self.queues if self.application["task_queues"] else (), self.found)
            settled = time.monotonic() - stable_since >= stable_seconds
            if not wrong and settled and not overdue:
                return
            if not wrong and settled:
                raise Pm2Error(unready(overdue, time.time()))
            late = time.monotonic() - start > self.wait
            if lost := self._lost():
                wrong = trouble([w for w in wanted if w["name"] in lost], self.found, self.release)
            elif late and (text := unready(self._unready(), time.time())):
                wrong = [*wrong, text]
            if lost or late:
                raise Pm2Error(f"{'; '.join(wrong) or 'its processes crash'} (after {time.monotonic() - start:.0f} s)")
            time.sleep(POLL_SECONDS)

    def row(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "release": self.release,
            "task_queues": self.queues,
            "pids": [i.pid for i in self.found if i.pid],
        }


def touched(works: t.Sequence[Work]) -> bool:
    return any(work.plan or work.forced or work.declared for work in works)


def result(works: t.Sequence[Work]) -> dict[str, t.Any]:
    """What the module reports, also of the applications before one that failed."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    changes = []
    for work in works:
        diff = work.plan.as_diff()
        before.update({f"{work.name} {k}": v for k, v in diff["before"].items()})
        after.update({f"{work.name} {k}": v for k, v in diff["after"].items()})
        changes += [{**row, "name": f"{work.name} {row['name']}"} for row in work.plan.summary()]
    return {
        "changed": touched(works),
        "diff": {"before": before, "after": after},
        "changes": changes,
        "applications": [work.row() for work in works],
        "pids": {work.name: [i.pid for i in work.found if i.pid] for work in works},
        "checks": [check for work in works for check in work.checks],
    }


@contextlib.contextmanager
def reported(module: TemporalModule, application: str, works: t.Sequence[Work] = ()) -> t.Iterator[None]:
    """Turn what went wrong into the message of the module, with the application that it is about."""
    try:
        yield
    except Pm2Error as error:
        text = str(error)
    except KeyError as error:
        text = f"{error.args[0]}. Run site.yml first; it makes the users of the applications."
    else:
        return
    module.fail(f"{socket.gethostname()}: {application}: {text}", changed=touched(works))


def check(module: TemporalModule, application: t.Mapping[str, t.Any]) -> None:
    """:raises Pm2Error: what runs on this host already must not get a second set of processes."""
    ending = module.params["state"] in ("withdrawn", "deleted")
    if reason := "" if ending else refusal(application["name"], "pm2", application["current"]):
        raise Pm2Error(reason)


def attempt(module: TemporalModule) -> None:
    """Try what would be started, or take away what was tried."""
    candidates: list[Candidate] = []
    for application in module.params["applications"]:
        with reported(module, application["name"]):
            check(module, application)
            candidates.append(Candidate(module, application))
            if module.params["state"] == "candidate":
                candidates[-1].run()
            else:
                candidates[-1].withdraw()
    changed = any(candidate.declared for candidate in candidates)
    module.exit(changed=changed, candidates=[c.row() for c in candidates if c.found])


def main() -> None:
    module = TemporalModule(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": APPLICATION},
            "state": {"type": "str", "choices": list(STATES), "default": "started"},
            "live": {"type": "dict", "default": {}},
            "ecosystems": {"type": "dict", "default": {}, "no_log": True},
            "wait_seconds": {"type": "int", "default": 60},
            "stable_seconds": {"type": "int", "default": 3},
            "restarts_allowed": {"type": "int", "default": 1},
            "pollers": {"type": "bool", "default": False},
            "try_first": {"type": "bool", "default": False},
            "pm2": {"type": "path", "default": "/opt/pm2/bin/pm2"},
        }
    )
    if module.params["pollers"] and not module.check_mode:
        module.has_sdk()
    if module.params["state"] in ("candidate", "withdrawn"):
        attempt(module)
        return
    works: list[Work] = []
    for application in module.params["applications"]:
        with reported(module, application["name"], works):
            check(module, application)
            works.append(Work(module, application))
            works[-1].run()
    module.exit(**result(works))


if __name__ == "__main__":
    main()
