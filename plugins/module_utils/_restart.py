# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what runs would come back, and whether what it keeps secret is: what only the next start or a stranger would find.

There is a row for each thing that is wrong, and none when all is well. Private to this collection.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, Status
from ansible_collections.durable.temporal.plugins.module_utils._edge import Run
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

SHOWN = "--property=Id,User,ExecStart,EnvironmentFiles,WorkingDirectory"
DAEMON = "/etc/docker/daemon.json"
_PROGRAM = re.compile(r"\{ path=(\S+) ;")
_ENVIRONMENT_FILE = re.compile(r"^EnvironmentFiles=(\S+) \(ignore_errors=no\)$", re.MULTILINE)
_EXPECTED = "what its next start needs"


@dataclass(frozen=True)
class Start:
    """What a unit needs to start again. What it has not is empty."""

    unit: str
    user: str
    program: str
    directory: str
    files: tuple[str, ...]


def parse_starts(shown: str) -> list[Start]:
    """From what ``systemctl show`` with :data:`SHOWN` prints."""
    found = []
    for block in filter(None, shown.strip().split("\n\n")):
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        program = _PROGRAM.search(fields.get("ExecStart", ""))
        directory = fields.get("WorkingDirectory", "").lstrip("-!")
        files = tuple(_ENVIRONMENT_FILE.findall(block))
        found.append(
            Start(fields.get("Id", ""), fields.get("User", ""), program[1] if program else "", directory, files)
        )
    return found


def start_checks(application: str, starts: t.Sequence[Start], account: str, live: str) -> list[Check]:
    """What the units of an application and its live release lack.

    :param account: that of the application.
    :param live: directory of the live release; empty without one.
    """
    lacks: dict[str, None] = {}
    for start in starts:
        lacks.update(dict.fromkeys(f"{path} is gone" for path in start.files if not os.path.exists(path)))
    for user, paths in ((account, (live,)), *((start.user, (start.program, start.directory)) for start in starts)):
        if user:
            try:
                who = Account.find(user)
            except KeyError:
                lacks[f"there is no account {user}"] = None
                continue
            lacks.update(dict.fromkeys(filter(None, (obstacle(path, who) for path in paths if path))))
    # A unit that is there in several releases or numbers lacks the same things.
    return [
        Check(
            application,
            "next start",
            "degraded",
            lack,
            _EXPECTED,
            "What runs goes on, and would not come back. Put it back.",
        )
        for lack in lacks
    ]


def obstacle(path: str, account: Account) -> str:
    """Why an account cannot enter a directory, or run a program; empty when it can.

    :param path: absolute. Links are followed.
    """
    real = Path(os.path.realpath(path))
    for place in [*reversed(real.parents), real]:
        try:
            info = place.stat()
        except OSError:
            return f"{path} is gone"
        if account.uid and not info.st_mode & _bit(info, account):
            return f"{path} is out of reach for {account.user}, which may not pass {place}"
    return ""


def _bit(info: os.stat_result, account: Account) -> int:
    """Which permission to execute counts for an account."""
    if info.st_uid == account.uid:
        return stat.S_IXUSR
    return stat.S_IXGRP if info.st_gid in account.groups else stat.S_IXOTH


def open_checks(component: str, directory: str) -> list[Check]:
    """Files with secrets that every account of the host can read.

    :param directory: where such files lie. One that is not there holds none.
    """
    try:
        if not os.stat(directory).st_mode & stat.S_IXOTH:
            return []
        found = sorted(
            path for path in Path(directory).rglob("*") if path.is_file() and path.stat().st_mode & stat.S_IROTH
        )
    except OSError:
        return []
    return [
        Check(
            component,
            "secrets",
            "failed",
            f"{path}, which everybody may read",
            "0600",
            "Run site.yml; change what it held.",
        )
        for path in found
    ]


def engine_checks(run: Run, file: str = DAEMON) -> list[Check]:
    """Whether the container engine would start with the settings and units that it has now."""
    checks = []
    status: Status = "degraded"
    tool = shutil.which("dockerd", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if tool and os.path.exists(file):
        code, out, err = run([tool, "--validate", "--config-file", file])
        # Engines before 23 have no way to ask.
        if code and "unknown flag" not in err:
            said = ((err or out).strip().splitlines() or ["refused"])[-1][:300]
            message = f"The engine runs, and would not start again: correct {file}, or run site.yml."
            checks.append(Check("docker", "configuration", status, said, "valid", message))
    code, out, _err = run(["systemctl", "show", "--property=UnitFileState", "--value", "docker.socket"])
    if code == 0 and out.strip().startswith("masked"):
        message = "docker.service needs it at the next start: systemctl unmask docker.socket"
        checks.append(Check("docker", "docker.socket", status, out.strip(), "not masked", message))
    return checks
