#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes an application away from a host: what answers requests first, then its workers, then what was written for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_removal
short_description: Take an application away from a host
version_added: 0.1.0
description:
  - Finds what this collection has put on the host for an application, whether or not it is still declared, and takes it
    away in an order in which nothing is lost that need not be - its site at the edge, what answers requests, its workers,
    then units, environment, PM2's home and the like. Programs are asked to end as in a deployment, and have the time that
    was declared for it.
  - An application that is in O(declared) is left alone.
  - Its releases, shared data, logs and user stay unless O(data) is set. A record of where they are stays with them.
  - What was interrupted is finished by running it again. Check mode tells what there is.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  name:
    description: Name of the application.
    type: str
    required: true
  declared:
    description: Names of the applications that are declared for this host.
    type: list
    elements: str
    default: []
  known:
    description:
      - Names of the applications that are declared for any host. A host that has no record of the application, as it only
        stands in front of those that run it, lets its site go when it is none of them.
    type: list
    elements: str
    default: []
  part:
    description: V(edge) takes away its site only, V(all) everything.
    type: str
    choices: [edge, all]
    default: all
  data:
    description:
      - Whether to remove releases, shared data and logs too, and its user when this collection has made it and nobody else
        uses it.
    type: bool
    default: false
  wait_seconds:
    description: How long another run may be at work on its processes.
    type: int
    default: 60
  pm2:
    description: The PM2 program.
    type: path
    default: /opt/pm2/bin/pm2
"""

EXAMPLES = r"""
- name: Take an application away
  durable.temporal.application_removal:
    name: orders
    declared: "{{ topology_applications | map(attribute='name') }}"
"""

RETURN = r"""
state:
  description: >-
    What was found - V(present), V(declared) (so it was left alone), V(removed) (earlier, its data stayed) or V(unknown).
  returned: always
  type: str
applications:
  description: Names of the applications that are on the host or have data there.
  returned: always
  type: list
  elements: str
kept:
  description: Its releases, shared data and logs, as far as they are there.
  returned: always
  type: list
  elements: str
changes:
  description: What was there, one row each, in the order in which it goes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Unit, path or user.
      type: str
    action:
      description: V(delete), or V(update) for the record that stays.
      type: str
    fields:
      description: What of it goes.
      type: list
      elements: str
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils import _accounts, _registry
from ansible_collections.durable.temporal.plugins.module_utils._application import CONFIGURATION, STATE
from ansible_collections.durable.temporal.plugins.module_utils._lock import STALE_SECONDS, Lock, Run, age
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import Pm2Error
from ansible_collections.durable.temporal.plugins.module_utils._pm2_daemon import Daemon, listens
from ansible_collections.durable.temporal.plugins.module_utils._systemd import parse
from ansible_collections.durable.temporal.plugins.module_utils._systemd_units import Systemd, SystemdError
from ansible_collections.durable.temporal.plugins.module_utils._watch import BusyError, alone

# Of an application's root, what the collection has made. Anything else there is somebody's own.
OF_THE_ROOT = ("current", "releases", "shared", ".cache", ".lock")
TIMEOUT = re.compile(r"^TimeoutStopSec=(\d+)$", re.MULTILINE)


class RemovalError(Exception):
    """Why an application is not taken away; the text is for the operator."""


def gone(path: Path) -> None:
    """Remove what lies at a path, whatever it is. Links are not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


class Removal:
    """One application on this host: what there is of it, and how it goes.

    :param root: the root of the file system.
    """

    def __init__(
        self,
        params: t.Mapping[str, t.Any],
        systemd: Systemd,
        run: t.Callable[[t.Sequence[str]], None],
        root: str = "/",
    ) -> None:
        self.name: str = params["name"]
        self.data: bool = params["data"]
        self.wait: int = params["wait_seconds"]
        self.pm2: str = params["pm2"]
        self.root = root
        self.systemd = systemd
        self.run = run
        self.entries = _registry.records(str(self.path(_registry.RECORDS)), str(systemd.units))
        self.entry = next((entry for entry in self.entries if entry["name"] == self.name), None)
        self.unit = f"{self.name}-pm2.service"
        self.state = "unknown"
        if self.entry:
            self.state = "removed" if self.entry.get("removed") else "present"
            if self.name in params["declared"]:
                self.state = "declared"
        # A host in front of those that run it has its site, and no record of it.
        self.in_front = not self.entry and self.name not in {*params["declared"], *params["known"]}

    def path(self, absolute: str) -> Path:
        return Path(self.root) / absolute.lstrip("/")

    # --- What there is

    def site(self) -> list[Path]:
        """Its site at the edge; under another name when its removal was interrupted."""
        directory = self.path(_registry.SITES)
        ours = [path for name, path in _registry.sites(str(directory)).items() if name == self.name]
        return [*ours, *(p for p in (directory / f"{self.name}.conf.removed",) if p.is_file())]

    def units(self) -> list[str]:
        """Its units, in the order in which they go: sockets, what they belong to, PM2, others."""
        files = self.systemd.files(self.name)
        sockets = [name for name in files if name.endswith(".socket")]
        behind = [f"{socket.removesuffix('.socket')}@" for socket in sockets]
        services = [name for name in files if name not in sockets]
        services.sort(key=lambda name: (not name.startswith(tuple(behind)), name))
        ours = _registry.first_lines(self.systemd.units / self.unit, 1).startswith(_registry.PM2_MARK)
        return [*sockets, *services, *([self.unit] if ours else [])]

    def files(self) -> list[Path]:
        """What was written for it, besides its units."""
        places = ("usr/local/bin", "etc/logrotate.d", "etc/sudoers.d")
        written = [self.path(f"{place}/{self.name}-pm2") for place in places]
        ours = [path for path in written if _registry.PM2_MARK in _registry.first_lines(path)]
        own = [f"{STATE}/{self.unit}", f"{CONFIGURATION}/{self.name}", f"{STATE}/home/{self.name}"]
        return [path for path in (*ours, *self.log_links(), *map(self.path, own)) if there(path)]

    def log_links(self) -> list[Path]:
        """The links to its logs, beside their directory."""
        links = [path for path in self.path("var/log/pm2").glob("*.log") if path.is_symlink()]
        return sorted(path for path in links if path.readlink().parent == Path(self.name))

    def kept(self) -> list[Path]:
        """Its releases, shared data and logs."""
        if not self.entry or "root" not in self.entry:
            return []
        found = [self.path(self.entry["root"]) / name for name in OF_THE_ROOT]
        return [path for path in (*found, self.path(self.entry["logs"])) if there(path)]

    def user(self) -> str:
        """Its user, when we have made it and no other application has it; else empty."""
        name = str((self.entry or {}).get("user", ""))
        others = {entry.get("user") for entry in self.entries if entry["name"] != self.name}
        try:
            return name if name not in others and _accounts.ours(name, system=True) else ""
        except KeyError:
            return ""

    def plan(self, part: str) -> Plan:
        plan = Plan()
        if self.state == "declared" or (self.state == "unknown" and not self.in_front):
            return plan
        for path in self.site():
            plan.add(str(path), {"state": "present"}, None)
        if part == "edge" or self.in_front:
            return plan
        for name in (*self.units(), *map(str, self.files())):
            plan.add(name, {"state": "present"}, None)
        if self.data:
            for path in self.kept():
                plan.add(str(path), {"state": "present"}, None)
            if user := self.user():
                plan.add(f"user {user}", {"state": "present"}, None)
            plan.add(str(self._record()), {"state": "present"}, None)
        elif self.state == "present":
            plan.add(str(self._record()), {"state": "present"}, {"state": "removed"})
        return plan

    def _record(self) -> Path:
        return self.path(_registry.RECORDS) / f"{self.name}.json"

    # --- How it goes

    def check(self) -> None:
        """:raises RemovalError: something stands in the way; nothing was changed."""
        entry = self.entry or {}
        if "unreadable" in entry:
            raise RemovalError(
                f"{entry['unreadable']} cannot be read, so it is not known what belongs to {self.name}. Declare it again, run "
                "site.yml, which writes the file, take it out, and run this again."
            )
        if self.data and (
            others := [e["name"] for e in _registry.active(self.entries) if e["name"] != self.name and self._shares(e)]
        ):
            raise RemovalError(
                f"{entry['root']} is also the root of {others[0]}, which is on this host. Run this without remove_data."
            )
        holder = Lock(self.path(entry.get("root", "/")) / ".lock", Run("")).read() if entry.get("root") else None
        if holder and (holder.works() or time.time() - holder.touched < STALE_SECONDS):
            since = age(max(0.0, time.time() - holder.touched))
            raise RemovalError(
                f"a deployment by {holder.by} holds its lock; its last step ({holder.step or 'none'}) was {since} ago. Wait "
                f"for it to end. If it is gone, run this again {age(STALE_SECONDS)} after that step."
            )

    def _shares(self, other: t.Mapping[str, t.Any]) -> bool:
        return bool(self.entry) and other.get("root") == (self.entry or {}).get("root")

    def leave_the_edge(self) -> None:
        """Take its site from nginx. The file has another name until nginx has read what is left, so that a run which is
        cut off in between is finished by the next.

        :raises RemovalError: nginx refuses what is left; the site is back.
        """
        for path in self.site():
            aside = path if path.suffix == ".removed" else path.with_name(f"{path.name}.removed")
            path.replace(aside)
            try:
                self.run(["nginx", "-t"])
            except RemovalError:
                aside.replace(path.with_name(path.name.removesuffix(".removed")))
                raise
            self.run(["systemctl", "try-reload-or-restart", "nginx"])
            aside.unlink()

    def end(self) -> None:
        """Have its programs end and its units gone.

        :raises SystemdError, Pm2Error, BusyError: they do not end.
        """
        units = self.units()
        names = [name for name in units if name != self.unit]
        with alone(self.path("run/lock") / f"durable-temporal-{self.name}", self.wait):
            loaded = self._loaded()
            limits = [int(limit) for text in self.systemd.files(self.name).values() for limit in TIMEOUT.findall(text)]
            self.systemd.timeout_seconds = max([*limits, 300]) + self.wait
            # Each part has ended before the next is asked to: a request may still need its workers.
            order = dict.fromkeys(name.partition("@")[0] for name in [*names, *loaded])
            for prefix in order:
                self.systemd.remove(sorted(n for n in {*names, *loaded} if n.partition("@")[0] == prefix), loaded)
        if self.unit in units:
            self._end_pm2()

    def _loaded(self) -> set[str]:
        """Instances that run, some perhaps without a file."""
        processes = (self.entry or {}).get("processes", [])
        return {i.unit.name for i in self.systemd.instances(self.name, processes) if parse(self.name, i.unit.name)}

    def _end_pm2(self) -> None:
        entry = t.cast("dict[str, t.Any]", self.entry)
        apps = self._ecosystem()
        longest = max((int(app.get("kill_timeout", 0)) for app in apps), default=0) / 1000
        shared = {app["name"] for app in apps if app.get("exec_mode") == "cluster"}
        known = {**entry, "unit": self.unit, "pm2_home": f"{STATE}/home/{self.name}/.pm2"}
        daemon = Daemon(known, self.pm2, timeout_seconds=longest + self.wait)
        with daemon.alone(self.wait):
            if daemon.runs():
                self.systemd.call("disable", "--quiet", self.unit)
                found = daemon.settled(self.wait)
                answering = [i.number for i in found if i.name in shared or listens(i.pid)]
                daemon.end(answering)
                daemon.end([i.number for i in found if i.number not in answering])
            self.systemd.remove([self.unit])

    def _ecosystem(self) -> list[dict[str, t.Any]]:
        try:
            text = self.path(f"{CONFIGURATION}/{self.name}/ecosystem.config.json").read_text()
            apps: list[dict[str, t.Any]] = json.loads(text)["apps"]
            return apps
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def clear(self) -> None:
        """Remove files and, if that was asked for, data and user; the record last.

        :raises RemovalError: the user cannot be removed.
        """
        entry = t.cast("dict[str, t.Any]", self.entry)
        for path in self.files():
            gone(path)
        if not self.data:
            kept = {field: entry[field] for field in _registry.KEPT}
            if self.state == "present":
                text = _registry.text({**kept, "removed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
                fresh = self._record().with_suffix(".new")
                fresh.write_text(text)
                fresh.replace(self._record())
            return
        user = self.user()
        for path in self.kept():
            gone(path)
        root = self.path(entry["root"])
        # What else lies there is somebody's own.
        for directory in (root, root.parent) if root.parent.name == self.name else (root,):
            with contextlib.suppress(OSError):
                directory.rmdir()
        if user:
            self.run(["userdel", user])
        self._record().unlink()

    def apply(self, part: str) -> None:
        self.leave_the_edge()
        if part == "all" and not self.in_front:
            self.end()
            self.clear()


def command(argv: t.Sequence[str]) -> None:
    """:raises RemovalError: it failed; with what it said."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, env={**os.environ, "PATH": path, "LC_ALL": "C"}
    )
    if done.returncode != 0:
        raise RemovalError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()[-600:]}")


def work(removal: Removal, part: str, check_mode: bool) -> dict[str, t.Any]:
    """Compare, and do what differs. :returns: the result of the module."""
    plan = removal.plan(part)
    if plan:
        removal.check()
        if not check_mode:
            removal.apply(part)
    return {
        "changed": bool(plan),
        "state": removal.state,
        "applications": [entry["name"] for entry in removal.entries],
        "kept": [str(path) for path in removal.kept()],
        "changes": plan.summary(),
        "diff": plan.as_diff(),
    }


def main() -> None:
    module = Module(
        argument_spec={
            "name": {"type": "str", "required": True},
            "declared": {"type": "list", "elements": "str", "default": []},
            "known": {"type": "list", "elements": "str", "default": []},
            "part": {"type": "str", "choices": ["edge", "all"], "default": "all"},
            "data": {"type": "bool", "default": False},
            "wait_seconds": {"type": "int", "default": 60},
            "pm2": {"type": "path", "default": "/opt/pm2/bin/pm2"},
        },
        supports_check_mode=True,
    )
    removal = Removal(module.params, Systemd(), command)
    try:
        if not module.check_mode and module.params["data"]:
            _accounts.remove_left_locks(module.warn)
        module.exit_json(**work(removal, module.params["part"], module.check_mode))
    except (RemovalError, SystemdError, Pm2Error, BusyError, OSError) as error:
        module.fail_json(msg=f"{socket.gethostname()}: {removal.name}: {error}")


if __name__ == "__main__":
    main()
