# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to systemd about the units of applications, and looks after their files.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._systemd import (
    SHOWN,
    UNITS,
    Instance,
    owner,
    parse,
    parse_show,
)
from ansible_collections.durable.temporal.plugins.module_utils._watch import last_lines


class SystemdError(Exception):
    """Why processes cannot be brought to the wanted state; the text is for the operator."""


class Systemd:
    """systemd of this host, and its directory of units."""

    def __init__(self, units: str = UNITS, timeout_seconds: float = 600) -> None:
        self.units = Path(units)
        self.timeout_seconds = timeout_seconds

    def call(self, *arguments: str) -> str:
        """:raises SystemdError: systemctl failed; with what it said."""
        try:
            result = subprocess.run(
                ["systemctl", *arguments], check=False, capture_output=True, text=True, timeout=self.timeout_seconds
            )
        except subprocess.TimeoutExpired:
            raise SystemdError(f"systemctl {arguments[0]} did not end within {self.timeout_seconds:.0f} s") from None
        if result.returncode != 0:
            raise SystemdError(f"systemctl {' '.join(arguments)} failed: {result.stderr.strip()[-600:]}")
        return result.stdout

    def instances(self, application: str, processes: t.Iterable[str]) -> list[Instance]:
        """Instances that have a unit file for this application, or that are loaded."""
        names = [n for n in self.files(application) if parse(application, n)]
        # What is loaded without a file: somebody has removed the file of one that runs.
        patterns = [f"{application}-{process}@*.service" for process in processes]
        shown = self.call("show", SHOWN, *names, *patterns) if names or patterns else ""
        found = [i for i in parse_show(application, shown) if i.unit.name in names or i.active != "inactive"]
        return self.owned(application, found)

    def owned(self, application: str, found: t.Iterable[Instance]) -> list[Instance]:
        """Without those whose file is another's: application ``a`` may have a process ``b-c``, and ``a-b`` one ``c``."""
        return [i for i in found if self.owner(i.unit.name) in (application, None)]

    def owner(self, name: str) -> str | None:
        """The application that a unit's file was written for, empty when it is not one of ours; ``None`` without a file."""
        path = self.units / name
        return owner(path.read_text(errors="replace")) if path.is_file() else None

    def files(self, application: str) -> dict[str, str]:
        """Name to text of the units and sockets that were written for an application."""
        found = {}
        for path in sorted(self.units.glob(f"{application}-*")):
            if path.suffix in (".service", ".socket") and path.is_file():
                text = path.read_text(errors="replace")
                if owner(text) == application:
                    found[path.name] = text
        return found

    def state(self, unit: str) -> tuple[bool, bool]:
        """Whether a unit is active, and whether it is enabled."""
        shown = self.call("show", "--property=ActiveState,UnitFileState", unit)
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return values.get("ActiveState") == "active", values.get("UnitFileState") == "enabled"

    def remove(self, names: t.Iterable[str], loaded: t.Collection[str] = ()) -> None:
        """Have units gone: first from the next boot, then by asking their programs to end, then their files.

        :param loaded: those that may run without a file.
        """
        names = [n for n in names if n in loaded or (self.units / n).is_file()]
        if not names:
            return
        with contextlib.suppress(SystemdError):
            self.call("disable", "--quiet", *names)
        self.call("stop", *names)
        with contextlib.suppress(SystemdError):
            self.call("reset-failed", *names)
        for name in names:
            (self.units / name).unlink(missing_ok=True)
        self.call("daemon-reload")

    def said(self, unit: str, since: float) -> str:
        """The last lines of a unit's journal: after several starts, the end of the last one."""
        # Not --lines: with --since, systemd 252 counts them from there on, and shows how a stack trace begins.
        command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--since=@{since:.0f}", f"--unit={unit}"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
        ) as journal:
            return last_lines(unit, journal.stdout or ())
