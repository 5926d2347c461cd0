# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs as the user of an application, with an environment that holds nothing by accident.

Private to this collection.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import typing as t
from dataclasses import dataclass

# First the Node.js that is declared, which the role pm2_worker links there: others may have another one in /usr/local/bin.
PATH = "/opt/pm2/node:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What package clients need behind a company's proxy or with a private mirror. Compared in upper case.
PASSED_ON = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PASSED_ON_PREFIX = "NPM_CONFIG_"
# As nice(1) does it without an argument.
NICENESS = 10


@dataclass(frozen=True)
class Account:
    """A user and the group that its processes run with."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def find(cls, user: str, group: str = "") -> Account:
        """:raises KeyError: there is no such user or group."""
        entry = pwd.getpwnam(user)
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
        return cls(user, entry.pw_uid, gid, tuple(sorted({gid, *os.getgrouplist(user, gid)})))


def passed_on(environment: t.Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that package clients need: certificates, proxies and npm's own settings."""
    return {k: v for k, v in environment.items() if k.upper() in PASSED_ON or k.upper().startswith(PASSED_ON_PREFIX)}


def give_way() -> None:
    """From here on, let what serves go first when processors are short: this program and all that it starts can wait."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def _as(
    account: Account, environment: t.Mapping[str, str], umask: int, keep_open: t.Collection[int]
) -> dict[str, t.Any]:
    """What makes a program run as the account, with exactly this environment (and a default ``PATH``)."""
    switch: dict[str, t.Any] = {}
    if os.geteuid() == 0:
        switch = {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}
    env = {"PATH": PATH, "LANG": "C.UTF-8", **environment}
    return {"text": True, "errors": "replace", "env": env, "umask": umask, "pass_fds": tuple(keep_open), **switch}


def run_as(
    account: Account,
    argv: t.Sequence[str],
    environment: t.Mapping[str, str],
    directory: str = "/",
    timeout_seconds: float = 600,
    umask: int = 0o022,
    keep_open: t.Collection[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program as the account, with exactly this environment (and a default ``PATH``).

    :param keep_open: files that the program holds open too, such as a lock that must not end before it does.
    :raises subprocess.TimeoutExpired: it was still running after ``timeout_seconds`` and has been killed.
    :raises OSError: it could not be started.
    """
    return subprocess.run(
        list(argv),
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        cwd=directory,
        timeout=timeout_seconds,
        **_as(account, environment, umask, keep_open),
    )


def talk_as(
    account: Account,
    argv: t.Sequence[str],
    environment: t.Mapping[str, str],
    umask: int = 0o022,
    keep_open: t.Collection[int] = (),
) -> subprocess.Popen[str]:
    """Begin a program as :func:`run_as` does, and talk to it over its standard streams.

    :raises OSError: it could not be started.
    """
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        **_as(account, environment, umask, keep_open),
    )
