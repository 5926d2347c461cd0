# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to the PM2 daemon of one application.

Private to this collection. PM2's command takes half a second of a processor to start, each time, which is most felt while
processes start. So listings are asked of the daemon over its socket, as the command does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import typing as t
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._application import CANDIDATE, DEFINITION
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import (
    CRASHED,
    UNDER_WAY,
    Instance,
    Pm2Error,
    instances,
    parse,
)
from ansible_collections.durable.temporal.plugins.module_utils._pm2_library import Library
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, run_as
from ansible_collections.durable.temporal.plugins.module_utils._watch import BusyError, alone

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SOCKET_SECONDS = 10
# A listing takes 2 ms.
POLL_SECONDS = 0.05
# How long an instance that is about to start is waited for before it is told to end. Longer than its listen_timeout.
LAUNCH_SECONDS = 30
# How much later than it should an instance that crashes may be started again.
RETURN_SECONDS = 1.0


def release_of(pid: int) -> str:
    """The release that a process works in, by the kernel's account; PM2 only knows the link."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).name
    except OSError:
        return ""


def listens(pid: int) -> bool:
    """Whether a process has a listening TCP socket of its own. In cluster mode the daemon has it."""
    own = _files(pid)
    return any(file in own for _port, file in _listening(pid))


def has_port(pid: int, port: int) -> bool:
    """Whether everything that listens on a TCP port, on whichever address, belongs to a process."""
    found = {file for its_port, file in _listening(pid) if its_port == port}
    return bool(found) and found <= _files(pid)


def _files(pid: int) -> set[str]:
    """What a process has open."""
    own: set[str] = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                own.add(os.readlink(file))
    return own


def _listening(pid: int) -> list[tuple[int, str]]:
    """Port of each listening TCP socket that a process could meet, and the socket as it is among open files."""
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    found.append((int(fields[1].rpartition(":")[2], 16), f"socket:[{fields[9]}]"))
    return found


def ask(path: Path, method: str, *arguments: t.Any, timeout_seconds: float = SOCKET_SECONDS) -> list[t.Any]:
    """Call a method of the daemon, as PM2's command does: an AMP message with a call in JSON and the number of the call.

    :raises OSError: it cannot be reached.
    :raises ValueError: it answered something else than expected.
    """
    parts = [b"j:" + json.dumps({"type": "call", "method": method, "args": list(arguments)}).encode(), b"s:0:0"]
    message = bytes([1 << 4 | len(parts)]) + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(path))
        connection.sendall(message)
        with connection.makefile("rb") as stream:
            head = stream.read(5)
            if len(head) < 5 or head[0] >> 4 != 1:
                raise ValueError("this is not the protocol that is known")
            answer = json.loads(stream.read(struct.unpack(">I", head[1:])[0]).removeprefix(b"j:"))
    if not isinstance(answer, dict) or not isinstance(answer.get("args"), list):
        raise ValueError(f"{method} was answered with {str(answer)[:200]}")
    return t.cast("list[t.Any]", answer["args"])


class Daemon:
    """The PM2 daemon of one application."""

    def __init__(self, application: t.Mapping[str, t.Any], pm2: str, timeout_seconds: float) -> None:
        self.application = application
        self.pm2 = pm2
        self.timeout_seconds = timeout_seconds
        self.home = Path(application["pm2_home"])
        self._held: list[int] = []
        self._library: Library | None = None

    def runs(self) -> bool:
        """Whether the daemon runs in its unit.

        :raises Pm2Error: one runs elsewhere, or the unit is about to do something.
        """
        unit = self.application["unit"]
        shown = subprocess.run(
            ["systemctl", "show", "--property=ActiveState,MainPID", unit], check=False, capture_output=True, text=True
        ).stdout
        properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.home / "pm2.pid").read_text())
            if Path(f"/proc/{pid}").exists() and str(pid) != properties.get("MainPID"):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                if "PM2" in command:
                    raise Pm2Error(
                        f"the PM2 daemon of {self.home} is process {pid}, outside {unit}, and would not come back "
                        f"after a reboot. End it (kill {pid}) and start the unit: systemctl restart {unit}."
                    )
        return properties.get("ActiveState") == "active"

    def has_port(self, port: int) -> bool:
        """Whether the daemon itself has a port, for processes that share it, and nobody else has it on another address."""
        try:
            return has_port(int((self.home / "pm2.pid").read_text()), port)
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def alone(self, wait_seconds: float) -> t.Iterator[None]:
        """Keep other runs off the processes.

        The kernel ends the lock with the last program that has it, so that nothing is left by a run that is killed.

        :raises Pm2Error: another run was still at work after ``wait_seconds``.
        """
        try:
            with alone(Path("/run/lock") / f"durable-temporal-{self.application['unit']}", wait_seconds) as held:
                self._held = [held]
                yield
        except BusyError as error:
            raise Pm2Error(str(error)) from None
        finally:
            self._held = []
            if self._library:
                self._library.close()
                self._library = None

    def account(self) -> Account:
        """The user that the processes run as."""
        return Account.find(self.application["user"], self.application["group"] or "")

    def _environment(self) -> dict[str, str]:
        """PM2 writes all variables of the processes, and so their secrets, into its list for the next boot."""
        return {"HOME": str(self.home.parent), "PM2_HOME": str(self.home), "PM2_DISABLE_VERSION_CHECK": "true"}

    def call(self, verb: str, *arguments: str) -> str:
        """Run a PM2 command as the user, with an environment that processes may inherit.

        :raises Pm2Error: PM2 says that it failed. That it does not say so means nothing.
        """
        command = [self.pm2, verb, *arguments]
        try:
            result = run_as(
                self.account(),
                command,
                self._environment(),
                timeout_seconds=self.timeout_seconds,
                # What PM2 writes for the next boot has the secrets in it.
                umask=0o077,
                keep_open=self._held,
            )
        except subprocess.TimeoutExpired:
            raise Pm2Error(f"pm2 {verb} did not end within {self.timeout_seconds:.0f} s") from None
        except OSError as error:
            raise Pm2Error(f"{self.pm2} cannot be run: {error}. Run site.yml first; it installs PM2.") from None
        if result.returncode != 0:
            said = " | ".join(
                line for line in COLOUR.sub("", result.stderr + result.stdout).splitlines() if "ERROR" in line
            )
            raise Pm2Error(f"pm2 {' '.join([verb, *arguments])} failed: {said[-600:] or f'code {result.returncode}'}")
        return result.stdout

    def write(self, path: Path, text: str) -> None:
        """Replace a file that only the user can read, in one step.

        :raises OSError: it cannot be written.
        """
        account = self.account()
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            os.fchown(descriptor, account.uid, account.gid)
            stream.write(text)
        fresh.replace(path)

    def start(self, file: t.Mapping[str, t.Any]) -> None:
        """Start what a part of an ecosystem declares, beside what runs.

        :raises Pm2Error: PM2 says that it failed.
        """
        try:
            if not self._library:
                self._library = Library(self.account(), self.pm2, self._environment(), self._held)
        except OSError as error:
            raise Pm2Error(f"{self.pm2} cannot be run: {error}. Run site.yml first; it installs PM2.") from None
        self._library.start(file, self.timeout_seconds)

    def end(self, numbers: t.Sequence[str]) -> None:
        """Let instances end, all at once; returns when they have. PM2's command would take one after the other.

        One that is about to start is waited for: when it ends before it was ready, PM2 takes that for a crash, and starts
        it again seconds after it was deleted. One that crashes may begin to start just then, so it is looked for as long
        as it could come back. What PM2 never starts again, such as a candidate, ends at once.

        :raises Pm2Error: PM2 says that it failed.
        """
        crashing = self._end(numbers)
        until = time.monotonic() + max((i.restart_seconds or 0 for i in crashing), default=0) + RETURN_SECONDS
        while crashing and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            self._end([i.number for i in crashing])

    def _end(self, numbers: t.Sequence[str]) -> list[Instance]:
        """Let instances end; returns those among them that PM2 may start again."""

        def tell(number: str) -> bool:
            try:
                which = int(number) if number.isdecimal() else number
                ask(self.home / "rpc.sock", "deleteProcessId", which, timeout_seconds=self.timeout_seconds)
            except TimeoutError:
                raise Pm2Error(f"instance {number} did not end within {self.timeout_seconds:.0f} s") from None
            except (OSError, ValueError):
                return False
            return True

        until = time.monotonic() + LAUNCH_SECONDS
        left = [i for i in self.listing() if i.number in numbers] if numbers else []
        crashing = [i for i in left if i.restart_seconds is not None and i.status in ("launching", CRASHED)]
        while left:
            starting = {i.number for i in left if i.status == "launching" and i.restart_seconds is not None}
            settled = [i.number for i in left if i.number not in starting or time.monotonic() > until]
            if settled:
                with ThreadPoolExecutor(len(settled)) as pool:
                    told = list(pool.map(tell, settled))
                if untold := [number for number, done in zip(settled, told, strict=True) if not done]:
                    self.call("delete", *untold)
            else:
                time.sleep(POLL_SECONDS)
            left = [i for i in self.listing() if i.number in numbers and i.number not in settled]
        return crashing

    def listing(self) -> list[Instance]:
        """The processes that the daemon knows."""
        try:
            (rows,) = ask(self.home / "rpc.sock", "getMonitorData", {})
        except (OSError, ValueError):
            # Of a version that answers in another way; its own command knows how.
            rows = parse(self.call("jlist"))
        return instances(rows, release_of)

    def settled(self, wait_seconds: float) -> list[Instance]:
        """The processes, after those that are about to start or stop have done so. Candidates are no reason to wait."""
        end = time.monotonic() + wait_seconds
        found = self.listing()
        while any(i.status in UNDER_WAY and not i.name.endswith(CANDIDATE) for i in found) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            found = self.listing()
        return found

    def saved(self, found: t.Iterable[Instance]) -> bool:
        """Whether the next boot would start what runs now."""
        try:
            dump = json.loads((self.home / "dump.pm2").read_text())
            kept = Counter((str(p["name"]), str(p.get(DEFINITION, ""))) for p in dump)
        except (OSError, ValueError, KeyError, TypeError):
            kept = Counter()
        return kept == Counter((i.name, i.definition) for i in found)

    def logs(self) -> dict[str, list[Path]]:
        """Process name to its log files, errors first."""
        try:
            entries = json.loads(Path(self.application["ecosystem"]).read_text())["apps"]
            return {e["name"]: [Path(e["error_file"]), Path(e["out_file"])] for e in entries}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


class Background:
    """Something that is told to the daemon while other things go on. Without anything to tell it is done at once."""

    def __init__(self, tell: t.Callable[[], object] | None) -> None:
        self._error: Pm2Error | KeyError | None = None
        self._thread = threading.Thread(target=self._run, args=(tell,), daemon=True)
        if tell:
            self._thread.start()

    def _run(self, tell: t.Callable[[], object]) -> None:
        try:
            tell()
        except (Pm2Error, KeyError) as error:  # the latter: an account that is not there
            self._error = error

    def check(self) -> None:
        """:raises Pm2Error: it could not be done.
        :raises KeyError: the host has no such account.
        """
        if self._error:
            raise self._error

    @property
    def done(self) -> bool:
        """Whether it has been done.

        :raises Pm2Error: it could not be.
        """
        if self._thread.is_alive():
            return False
        self.check()
        return True

    def wait(self) -> None:
        """:raises Pm2Error: it could not be done."""
        if self._thread.ident:
            self._thread.join()
        self.check()
