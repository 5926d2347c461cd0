#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that `make test` runs, in parts, several side by side. Called by ``scripts/test``.

    scripts/test               all parts that fit into the time limit; what is left out is named, and comes first next time
    scripts/test --all         all parts, however long they take
    scripts/test up rotation   these parts
    scripts/test --list        the parts, what each proves and how long it takes

Parts marked as core run every time. The others take turns by the day, so that each of them comes first every few days;
how many of them a run reaches depends on the machine. ``DURABLE_TEST_MINUTES`` is the limit (80), ``DURABLE_TEST_LANES``
how many parts run side by side (3: most of their time is waiting).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".local"
Host = Literal["none", "own", "bare", "up"]
# How much longer than expected a part may take before it is ended and counts as failed.
PATIENCE = 3


@dataclass(frozen=True)
class Part:
    """Commands that run one after the other on one host.

    :ivar minutes: how long it takes on two cores beside two other parts.
    :ivar host: ``none``; ``own``: its tests make their hosts; ``bare``: a new host; ``up``: a host with the platform, by
        ``scripts/up``.
    :ivar core: whether it runs every time.
    """

    name: str
    proves: str
    minutes: float
    commands: tuple[tuple[str, ...], ...]
    host: Host = "own"
    core: bool = False


def _flows(*names: str) -> tuple[str, ...]:
    return ("pytest", "-q", "-x", *(f"tests/flows/test_{name}.py" for name in names), "--run-dir", "{run_dir}")


CHECK = Part("check", "lint, types, unit tests, documentation", 3, (("scripts/check",),), "none", core=True)
PARTS = (
    Part("sanity", "ansible-test sanity on what a release contains", 3, (("scripts/sanity",),), "none", core=True),
    Part(
        "guards",
        "every guard, taken away once, is missed by a unit test",
        9,
        ((sys.executable, "tests/guards/guards.py"),),
        "none",
        core=True,
    ),
    Part(
        "single_vm",
        "a bare host becomes the platform, and its workflows survive a reboot",
        9,
        (("rm", "-rf", ".local/molecule/secrets"), ("molecule", "test", "-s", "single_vm")),
        core=True,
    ),
    Part(
        "up",
        "make up, every fault on that VM, over SSH, a user's repository, make down",
        18,
        (
            _flows("no_change", "edge", "bad_days", "runbooks", "verbs_fail_closed", "over_ssh"),
            _flows("deployment_repository"),
        ),
        "up",
        core=True,
    ),
    Part(
        "interrupt",
        "a new VM cut off ten times; the modules against its server",
        16,
        (_flows("interrupt"), (sys.executable, "tests/integration_server/on_vm.py", "{run_dir}", "-x")),
        "bare",
    ),
    Part(
        "releases",
        "releases come, go and are refused under load; workflows outlive them",
        22,
        (_flows("deploy", "workflows_survive", "foreign_cluster"),),
        "up",
    ),
    Part(
        "workers",
        "workers under systemd, and rollouts of their builds",
        15,
        (_flows("systemd_workers", "rollout"),),
        "up",
    ),
    Part(
        "newcomer",
        "the README's commands from the tarball, over SSH, on Debian 12 and 13",
        12,
        (_flows("newcomer"),),
        core=True,
    ),
    Part(
        "roles",
        "each role alone, without the wiring: check on a bare host, converge twice, check",
        12,
        tuple(
            ("molecule", "-c", "molecule/roles.yml", "test", "-s", f"role_{role}")
            for role in sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
        ),
    ),
    Part(
        "sources",
        "a managed database, an engine of others, a registry, the vendor's repository, other sizes; Debian 12",
        10,
        (_flows("sources"),),
    ),
    Part("removal", "applications are told of, refused, removed and come back", 12, (_flows("removal"),), "up"),
    Part(
        "hosts",
        "what becomes of a host, as its page says; each way to be broken is told; programs that know nothing of us",
        13,
        (_flows("hosts", "status", "samples"),),
        "up",
    ),
    Part("several", "an application on two hosts behind a third", 10, (_flows("several_hosts"),)),
    Part(
        "renamed",
        "other names, ports, root and size; two applications under both runtimes",
        7,
        (_flows("everything_renamed"),),
    ),
    Part("azure", "every secret, and the certificate of the API, from a vault", 7, (_flows("azure_secrets"),), "up"),
    Part(
        "rotation",
        "new passwords under load; secrets in every environment",
        16,
        (_flows("rotation"), _flows("references")),
        "up",
    ),
    Part("canaries", "where values of secrets are to be seen", 9, (_flows("canaries_everywhere"),), "bare"),
)
# Environment that a part's host needs from the start.
EXTRA = {"azure": {"SECRETS": "azure"}}


# How many parts that take turns are sure to run, as they come before the others.
SURE = 4

# --- Which part next --------------------------------------------------------------------------------------------------


def ordered(parts: Sequence[Part], day: int) -> list[Part]:
    """Core parts first, the longest of them first; then some others, which begin with another one each day; then what is left,
    the longest of them first, so that lanes end together.
    """
    core = sorted((part for part in parts if part.core), key=lambda part: -part.minutes)
    others = [part for part in parts if not part.core]
    turn = day % len(others) if others else 0
    turned = [*others[turn:], *others[:turn]]
    return [*core, *turned[:SURE], *sorted(turned[SURE:], key=lambda part: -part.minutes)]


def pick(queue: Sequence[Part], minutes_left: float, pace: float) -> Part | None:
    """The first part of the queue that is core or will end in time, or ``None``.

    :param pace: how many times longer than expected the parts of this run take.
    """
    return next((part for part in queue if part.core or part.minutes * pace <= minutes_left), None)


def simulate(parts: Sequence[Part], day: int, limit: float, lanes: int, pace: float = 1) -> tuple[list[str], float]:
    """Which parts a run reaches, and after how many minutes it ends, if each takes ``pace`` times what is expected."""
    queue, done, ends = ordered(parts, day), [], [0.0] * lanes
    while True:
        lane = min(range(lanes), key=ends.__getitem__)
        part = pick(queue, limit - ends[lane], pace)
        if part is None:
            return done, max(ends)
        queue.remove(part)
        done.append(part.name)
        ends[lane] += part.minutes * pace


# --- Running ----------------------------------------------------------------------------------------------------------


def environment(part: Part) -> dict[str, str]:
    """What tells a part's scripts apart from those of the parts beside it: host, ports, directory."""
    index = PARTS.index(part) if part in PARTS else len(PARTS)
    return {
        **os.environ,
        "PATH": f"{STATE / 'venv' / 'bin'}:{os.environ['PATH']}",
        "DURABLE_VM": f"durable-{part.name.replace('_', '-')}",
        "DURABLE_API_PORT": str(8200 + index),
        "DURABLE_UI_PORT": str(8300 + index),
        "DURABLE_RUN_DIR": str(STATE / "parts" / part.name),
        **EXTRA.get(part.name, {}),
    }


def steps(part: Part, env: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The commands of a part, with those that make its host."""
    ports = (f"127.0.0.1:{env['DURABLE_API_PORT']}:80", f"127.0.0.1:{env['DURABLE_UI_PORT']}:8088")
    making: dict[Host, list[tuple[str, ...]]] = {
        "none": [],
        "own": [],
        "bare": [
            ("scripts/vm", "new", env["DURABLE_VM"], "debian13", "-p", ports[0], "-p", ports[1]),
            ("scripts/outputs",),
        ],
        "up": [("scripts/up",)],
    }
    filled = [tuple(word.replace("{run_dir}", env["DURABLE_RUN_DIR"]) for word in c) for c in part.commands]
    return [*making[part.host], *filled]


@dataclass
class Outcome:
    """What became of a part; ``minutes`` are those that it took."""

    passed: bool
    minutes: float


def execute(part: Part, log: TextIO | None) -> Outcome:
    """Run a part to its end, or to its first failure; its host is removed in any case."""
    env = environment(part)
    Path(env["DURABLE_RUN_DIR"]).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    deadline = started + part.minutes * 60 * PATIENCE
    has_host = part.host in ("bare", "up")
    passed = not has_host or _run(("scripts/down",), env, log, deadline)
    for command in steps(part, env) if passed else ():
        passed = _run(command, env, log, deadline)
        if not passed:
            break
    if has_host:
        _run(("scripts/down",), env, log, time.monotonic() + 120)
    return Outcome(passed, (time.monotonic() - started) / 60)


def _run(command: Sequence[str], env: Mapping[str, str], log: TextIO | None, deadline: float) -> bool:
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        return process.wait(max(1.0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"error: {' '.join(command)} took too long and was ended", file=log or sys.stderr, flush=True)
        return False


@dataclass
class Session:
    """Parts that run side by side, and what became of them."""

    queue: list[Part]
    limit: float  # minutes from the start of the session; infinite without a limit
    logs: Path
    started: float = field(default_factory=time.monotonic)
    done: dict[str, Outcome] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def minutes(self) -> float:
        return (time.monotonic() - self.started) / 60

    def pace(self) -> float:
        expected = sum(part.minutes for part in (CHECK, *PARTS) if part.name in self.done)
        taken = sum(outcome.minutes for outcome in self.done.values())
        return max(0.5, taken / expected) if expected else 1.0

    def work(self) -> None:
        """One lane: part after part, until none fits any more."""
        while True:
            with self.lock:
                part = pick(self.queue, self.limit - self.minutes(), self.pace())
                if part is None:
                    return
                self.queue.remove(part)
                say(f"Part {part.name} begins: {part.proves} (about {part.minutes:.0f} min; log {self.log(part)})")
            with self.log(part).open("w") as log:
                outcome = execute(part, log)
            with self.lock:
                self.finish(part, outcome)

    def log(self, part: Part) -> Path:
        return self.logs / f"part-{part.name}.log"

    def finish(self, part: Part, outcome: Outcome) -> None:
        self.done[part.name] = outcome
        verdict = "passed" if outcome.passed else "failed"
        say(f"Part {part.name} {verdict} in {outcome.minutes:.1f} min, {self.minutes():.1f} min after the start")
        lines = self.log(part).read_text(errors="replace").splitlines()
        print("\n".join(lines[-5:] if outcome.passed else lines[-250:]), flush=True)


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def side_by_side(parts: Sequence[Part], limit: float, lanes: int) -> int:
    """Run parts in lanes, and report. :returns: the exit code."""
    logs = STATE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    session = Session(list(parts), limit, logs)
    if CHECK in session.queue:  # alone and first: it finds most mistakes in the least time
        session.queue.remove(CHECK)
        with session.log(CHECK).open("w") as log:
            session.finish(CHECK, execute(CHECK, log))
        if not session.done[CHECK.name].passed:
            return 1
    prepare = ("scripts/test-hosts",)
    if any(part.host != "none" for part in session.queue) and subprocess.run(prepare, cwd=ROOT, check=False).returncode:
        return 1
    threads = [threading.Thread(target=session.work) for _lane in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report(session, [part.name for part in parts])


def report(session: Session, wanted: Sequence[str]) -> int:
    """Print what each part took and which were left out, and keep it as ``parts.json``."""
    rows = {
        name: {"result": "passed" if outcome.passed else "failed", "minutes": round(outcome.minutes, 1)}
        for name, outcome in session.done.items()
    }
    left = [name for name in wanted if name not in rows]
    for part in (CHECK, *PARTS):
        if part.name in session.done and not session.done[part.name].passed:
            # Again, as the whole is long and its beginning may be cut off where it is read.
            say("\n".join([f"What failed in {part.name}:", *failures(session.log(part))]))
    for name, row in sorted(rows.items(), key=lambda item: wanted.index(item[0])):
        print(f"  {name:<14} {row['result']:<7} {row['minutes']:5.1f} min")
    for name in left:
        print(f"  {name:<14} left out: no time within {session.limit:.0f} min; alone: scripts/test {name}")
    print(f"  total {session.minutes():.1f} min")
    (session.logs / "parts.json").write_text(json.dumps({**rows, "left_out": left}, indent=2) + "\n")
    passed = sum(outcome.passed for outcome in session.done.values())
    print(f"parts: {passed} passed, {len(rows) - passed} failed, {len(left)} skipped", flush=True)
    return 0 if passed == len(rows) else 1


def failures(log: Path, most: int = 40) -> list[str]:
    """The lines of a log that name what failed and why; its last ones where none does. At most that many."""
    lines = log.read_text(errors="replace").splitlines()
    telling = [line[:500] for line in lines if line.startswith(("E   ", "FAILED ", "ERROR ", "error: ", "fatal: "))]
    return (telling or lines)[-most:]


def chosen(names: Sequence[str]) -> list[Part]:
    """The parts with these names.

    :raises SystemExit: a name is none of a part; says which there are.
    """
    known = {part.name: part for part in (CHECK, *PARTS)}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"error: no part is called {', '.join(unknown)}; expected {', '.join(known)}")
    return [known[name] for name in names]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", description="Run the tests in parts, side by side.")
    parser.add_argument("parts", nargs="*", help="only these")
    parser.add_argument("--all", action="store_true", help="without a time limit")
    parser.add_argument("--list", action="store_true", help="show the parts")
    options = parser.parse_args(arguments)
    if options.list:
        for part in (CHECK, *PARTS):
            print(f"{part.name:<14} {part.minutes:3.0f} min  {'core' if part.core else '    '}  {part.proves}")
        return 0
    lanes = int(os.environ.get("DURABLE_TEST_LANES", "3"))
    if options.parts:
        return side_by_side(chosen(options.parts), float("inf"), lanes)
    day = int(time.time() // 86400)
    limit = float("inf") if options.all else float(os.environ.get("DURABLE_TEST_MINUTES", "80"))
    return side_by_side([CHECK, *ordered(PARTS, day)], limit, lanes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
