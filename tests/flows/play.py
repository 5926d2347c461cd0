# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks as an operator does, and gives their results as data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".local" / "venv" / "bin"


@dataclass(frozen=True)
class Task:
    """One task on one host."""

    name: str
    host: str
    action: str
    status: str  # ok, changed, skipped, failed, unreachable
    message: str
    result: Mapping[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One finished ``ansible-playbook``."""

    rc: int
    seconds: float
    tasks: Sequence[Task]
    output: str = field(repr=False)
    # From the start of the first play to the end of the last task, without the start of ansible-playbook itself.
    play_seconds: float = 0.0

    def having(self, status: str) -> list[Task]:
        return [task for task in self.tasks if task.status == status]

    @property
    def changed(self) -> list[str]:
        return [task.name for task in self.having("changed")]

    @property
    def failure(self) -> str:
        """The messages of what failed, for assertions and for people."""
        return "\n".join(
            f"{task.name}: {task.message}" for task in [*self.having("failed"), *self.having("unreachable")]
        )

    @property
    def executed(self) -> int:
        """Tasks that ran on a host: skipped ones do not count."""
        return len(self.tasks) - len(self.having("skipped"))


def environment(log: str | None = None) -> dict[str, str]:
    result = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    if log is not None:
        folder = Path(os.environ.get("DURABLE_RUN_DIR", ROOT / ".local")) / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        result["ANSIBLE_LOG_PATH"] = str(folder / f"{log}.log")
    return result


def command(playbook: str, inventory: Path, extra: Mapping[str, Any] | None = None, *arguments: str) -> list[str]:
    built = ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / f"{playbook}.yml"), *arguments]
    return [*built, "-e", json.dumps(extra)] if extra else built


def _status(result: Mapping[str, Any]) -> str:
    for status in ("unreachable", "failed", "skipped", "changed"):
        if result.get(status):
            return status
    return "ok"


def _message(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key)) for key in ("msg", "stderr", "module_stderr") if result.get(key)]
    parts += [str(item.get("msg")) for item in result.get("results", []) if item.get("failed")]
    return "\n".join(parts)


def play(
    playbook: str,
    inventory: Path,
    *arguments: str,
    extra: Mapping[str, Any] | None = None,
    timeout: float = 900,
) -> Run:
    """Run a playbook to its end; the result says what each task did."""
    env = {**environment(f"flow-{playbook}"), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    started = time.monotonic()
    done = subprocess.run(
        command(playbook, inventory, extra, *arguments),
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    seconds = time.monotonic() - started
    start = done.stdout.find("{\n")
    if start < 0:
        return Run(
            done.returncode, seconds, [Task("parse", "localhost", "", "failed", done.stdout + done.stderr)], done.stderr
        )
    document, _end = json.JSONDecoder().raw_decode(done.stdout[start:])
    tasks = [
        Task(task["task"]["name"], host, str(result.get("action", "")), _status(result), _message(result), result)
        for each in document["plays"]
        for task in each["tasks"]
        for host, result in task["hosts"].items()
    ]
    durations = [each["play"]["duration"] for each in document["plays"]]
    begun = min((datetime.fromisoformat(d["start"]) for d in durations), default=datetime.min)
    ended = max((datetime.fromisoformat(d["end"]) for d in durations if "end" in d), default=begun)
    return Run(done.returncode, seconds, tasks, done.stdout + done.stderr, (ended - begun).total_seconds())


def _children(parent: int) -> set[int]:
    """The processes that a process has started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found


def _await_end(workers: set[int], deadline: float) -> None:
    """Wait until workers of Ansible have done their tasks: each has a session of its own and outlives the one that began it.

    One whose result is longer than a pipe holds then waits for ever to hand it over, and is ended.
    """
    while running := {worker for worker in workers if _runs(worker)}:
        for worker in running:
            if not _children(worker) and _writes_to_a_pipe(worker):
                os.kill(worker, signal.SIGKILL)
        assert time.monotonic() < deadline, f"still running: {running}"
        time.sleep(0.05)


def _writes_to_a_pipe(process: int) -> bool:
    """Whether a process waits for somebody to read what it writes."""
    try:
        return Path(f"/proc/{process}/wchan").read_text().endswith("pipe_write")
    except OSError:
        return False


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[0] != "Z"
    except OSError:
        return False


def interrupt(
    playbook: str,
    inventory: Path,
    after_tasks: int,
    delay: float,
    at_task: str = "",
    extra: Mapping[str, Any] | None = None,
    timeout: float = 900,
) -> int | None:
    """Start a playbook and end it, as a lost terminal does, ``delay`` s into the task after ``after_tasks``.

    :param at_task: in place of a number: the name of the task in which it ends.
    :returns: how many tasks had begun, or ``None`` when the playbook was done before that.
    :raises AssertionError: when it failed before that; with the end of what it printed.
    """
    process = subprocess.Popen(
        command(playbook, inventory, extra),
        cwd=ROOT,
        env=environment(f"flow-{playbook}-interrupted"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    begun, reached = 0, False
    deadline = time.monotonic() + timeout
    printed: deque[str] = deque(maxlen=30)
    for line in process.stdout:
        printed.append(line)
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            begun += 1
            reached = f": {at_task}]" in line if at_task else begun > after_tasks
        if reached or time.monotonic() > deadline:
            break
    if process.poll() is None and reached:
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            workers = _children(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _await_end(workers, deadline)
            return begun
    printed.extend(process.communicate(timeout=timeout)[0].splitlines(keepends=True))
    assert process.returncode == 0, f"it failed after {begun} tasks, before it was to be cut off:\n{''.join(printed)}"
    return None
