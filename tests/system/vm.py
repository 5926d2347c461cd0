# SPDX-License-Identifier: GPL-3.0-or-later
"""A host, looked at from outside: its sockets, processes, containers, files and databases.

A host here is a systemd container, so it is entered with ``docker exec`` and rebooted with ``docker restart``.
Nothing in this file knows how the collection configures anything.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from waiting import eventually


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; ``process`` is empty when the kernel tells none."""

    address: str
    port: int
    process: str

    @property
    def loopback(self) -> bool:
        plain = self.address.strip("[]").split("%", 1)[0]
        return plain != "*" and ipaddress.ip_address(plain).is_loopback


@dataclass(frozen=True)
class Process:
    pid: int
    user: str
    name: str
    command: str


@dataclass(frozen=True)
class Container:
    """What ``docker inspect`` tells, and the few parts of it that are asked for most."""

    name: str
    inspected: Mapping[str, Any]

    @property
    def running(self) -> bool:
        return bool(self.inspected["State"]["Running"])

    @property
    def health(self) -> str | None:
        """``healthy``, ``starting``, ``unhealthy``; ``None`` without a health check."""
        health = self.inspected["State"].get("Health")
        return str(health["Status"]) if health else None

    @property
    def restart_policy(self) -> str:
        return str(self.inspected["HostConfig"]["RestartPolicy"]["Name"])

    @property
    def published(self) -> list[tuple[str, str]]:
        """Pairs of host address and host port."""
        bindings = self.inspected["HostConfig"]["PortBindings"] or {}
        return [(each["HostIp"], each["HostPort"]) for ports in bindings.values() for each in ports or []]


class CommandError(AssertionError):
    """A command on the host failed: a test that needs it fails with its words."""


class Vm:
    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *argv: str, stdin: str | None = None, user: str = "root", timeout: float = 120) -> str:
        """Run a command without a shell; gives what it printed.

        :raises CommandError: when it exits with anything but 0
        """
        entered = ["docker", "exec", *(["-i"] if stdin is not None else []), "-u", user, self.name, *argv]
        done = subprocess.run(entered, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout)
        if done.returncode != 0:
            raise CommandError(f"{self.name}: {' '.join(argv)} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def sh(self, script: str, *arguments: str, stdin: str | None = None, user: str = "root") -> str:
        """Run a shell script; ``arguments`` are its ``$1``, ``$2`` and so on."""
        return self.run("sh", "-c", script, "sh", *arguments, stdin=stdin, user=user)

    def succeeds(self, *argv: str, user: str = "root") -> bool:
        try:
            self.run(*argv, user=user)
        except CommandError:
            return False
        return True

    def read(self, path: str) -> str:
        return self.run("cat", path)

    def address(self) -> str:
        """An address of the host as the controller reaches it."""
        inspected = json.loads(_docker("inspect", self.name))[0]
        networks = inspected["NetworkSettings"]["Networks"].values()
        return str(next(network["IPAddress"] for network in networks if network["IPAddress"]))

    def reboot(self, within: float = 120) -> None:
        """Restart the host and wait until systemd has started all it wants to; the rest is for the caller to await."""
        _docker("restart", "--time", "30", self.name)

        def up() -> str | None:
            try:
                state = self.sh("systemctl is-system-running || :").strip()
            except CommandError:
                return None
            return state if state in {"running", "degraded"} else None

        state = eventually(f"{self.name} is up again", up, within, pause=0.5)
        failed = self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        assert state == "running", f"{self.name} is {state} after the reboot: {failed}"

    # ---- looking

    def listeners(self) -> list[Listener]:
        found = []
        for line in self.run("ss", "-H", "-l", "-t", "-n", "-p").splitlines():
            columns = line.split(None, 5)
            address, _, port = columns[3].rpartition(":")
            process = columns[5].split('"')[1] if len(columns) > 5 and '"' in columns[5] else ""
            found.append(Listener(address, int(port), process))
        return found

    def processes(self) -> list[Process]:
        """All processes of the host, those in containers included."""
        rows = self.run("ps", "-e", "-o", "pid=,user:32=,comm:32=,args=", "-ww").splitlines()
        parts = [row.split(None, 3) for row in rows]
        return [Process(int(row[0]), row[1], row[2], row[3] if len(row) > 3 else "") for row in parts]

    def containers(self) -> dict[str, Container]:
        names = self.run("docker", "ps", "--all", "--format", "{{.Names}}").split()
        if not names:
            return {}
        inspected = json.loads(self.run("docker", "inspect", *names))
        return {each["Name"].lstrip("/"): Container(each["Name"].lstrip("/"), each) for each in inspected}

    def pm2(self, application: str, user: str) -> list[dict[str, Any]]:
        """PM2's own list of an application's processes."""
        # Asking PM2 without its daemon would start one outside the unit.
        self.run("systemctl", "is-active", f"{application}-pm2.service")
        home = f"/var/lib/durable-temporal/home/{application}"
        path = "PATH=/opt/pm2/node:/usr/local/bin:/usr/bin:/bin"
        printed = self.run(
            *("env", "-i", "-C", "/", f"HOME={home}", f"PM2_HOME={home}/.pm2", path, "/opt/pm2/bin/pm2", "jlist"),
            user=user,
        )
        # It may greet before it answers.
        listed: list[dict[str, Any]] = json.loads(printed[printed.index("[{") :] if "[{" in printed else "[]")
        return listed

    def temporal(self, *arguments: str) -> Any:
        """What Temporal's own command line answers, as data."""
        return json.loads(self.run("temporal", *arguments, "--output", "json"))

    def psql(self, database: str, query: str, *parameters: object) -> Any:
        """The first value of the first row, with its type; ``%s`` stands for the parameters."""
        rows = self.rows(database, query, *parameters)
        return next(iter(rows[0].values())) if rows else None

    def rows(self, database: str, query: str, *parameters: object) -> list[dict[str, Any]]:
        """All rows as PostgreSQL's own client gives them; not by way of Temporal."""
        text, options = query, []
        for number, parameter in enumerate(parameters):
            text = text.replace("%s", f":'p{number}'", 1)
            options += ["-v", f"p{number}={parameter}"]
        wrapped = f"select coalesce(json_agg(row_to_json(t)), '[]') from ({text}) t;"
        client = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options, "-d", database, "-f", "-"]
        found: list[dict[str, Any]] = json.loads(self.run(*self._database_user(), *client, stdin=wrapped))
        return found

    def _database_user(self) -> Sequence[str]:
        if self.succeeds("docker", "inspect", "temporal-postgres"):
            return ["docker", "exec", "-i", "-u", "postgres", "temporal-postgres"]
        return ["runuser", "-u", "postgres", "--"]


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=180).stdout
