#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the processes of applications as units of systemd, new ones beside old ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_worker
short_description: Run the processes of applications under systemd
version_added: 0.1.0
description:
  - Compares the instances that systemd has of each application with those that are wanted. The name of a unit,
    C(<application>-<process>@<release>.<definition>.<number>.service), says what it runs, so that an instance is never
    changed - what differs is started beside what runs, and what nobody wants is stopped and removed.
  - New instances must be active (with C(Type=notify), the program has said that it works), stay so, and answer before
    old ones are asked to end. When they do not, they are removed again, the old ones still run, and the module fails with
    the last lines of the journal.
  - Processes are started and stopped in the order of O(applications[].processes).
  - The instances of a process with O(applications[].processes[].listen) share one listening socket, which stays. While
    none of them runs, connections wait in it.
  - No value of a variable is compared or shown; a declaration is compared by its digest, a part of the unit's name.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
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
      releases:
        description: Directory of the releases.
        type: path
        required: true
      current:
        description: Link to the live release.
        type: path
        required: true
      configuration:
        description: Directory of the environment files. Made when it is missing.
        type: path
        required: true
      builds:
        description:
          - Whether instances of other releases than the live one stay, because workflows are pinned to their build. Those
            of O(retired) do not.
        type: bool
        default: false
      processes:
        description: The wanted processes; others are stopped and removed.
        type: list
        elements: dict
        required: true
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
            description: Digest of its declaration.
            type: str
            required: true
          unit:
            description: Text of its unit, with C(@RELEASE@), C(@DEFINITION@) and C(@NUMBER@) left open.
            type: str
            required: true
          listen:
            description: Address and port of its socket. It has none when empty.
            type: str
            default: ""
          port:
            description: Its E(PORT), which a candidate replaces.
            type: str
            default: ""
          task_queue:
            description: Its E(TEMPORAL_TASK_QUEUE), which a candidate replaces.
            type: str
            default: ""
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
  secrets:
    description:
      - Path to content of the environment files, as P(durable.temporal.systemd_environments#filter) makes them. Written
        for their owner only. Never logged, returned or shown in a diff.
    type: dict
    default: {}
  state:
    description:
      - V(started) runs what is wanted and changes only what differs.
      - V(candidate) tries what V(started) would start, beside what runs. It starts one instance of each process in the
        release that O(live) names, on a spare port and on a task queue of its own (C(-candidate-) and the release are
        appended to E(TEMPORAL_TASK_QUEUE)), and waits until it runs and answers. What runs is not touched. Nothing is
        tried when no release is live yet.
      - V(withdrawn) removes candidates only. So does V(started), besides what it does.
      - V(deleted) removes all instances and sockets of the applications.
    type: str
    choices: [started, candidate, withdrawn, deleted]
    default: started
  live:
    description:
      - Application to release that is expected to be live, as RV(durable.temporal.release#module:live) has it.
      - In check mode a release that is not there yet is taken from here.
    type: dict
    default: {}
  retired:
    description: Application to releases whose instances are removed although O(applications[].builds) keeps others.
    type: dict
    default: {}
  wait_seconds:
    description: How long instances may take to be active and O(applications[].health_url) to answer.
    type: int
    default: 60
  stable_seconds:
    description: How long new instances must stay active, without a restart, before old ones are stopped.
    type: int
    default: 3
  restarts_allowed:
    description: How often a new instance may crash while it is waited for. One more is taken for a crash loop.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Run the applications
  durable.temporal.systemd_worker:
    applications: "{{ topology_applications | durable.temporal.applications('systemd') }}"
    secrets: "{{ topology_applications | durable.temporal.systemd_environments }}"

- name: What is not healthy?
  durable.temporal.systemd_worker:
    applications: "{{ topology_applications | durable.temporal.applications('systemd') }}"
    secrets: "{{ topology_applications | durable.temporal.systemd_environments }}"
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
    units:
      description: The units of its instances and their states.
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
  description: What differed, one row a unit or file.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Unit or file.
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
import os
import socket
import time
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._application import candidate_queue
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan, compare
from ansible_collections.durable.temporal.plugins.module_utils._pm2_daemon import listens as has_port
from ansible_collections.durable.temporal.plugins.module_utils._registry import refusal
from ansible_collections.durable.temporal.plugins.module_utils._systemd import (
    CANDIDATE_NUMBER,
    Instance,
    Unit,
    candidate_text,
    checks,
    environment_file,
    listens,
    socket_text,
    trouble,
    unit_of,
    wanted_units,
)
from ansible_collections.durable.temporal.plugins.module_utils._systemd_units import Systemd, SystemdError
from ansible_collections.durable.temporal.plugins.module_utils._watch import (
    POLL_SECONDS,
    BusyError,
    alone,
    health,
    on_port,
    spare_port,
    tried_and_refused,
)

PROCESS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "instances": {"type": "int", "default": 1},
    "definition": {"type": "str", "required": True},
    "unit": {"type": "str", "required": True},
    "listen": {"type": "str", "default": ""},
    "port": {"type": "str", "default": ""},
    "task_queue": {"type": "str", "default": ""},
}
APPLICATION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "releases": {"type": "path", "required": True},
    "current": {"type": "path", "required": True},
    "configuration": {"type": "path", "required": True},
    "builds": {"type": "bool", "default": False},
    "processes": {"type": "list", "elements": "dict", "required": True, "options": PROCESS},
    "health_url": {"type": "str"},
    "candidate": {"type": "bool", "default": True},
}
# A candidate must answer this often in a row: the first answer of a program may be its last.
HEALTHY_ANSWERS = 3


def write(path: Path, content: str, mode: int) -> None:
    """Replace a file in one step; never readable by others than it is to be."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    fresh.replace(path)


class Work:
    """One application: compared, brought to the wanted state, watched."""

    def __init__(self, module: Module, application: dict[str, t.Any], systemd: Systemd) -> None:
        self.module = module
        self.application = application
        self.systemd = systemd
        self.name: str = application["name"]
        self.state: str = module.params["state"]
        self.wait: int = module.params["wait_seconds"]
        self.declared: list[dict[str, t.Any]] = [] if self.state == "deleted" else application["processes"]
        self.text = {p["name"]: p["unit"] for p in self.declared}
        self.directory = Path(application["configuration"])
        self.started_at = time.time()
        self.release = self._release()
        self.wanted: list[Unit] = []
        self.found: list[Instance] = []
        self.files: dict[str, str] = {}
        self.restarts: dict[str, int] = {}
        self.plan = Plan()
        self.checks: list[dict[str, str]] = []
        # What was ended before its successor started.
        self.made_room: list[str] = []

    def _release(self) -> str:
        """The live release; in check mode the one that would be.

        :raises SystemdError: another one is live than was expected.
        """
        current = Path(self.application["current"])
        live = current.resolve().name if current.is_dir() else ""
        expected = str(self.module.params["live"].get(self.name) or "")
        if self.module.check_mode:
            return expected or live
        if expected and live != expected:
            raise SystemdError(
                f"{current} points to {live or 'nothing'}; expected {expected}. Is another deployment running?"
            )
        return live

    # --- What differs

    def _look(self) -> None:
        """Read once, compare."""
        self.files = self.systemd.files(self.name)
        self.found = self.systemd.instances(self.name, [p["name"] for p in self.application["processes"]])
        self.wanted = wanted_units(self.name, self.declared, self.release, self._builds())
        self._refuse_others()
        self.plan = self._plan()

    def _refuse_others(self) -> None:
        """:raises SystemdError: a file that would be written is another's; nothing was changed."""
        for name in (*self._sockets(), *(unit.name for unit in self.wanted)):
            owner = self.systemd.owner(name)
            if owner not in (self.name, None):
                raise SystemdError(
                    f"it would replace {name}, which belongs to {owner or 'somebody else'}; expected a name that no other "
                    "unit has. Give the application or its process another name."
                )

    def _builds(self) -> set[str]:
        """Releases that stay beside the live one."""
        if not self.application["builds"]:
            return set()
        retired = self.module.params["retired"].get(self.name) or []
        stay = {i.unit.release for i in self.found if not i.unit.candidate} - set(retired)
        return {r for r in stay if (Path(self.application["releases"]) / r).is_dir()}

    def _sockets(self) -> dict[str, dict[str, t.Any]]:
        """Name to address and unit, of the wanted sockets."""
        return {
            f"{self.name}-{p['name']}.socket": {
                "listen": p["listen"],
                "service": unit_of(self.name, p, self.release, 1).name,
                "process": p["name"],
            }
            for p in self.declared
            if p["listen"] and self.release
        }

    def _environments(self) -> dict[str, str]:
        """Path to content of the environment files of wanted processes."""
        wanted = {f"{self.directory}/{p['name']}.{p['definition']}.env" for p in self.declared if self.release}
        files = {str(k): str(v) for k, v in self.module.params["secrets"].items() if k in wanted}
        if missing := sorted(wanted - set(files)):
            raise SystemdError(
                f"secrets does not hold {missing[0]}; give it what the filter systemd_environments makes"
            )
        return files

    def _plan(self) -> Plan:
        have: dict[str, dict[str, t.Any]] = {
            i.unit.name: {"state": i.active, "boot": i.boot, "file": self._file(i.unit)} for i in self.found
        }
        want: dict[str, dict[str, t.Any] | None] = {
            u.name: {"state": "active", "boot": True, "file": "as declared"} for u in self.wanted
        }
        sockets = self._sockets()
        for name, text in self.files.items():
            if name.endswith(".socket"):
                listen, service = listens(text)
                active, boot = self.systemd.state(name)
                have[name] = {
                    "state": "active" if active else "inactive",
                    "boot": boot,
                    "listen": listen,
                    "service": service,
                }
        for name, wanted in sockets.items():
            want[name] = {"state": "active", "boot": True, "listen": wanted["listen"], "service": wanted["service"]}
        for path in sorted(self.directory.glob("*.env")):
            have[str(path)] = {"file": "present"}
        for name, content in self._environments().items():
            same = name in have and Path(name).read_text(errors="replace") == content
            if name in have:
                have[name] = {"file": "as declared" if same else "differs"}
            want[name] = {"file": "as declared"}
        return compare({**want, **{name: None for name in have if name not in want}}, have)

    def _file(self, unit: Unit) -> str:
        text = self.files.get(unit.name)
        if text is None:
            return "missing"
        declared = next((p for p in self.declared if p["name"] == unit.process), None)
        if declared is None or declared["definition"] != unit.definition or unit.candidate:
            return "present"
        return "as declared" if text == unit.fill(declared["unit"]) else "differs"

    # --- Doing it

    def run(self) -> None:
        """:raises SystemdError: the application cannot be brought to the wanted state."""
        if not self.release and self.state != "deleted":
            return
        self._look()
        if self.plan and not self.module.check_mode:
            with alone(Path("/run/lock") / f"durable-temporal-{self.name}", self.wait):
                self._settle()
                self._look()
                changes = self.plan
                self._apply()
                # What was found to differ, also when another run has done a part of it.
                self.plan = changes
        elif not self.module.check_mode:
            self._healthy(self.application["health_url"] or "")
        self.checks = checks(self.name, self.declared, self.found, self.release) + self.checks

    def _read(self) -> None:
        self.found = self.systemd.instances(self.name, [p["name"] for p in self.application["processes"]])

    def _settle(self) -> None:
        """Wait for instances that start or stop just now, so that nothing is decided about them half-way."""
        end = time.monotonic() + self.wait
        self._read()
        while any(i.under_way and i.sub != "auto-restart" for i in self.found) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            self._read()

    def _apply(self) -> None:
        """:raises SystemdError: what is new does not run; it is gone again, and what ran before still runs."""
        known = {i.unit.name for i in self.found}
        try:
            self._write()
            self._open()
            for process in self.declared:
                self._make_room(process)
                self._start([u for u in self.wanted if u.process == process["name"]])
            self._watch()
        except SystemdError as error:
            new = [u for u in self.wanted if u.name not in known]
            silent = [u for u in self.wanted if u.name in {i.unit.name for i in self.found if not i.runs}]
            said = "".join(self.systemd.said(u.name, self.started_at) for u in silent[:3] or new[:3])
            self._remove([*(u.name for u in new), *(n for n in self._sockets() if n not in self.files)])
            if self.made_room:
                with contextlib.suppress(SystemdError):
                    self.systemd.call("start", *self.made_room)
            self._forget(keep=[i.unit.definition for i in self.found if i.unit.name in known])
            raise SystemdError(f"{error}.{said}") from None
        self._commit()
        unwanted = [i.unit for i in self.found if i.unit not in self.wanted]
        order = [p["name"] for p in self.declared]
        unwanted.sort(key=lambda u: (order.index(u.process) if u.process in order else -1, u.name))
        for name in dict.fromkeys(u.process for u in unwanted):
            self._remove([u.name for u in unwanted if u.process == name])
        sockets = self._sockets()
        self._remove([n for n in self.files if n.endswith(".socket") and n not in sockets])
        self._forget(keep=[u.definition for u in self.wanted])
        self._read()
        if unwanted:
            self._healthy(self.application["health_url"] or "" if self.wanted else "")

    def _write(self) -> None:
        """Environment files and units of what is wanted."""
        files = self._environments()
        if files:
            self.directory.mkdir(mode=0o750, exist_ok=True)
        for name, content in files.items():
            write(Path(name), content, 0o600)
        for unit in self.wanted:
            text = unit.fill(self.text[unit.process])
            if self.files.get(unit.name) != text:
                write(self.systemd.units / unit.name, text, 0o644)
        self.systemd.call("daemon-reload")

    def _open(self) -> None:
        """Have the sockets open. One that is moved cannot be kept: what holds it ends first."""
        for name, wanted in self._sockets().items():
            listen, _service = listens(self.files.get(name, ""))
            active, _boot = self.systemd.state(name)
            if active and listen == wanted["listen"]:
                continue
            group = [i.unit.name for i in self.found if i.unit.process == wanted["process"] and i.active != "inactive"]
            if holders := [*([name] if active else []), *group]:
                self.systemd.call("stop", *holders)
            write(
                self.systemd.units / name,
                socket_text(self.name, wanted["process"], wanted["listen"], wanted["service"]),
                0o644,
            )
            self.systemd.call("daemon-reload")
            try:
                self.systemd.call("start", name)
            except SystemdError as error:
                raise SystemdError(
                    f"{error} Is {wanted['listen']} in use? Look at: ss -ltnp 'sport = :{wanted['listen'].rpartition(':')[2]}'"
                ) from None
        self._read()

    def _make_room(self, process: t.Mapping[str, t.Any]) -> None:
        """End instances of before that have a port of their own, and the socket that they had: their successors could not open
        it. A socket that stays needs none of this, and loses no connection.
        """
        mine = [u for u in self.wanted if u.process == process["name"]]
        old = [i for i in self.found if i.unit.process == process["name"] and i.runs and not i.unit.candidate]
        if process["listen"] or {i.unit for i in old} >= {*mine}:
            return
        socket = f"{self.name}-{process['name']}.socket"
        sockets = [socket] if socket in self.files and self.systemd.state(socket)[0] else []
        if names := [*sockets, *(i.unit.name for i in old if i.unit not in mine and has_port(i.pid))]:
            self.systemd.call("stop", *names)
            self.made_room += names

    def _start(self, units: t.Sequence[Unit]) -> None:
        """Start what does not run, and wait until all of it does.

        :raises SystemdError: one of them does not.
        """
        have = {i.unit.name: i for i in self.found}
        idle = [u.name for u in units if u.name not in have or not (have[u.name].runs or have[u.name].under_way)]
        if idle:
            with contextlib.suppress(SystemdError):
                self.systemd.call("reset-failed", *idle)
            self.systemd.call("start", "--no-block", *idle)
        # What is restarted by systemd at this moment has its crashes behind it.
        self.restarts.update({n: 0 if n in idle else i.restarts for n, i in have.items()})
        start = time.monotonic()
        while True:
            self._read()
            wrong = trouble(units, self.found)
            if not wrong:
                return
            self._judge(units, wrong, start)
            time.sleep(POLL_SECONDS)

    def _judge(self, units: t.Sequence[Unit], wrong: t.Sequence[str], start: float) -> None:
        """:raises SystemdError: units have crashed too often, or time is up."""
        allowed = self.module.params["restarts_allowed"]
        group = [i for i in self.found if i.unit in units]
        crashed = {i.unit.name: i.restarts - self.restarts.get(i.unit.name, 0) for i in group if not i.runs}
        lost = any(i.active == "failed" for i in group) or max(crashed.values(), default=0) > allowed
        if lost or time.monotonic() - start > self.wait:
            release = f"release {self.release}" if len({u.release for u in units}) == 1 else "several releases"
            raise SystemdError(f"{'; '.join(wrong)} (after {time.monotonic() - start:.0f} s, {release})")

    def _watch(self) -> None:
        """Wait until what is wanted has stayed as it is for a while, and answers.

        :raises SystemdError: it does not.
        """
        start = stable_since = time.monotonic()
        state: dict[str, tuple[int, int]] = {}
        while True:
            self._read()
            wrong = trouble(self.wanted, self.found)
            seen = {i.unit.name: (i.pid, i.restarts) for i in self.found if i.unit in self.wanted}
            if wrong or seen != state:
                stable_since, state = time.monotonic(), seen
            if not wrong and time.monotonic() - stable_since >= self.module.params["stable_seconds"]:
                break
            if wrong:
                self._judge(self.wanted, wrong, start)
            elif time.monotonic() - start > self.wait + self.module.params["stable_seconds"]:
                raise SystemdError(f"its processes crash again and again (after {time.monotonic() - start:.0f} s)")
            time.sleep(POLL_SECONDS)
        self._healthy(self.application["health_url"] or "" if self.wanted else "")

    def _healthy(self, url: str) -> None:
        """:raises SystemdError: the application does not answer."""
        if not url:
            return
        start = time.monotonic()
        while True:
            healthy, answer = health(url)
            if healthy:
                row = {"component": self.name, "name": url, "status": "healthy", "found": answer}
                self.checks = [{**row, "expected": "200", "message": ""}]
                return
            if time.monotonic() - start > self.wait:
                raise SystemdError(
                    f"{url} answers: {answer}; expected 200 and status healthy (after {self.wait} s, "
                    f"release {self.release})"
                )
            time.sleep(POLL_SECONDS)

    def _commit(self) -> None:
        """What runs now is what starts at boot, and what a connection starts."""
        sockets = self._sockets()
        for name, wanted in sockets.items():
            text = socket_text(self.name, wanted["process"], wanted["listen"], wanted["service"])
            path = self.systemd.units / name
            if not path.is_file() or path.read_text() != text:
                write(path, text, 0o644)
        if units := [*sockets, *(u.name for u in self.wanted)]:
            self.systemd.call("enable", "--quiet", *units)
        self.systemd.call("daemon-reload")

    def _remove(self, names: t.Sequence[str]) -> None:
        self.systemd.remove(names, {i.unit.name for i in self.found})

    def _forget(self, keep: t.Collection[str]) -> None:
        """Remove the environment files of definitions that nothing runs with."""
        for path in self.directory.glob("*.env"):
            if path.name.split(".")[-2] not in keep:
                path.unlink()

    def row(self) -> dict[str, t.Any]:
        return {"name": self.name, "release": self.release, "units": {i.unit.name: i.active for i in self.found}}


class Candidate(Work):
    """A release of one application, tried beside the live one."""

    def __init__(self, module: Module, application: dict[str, t.Any], systemd: Systemd) -> None:
        super().__init__(module, application, systemd)
        self.queues: list[str] = []
        self.tried = False

    def _release(self) -> str:
        current = Path(self.application["current"])
        return str(self.module.params["live"].get(self.name) or (current.resolve().name if current.is_dir() else ""))

    def run(self) -> None:
        """:raises SystemdError: the release does not work; it is gone again, and what runs was not touched."""
        if self.module.check_mode or not self.application["candidate"]:
            return
        if not Path(self.application["current"]).is_dir():
            return
        with alone(Path("/run/lock") / f"durable-temporal-{self.name}", self.wait):
            self._read()
            self._withdraw()
            live = wanted_units(self.name, self.declared, self.release)
            have = {(i.unit.process, i.unit.release, i.unit.definition) for i in self.found if i.runs}
            if all((u.process, u.release, u.definition) in have for u in live):
                return
            self._try()

    def withdraw(self) -> None:
        """Take candidates away."""
        if not self.module.check_mode:
            with alone(Path("/run/lock") / f"durable-temporal-{self.name}", self.wait):
                self._read()
                self._withdraw()

    def _withdraw(self) -> None:
        self._remove([i.unit.name for i in self.found if i.unit.candidate])
        self._read()
        self._forget(keep=[i.unit.definition for i in self.found])

    def _try(self) -> None:
        """:raises SystemdError: it does not run, or does not answer."""
        self.wanted = [unit_of(self.name, p, self.release, CANDIDATE_NUMBER) for p in self.declared]
        try:
            port = spare_port()
            self._write_candidates(port)
            for unit in self.wanted:
                self._start([unit])
            self._watch()
            declared = next((p["port"] for p in self.declared if p["port"]), "")
            self._answers(on_port(self.application["health_url"] or "", declared, port))
        except SystemdError as error:
            silent = [u for u in self.wanted if trouble([u], self.found)]
            said = "".join(self.systemd.said(u.name, self.started_at) for u in silent or self.wanted)
            self._withdraw()
            raise SystemdError(tried_and_refused(self.release, error, said)) from None
        self.tried = True
        self.queues = sorted({candidate_queue(p["task_queue"], self.release) for p in self.declared if p["task_queue"]})

    def _write_candidates(self, port: int) -> None:
        self.directory.mkdir(mode=0o750, exist_ok=True)
        for name, content in self._environments().items():
            write(Path(name), content, 0o600)
        for unit, process in zip(self.wanted, self.declared, strict=True):
            own = {"PORT": str(port)} if process["port"] else {}
            if process["task_queue"]:
                own["TEMPORAL_TASK_QUEUE"] = candidate_queue(process["task_queue"], self.release)
            path = self.directory / f"{process['name']}.{CANDIDATE_NUMBER}.env"
            write(path, environment_file(own), 0o600)
            write(self.systemd.units / unit.name, candidate_text(unit.fill(process["unit"]), str(path)), 0o644)
        self.systemd.call("daemon-reload")

    def _watch(self) -> None:
        """Wait until every candidate has run for a moment. A crash is one too many."""
        start = stable_since = time.monotonic()
        while time.monotonic() - stable_since < self.module.params["stable_seconds"]:
            time.sleep(POLL_SECONDS)
            self._read()
            if wrong := trouble(self.wanted, self.found):
                raise SystemdError(f"{'; '.join(wrong)} (after {time.monotonic() - start:.0f} s)")

    def _answers(self, url: str) -> None:
        """:raises SystemdError: the address does not answer several times in a row."""
        for _answer in range(HEALTHY_ANSWERS):
            self._healthy(url)

    def candidate_row(self) -> dict[str, t.Any]:
        mine = [i.pid for i in self.found if i.unit.candidate and i.pid]
        return {"name": self.name, "release": self.release, "task_queues": self.queues, "pids": mine}


def result(works: t.Sequence[Work]) -> dict[str, t.Any]:
    """What the module reports, also of the applications before one that failed."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for work in works:
        diff = work.plan.as_diff()
        before.update(diff["before"])
        after.update(diff["after"])
    return {
        "changed": any(work.plan for work in works),
        "diff": {"before": before, "after": after},
        "changes": [row for work in works for row in work.plan.summary()],
        "applications": [work.row() for work in works],
        "pids": {work.name: [i.pid for i in work.found if i.pid and not i.unit.candidate] for work in works},
        "checks": [check for work in works for check in work.checks],
    }


def main() -> None:
    module = Module(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": APPLICATION},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "state": {
                "type": "str",
                "choices": ["started", "candidate", "withdrawn", "deleted"],
                "default": "started",
            },
            "live": {"type": "dict", "default": {}},
            "retired": {"type": "dict", "default": {}},
            "wait_seconds": {"type": "int", "default": 60},
            "stable_seconds": {"type": "int", "default": 3},
            "restarts_allowed": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    systemd = Systemd()
    works: list[Work] = []
    for application in module.params["applications"]:
        try:
            ending = state in ("withdrawn", "deleted")
            if reason := "" if ending else refusal(application["name"], "systemd", application["current"]):
                raise SystemdError(reason)
            if state in ("candidate", "withdrawn"):
                candidate = Candidate(module, application, systemd)
                works.append(candidate)
                candidate.run() if state == "candidate" else candidate.withdraw()
            else:
                works.append(Work(module, application, systemd))
                works[-1].run()
        except (SystemdError, BusyError) as error:
            changed = any(work.plan for work in works)
            module.fail_json(msg=f"{socket.gethostname()}: {application['name']}: {error}", changed=changed)
    if state in ("candidate", "withdrawn"):
        rows = [w.candidate_row() for w in works if isinstance(w, Candidate) and w.tried]
        module.exit_json(changed=False, candidates=rows)
    module.exit_json(**result(works))


if __name__ == "__main__":
    main()
