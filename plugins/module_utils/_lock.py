# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps two deployments of one application on one host apart, for as long as a whole run of a playbook takes.

Private to this collection. A run is many module calls, so the lock cannot be a process: it is a file that says which
run holds it, and what that run did last. The three ways in which a run ends without freeing it are told apart:

* a call of it still works on the host: it is never taken over before that call has ended;
* its controller was asked and is gone: taken over at once;
* its controller is another machine, of which nothing can be known: after ``STALE_SECONDS`` without a further step.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

# Longer than any single step of a deployment that is not a call on the host.
STALE_SECONDS = 900
# How long the last call of a run whose controller is gone may take to end.
ORPHAN_SECONDS = 300
POLL_SECONDS = 0.2
ANY = "any"


@dataclass(frozen=True)
class Run:
    """One run of a playbook. ``id`` is empty for a module that is used alone: its lock lasts as long as its call."""

    by: str
    id: str = ""
    machine: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``pid`` is the process of its call on this host, 0 between two calls."""

    by: str
    run: str = ""
    machine: str = ""
    controller_pid: int = 0
    pid: int = 0
    pid_started: str = ""
    boot: str = ""
    since: float = 0
    touched: float = 0
    step: str = ""
    # The release that the run goes back to. A run that goes on after an interruption must not go back once more.
    target: str = ""

    def works(self) -> bool:
        """Whether a call of it is at work on this host now."""
        return self.boot == boot_id() and self.pid_started == started(self.pid) != ""


class HeldError(Exception):
    """A lock is held by another run; the text is for the operator."""

    def __init__(self, text: str, holder: Holder) -> None:
        super().__init__(text)
        self.holder = holder


def boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def started(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty when there is none. Numbers are used again."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def age(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass
class Lock:
    """The lock of one application: the file ``path`` exists while it is held.

    :param take_over: id of a run that is known to be gone, or ``any``.
    :param target: the release to go back to; found when an interrupted run has left the lock.
    """

    path: Path
    run: Run
    take_over: str = ""
    target: str = ""
    warnings: list[str] = field(default_factory=list)

    def take(self, step: str) -> None:
        """Take the lock, or go on with it when this run holds it already.

        :raises HeldError: another run holds it; says who, since when, and what to do.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + ORPHAN_SECONDS
        while True:
            with self._alone():
                found = self.read()
                if found is None or self._mine(found) or self._may_take(found):
                    since = found.since if found and self._mine(found) else time.time()
                    self.target = found.target if found else ""
                    self._write(step, os.getpid(), since)
                    return
            # Its controller is gone, but its last call still works: it ends by itself.
            orphan = bool(self.take_over) and found.run == self.take_over and found.works()
            if not orphan or time.monotonic() > end:
                raise HeldError(self._complaint(found), found)
            time.sleep(POLL_SECONDS)

    def aim(self, target: str) -> None:
        """Write down which release the run goes back to before it does, so that the next one finishes it, not more."""
        self.target = target
        with self._alone():
            found = self.read()
            if found and self._mine(found) and found.target != target:
                self._write(found.step, found.pid, found.since)

    def rest(self, step: str) -> None:
        """Between two calls of the run: held, but nobody is at work. That the call has ended is seen without it too."""
        with self._alone(), contextlib.suppress(OSError):
            found = self.read()
            if found and self._mine(found):
                self._write(step, 0, found.since)

    def free(self) -> None:
        """Free the lock if this run holds it."""
        with self._alone():
            found = self.read()
            if found and self._mine(found):
                self.path.unlink()

    def read(self) -> Holder | None:
        """Who holds the lock; ``None`` when it is free."""
        try:
            data = json.loads(self.path.read_text())
            return Holder(**data)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Cut off by a full disk or a crash of the host.
            return Holder(by="an unknown run")

    def _mine(self, found: Holder) -> bool:
        if self.run.id:
            return found.run == self.run.id
        return found.pid == os.getpid() and found.works()

    def _may_take(self, found: Holder) -> bool:
        if found.works():
            return False
        idle = time.time() - found.touched
        known_gone = self.take_over == ANY or (bool(self.take_over) and found.run == self.take_over)
        if not (known_gone or not found.run or found.boot != boot_id() or idle > STALE_SECONDS):
            return False
        self.warnings.append(
            f"{self.path} was left by {found.by}, whose run is gone (last step {age(idle)} ago: {found.step or 'none'}); "
            "took it over."
        )
        return True

    def _complaint(self, found: Holder) -> str:
        now = time.time()
        held = f"{self.path} is held by {found.by} for {age(now - found.since)}"
        if found.works():
            return (
                f"{held}: process {found.pid} on this host is at work ({found.step}). Wait for it to end; if it hangs, "
                "end that process and run this again."
            )
        idle = now - found.touched
        return (
            f"{held}; its last step ({found.step}) was {age(idle)} ago. Wait for that run to end. If it is gone, run this "
            f"again in {age(max(1.0, STALE_SECONDS - idle))}, or now with -e deploy_take_over=true."
        )

    def _write(self, step: str, pid: int, since: float) -> None:
        holder = Holder(
            by=self.run.by,
            run=self.run.id,
            machine=self.run.machine,
            controller_pid=self.run.pid,
            pid=pid,
            pid_started=started(pid) if pid else "",
            boot=boot_id(),
            since=since,
            touched=time.time(),
            step=step,
            target=self.target,
        )
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            fresh.write_text(json.dumps(asdict(holder)) + "\n")
            fresh.replace(self.path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _alone(self) -> t.Iterator[None]:
        """Reading and writing the file is one step; the kernel ends this with the process."""
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
