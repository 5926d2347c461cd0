#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at containers, systemd units, processes of applications, URLs and disks of a host in one pass."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_status
short_description: Report what runs on a host and whether it is healthy
version_added: 0.1.0
description:
  - Looks at containers, systemd units, processes of applications, URLs and file systems in one pass and reports one check
    for each.
  - Of each application it tells which release is live, since when and by whom, and who holds its lock.
  - An application that is on the host and not in O(applications) is degraded.
  - It never changes anything and never fails because something is unhealthy; RV(checks) says so.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
attributes:
  diff_mode:
    support: none
    details: Nothing is ever changed.
options:
  containers:
    description: Names of containers that must run and be healthy.
    type: list
    elements: str
    default: []
  services:
    description: Names of systemd units that must be active.
    type: list
    elements: str
    default: []
  applications:
    description:
      - Applications that PM2 or systemd runs, as they are declared for the roles that run them.
      - Of each, C(name), C(root), C(runtime), C(user), C(pm2_home), C(configuration), C(processes) (C(name), C(instances)
        and C(socket)) and C(health_url) are read.
      - What its units need for their next start, and whether others can read its secrets, is looked at too. It has a row
        only when something is wrong.
    type: list
    elements: dict
    default: []
  urls:
    description: URLs that must answer.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: The component that answers.
        type: str
        required: true
      url:
        description: The URL.
        type: str
        required: true
      status:
        description: The HTTP status that is expected.
        type: int
        default: 200
      timeout_seconds:
        description: How long to wait for the answer.
        type: int
        default: 5
  sites:
    description:
      - Names of the sites that nginx must have on this host. Whatever sites of this collection it has must reach their
        applications.
    type: list
    elements: str
    default: []
  node:
    description: Path of the Node.js that processes under PM2 are to run on. Empty compares none.
    type: str
    default: ""
  paths:
    description: Paths whose file systems must have room and take what is written.
    type: list
    elements: path
    default: []
  free_percent:
    description:
      - A file system with less free room than this is degraded, with less than a quarter of it failed. Room that is
        reserved for root does not count, as with C(df).
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Look at what runs on the host
  durable.temporal.host_status:
    containers: [temporal-postgres, temporal-server]
    services: [nginx]
    urls:
      - component: temporal-ui
        url: http://127.0.0.1:8080/healthz
"""

RETURN = r"""
live:
  description: Name of each application with a release to the id of the live one.
  returned: always
  type: dict
  sample: {orders: 20261120-101500-4f2a}
processes:
  description: Name of each application to its programs, with the process ids of the instances that run.
  returned: always
  type: dict
  sample: {orders: {orders-worker: [4711, 4712]}}
checks:
  description: One row for each thing that was looked at.
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: What was looked at.
      type: str
    name:
      description: Which property of it.
      type: str
    status:
      description: V(healthy), V(degraded) or V(failed).
      type: str
    found:
      description: What was found.
      type: str
    expected:
      description: What was expected.
      type: str
    message:
      description: What to do next; empty when healthy.
      type: str
"""

import contextlib
import json
import os
import re
import shutil
import typing as t
import urllib.error
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ansible.module_utils.urls import open_url
from ansible_collections.durable.temporal.plugins.module_utils import _pm2, _pm2_daemon, _registry, _restart
from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, Status
from ansible_collections.durable.temporal.plugins.module_utils._edge import site_checks
from ansible_collections.durable.temporal.plugins.module_utils._lock import STALE_SECONDS, Holder, Lock, Run, age
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._systemd import SHOWN, UNITS, Instance, parse_show
from ansible_collections.durable.temporal.plugins.module_utils._systemd_units import Systemd
from ansible_collections.durable.temporal.plugins.module_utils._watch import health

LOG_BYTES = 1 << 18


# That of the older servers, temporalio/auto-setup, had one.
SERVER_IMAGE = re.compile(r"(^|/)(temporal-server|temporalio/server):")


def container_checks(names: t.Sequence[str], inspected: t.Sequence[t.Mapping[str, t.Any]]) -> list[Check]:
    """One check a container.

    :param inspected: what ``docker inspect`` printed, parsed.
    """
    present = {str(c["Name"]).lstrip("/"): c for c in inspected}
    checks: list[Check] = []
    for name in names:
        if name not in present:
            checks.append(
                Check(
                    name,
                    "container",
                    "failed",
                    "absent",
                    "running",
                    f"Run site.yml; look at: docker ps -a --filter name={name}",
                )
            )
            continue
        state: t.Mapping[str, t.Any] = present[name].get("State", {})
        health = str((state.get("Health") or {}).get("Status") or "")
        restarts = int(present[name].get("RestartCount", 0))
        image = str(present[name].get("Config", {}).get("Image", ""))
        since = str(state.get("StartedAt", ""))[:19].replace("T", " ")
        found = (
            f"{state.get('Status')}{', ' + health if health else ''}, {image}, since {since} UTC, {restarts} restarts"
        )
        status: Status = "healthy"
        message = ""
        if state.get("Status") != "running" or health == "unhealthy":
            status, message = "failed", f"Look at: docker logs --tail 50 {name}"
        elif health == "starting":
            status, message = "degraded", "It has just started; ask again in some seconds."
        elif _stays_down(present[name]):
            status, message = (
                "degraded",
                f"It would not come back at boot: docker update --restart unless-stopped {name}",
            )
            found += ", restart policy no"
        elif SERVER_IMAGE.search(image):
            message = (
                "its image has no command line; type: temporal ..., or docker exec temporal-admin-tools temporal ..."
            )
        checks.append(Check(name, "container", status, found, "running, healthy", message))
    return checks


def _stays_down(container: t.Mapping[str, t.Any]) -> bool:
    """Whether the engine does not start a container with itself."""
    policy = (container.get("HostConfig") or {}).get("RestartPolicy") or {}
    return policy.get("Name") in ("", "no", "on-failure")


def service_checks(states: t.Mapping[str, tuple[str, str]]) -> list[Check]:
    """One check a systemd unit; ``states`` maps the unit to its ActiveState and UnitFileState."""
    checks = []
    for name, (state, file) in states.items():
        status: Status = "healthy" if state == "active" else "failed"
        found, message = state, "" if state == "active" else f"Look at: journalctl -u {name} -n 50"
        if state == "active" and (file.startswith("masked") or file == "disabled"):
            status, found = "degraded", f"active, and {file}"
            undo = "unmask" if file.startswith("masked") else "enable"
            message = f"It would not come back at boot: systemctl {undo} {name}"
        checks.append(Check(name, "service", status, found, "active, started at boot", message))
    return checks


def process_checks(
    application: str, wanted: t.Mapping[str, int], found: t.Sequence[_pm2.Instance], live: str, now_ms: float
) -> list[Check]:
    """One check a PM2 process name: instances that run, their release, restarts, the youngest instance's age.

    :param live: id of the live release.
    """
    checks: list[Check] = []
    for name, instances in wanted.items():
        group = [i for i in found if i.name == name]
        running = [i for i in group if runs(i)]
        youngest = min((now_ms - i.started_ms for i in running), default=0.0) / 1000
        restarts = sum(i.restarts for i in group)
        said = f"{len(running)} of {len(group)} online, {restarts} restarts, up {youngest:.0f} s, {_releases(running)}"
        advice = f"Look at: {application}-pm2 logs {name}; deploy.yml starts what is missing."
        check = _running(application, name, instances, [i.release for i in running], live, said, "online", advice)
        if check.status == "healthy" and len(running) < len(group):
            check = replace(check, status="degraded", message=f"Others of it do not run. {advice}")
        checks.append(check)
    return checks


def runs(instance: _pm2.Instance) -> bool:
    """Whether it is online and has a process, which PM2 may have lost. ``release`` is by the kernel's account."""
    return instance.status == "online" and instance.pid > 0 and bool(instance.release)


def _releases(running: t.Sequence[_pm2.Instance]) -> str:
    return f"release {', '.join(sorted({i.release for i in running})) or 'none'}"


def _running(
    application: str, name: str, wanted: int, releases: t.Sequence[str], live: str, said: str, word: str, advice: str
) -> Check:
    """The check of a process name.

    :param releases: the release of each instance that runs.
    :param word: what the runtime calls an instance that runs.
    """
    right = [release for release in releases if release == live] if live else releases
    status: Status = "healthy" if len(right) >= wanted else ("degraded" if right else "failed")
    expected = f"{wanted} {word}{f' in release {live}' if live else ''}"
    if status == "healthy":
        return Check(application, name, status, said, expected)
    if len(releases) >= wanted:
        advice = f"Not all run the live release: deploy.yml -e deploy_application={application} brings it about."
    return Check(application, name, status, said, expected, advice)


def node_check(application: str, executables: t.Mapping[int, str], wanted: str) -> list[Check]:
    """Which Node.js the processes run on; nothing when none runs on any.

    :param executables: process id to the program that it runs, as the kernel tells it.
    :param wanted: path of the Node.js that is declared; empty when none is.
    """
    found = sorted({path for path in executables.values() if os.path.basename(path).startswith("node")})
    expected = os.path.realpath(wanted) if wanted else ""
    if not found or not expected:
        return []
    right = found == [expected]
    message = f"Something else was found first, or it was replaced since: restart them with: systemctl restart {application}-pm2"
    said = ", ".join(found)
    status: Status = "healthy" if right else "degraded"
    return [Check(application, "Node.js", status, said, expected, "" if right else message)]


def release_check(application: str, release: str, log: str) -> Check:
    """Which release is live, since when, by whom and why.

    :param release: its id, empty without one.
    :param log: the text of ``deploys.log``: one JSON object a line. What cannot be read is left out.
    """
    entries = [entry for entry in map(_entry, log.splitlines()) if entry.get("action") in ("live", "back")]
    if not release:
        message = "Nothing was deployed here yet: run deploy.yml."
        if entries:
            message = (
                f"The link current is gone; {entries[-1].get('release')} was live. Run deploy.yml, which sets it again."
            )
        return Check(application, "live release", "failed", "none", "a release", message)
    last: t.Mapping[str, t.Any] = entries[-1] if entries and entries[-1].get("release") == release else {}
    since = f" since {last['at']}" if last.get("at") else ""
    who = f" by {last['by']}" if last.get("by") else ""
    before = f", after {last['before']}" if last.get("before") else ""
    # Of a deployment that went back, it is what the module said, with the end of a log.
    reason = str(last.get("reason") or "").partition("\n")[0]
    why = f", because: {reason[:200]}{'...' if reason[200:] else ''}" if reason else ""
    return Check(application, "live release", "healthy", f"{release}{since}{who}{before}{why}", "a release")


def _entry(line: str) -> dict[str, t.Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def lock_checks(application: str, holder: Holder | None, now: float) -> list[Check]:
    """Who deploys; nothing when nobody does. A lock whose run has not moved for long is degraded.

    :param now: seconds since 1970.
    """
    if holder is None:
        return []
    idle = now - holder.touched
    stale = not holder.works() and idle > STALE_SECONDS
    found = f"held by {holder.by} for {age(now - holder.since)}, last step {age(idle)} ago: {holder.step or 'none'}"
    message = "Its run is gone; the next deployment takes the lock over and finishes." if stale else ""
    return [
        Check(application, "deployment lock", "degraded" if stale else "healthy", found, "free, or at work", message)
    ]


def _live(root: Path) -> str:
    """The id of the live release, empty without one."""
    current = root / "current"
    return current.resolve().name if current.is_dir() else ""


def _release_checks(name: str, root: Path, release: str, now: float) -> list[Check]:
    try:
        # The end is enough: a log of years is long.
        with (root / "shared" / "deploys.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            log = file.read().decode(errors="replace")
    except OSError:
        log = ""
    return [release_check(name, release, log), *lock_checks(name, Lock(root / ".lock", Run("")).read(), now)]


def unit_checks(application: str, wanted: t.Mapping[str, int], found: t.Sequence[Instance], live: str) -> list[Check]:
    """One check a process that systemd runs: instances active, their releases, restarts.

    :param live: id of the live release. Of builds from before, instances go on while they have workflows.
    """
    checks: list[Check] = []
    for name, instances in wanted.items():
        group = [i for i in found if i.unit.process == name and not i.unit.candidate]
        active = [i.unit.release for i in group if i.runs]
        releases, restarts = ", ".join(sorted(set(active))) or "none", sum(i.restarts for i in group)
        said = f"{len(active)} of {len(group)} active, {restarts} restarts, release {releases}"
        advice = f"Look at: journalctl -u '{application}-{name}@*'; deploy.yml starts what is missing."
        check = _running(application, name, instances, active, live, said, "active", advice)
        away = sorted(i.unit.name for i in group if i.runs and i.unit.release == live and not i.boot)
        if away and check.status == "healthy":
            advice = f"{away[0]} would not come back at boot: systemctl enable {away[0]}"
            check = replace(check, status="degraded", found=f"{said}, {len(away)} not enabled", message=advice)
        checks.append(check)
    return checks


def declared_checks(
    declared: t.Mapping[str, str], entries: t.Sequence[_registry.Record], units: t.Mapping[str, t.Sequence[str]]
) -> list[Check]:
    """What is on the host and not declared, which goes on as it is; nothing when there is none.

    :param declared: application to its runtime.
    :param entries: what is recorded on the host.
    :param units: application to the runtimes that have units for it.
    """
    checks = []
    for name in sorted(entry["name"] for entry in _registry.active(entries)):
        message = f"Declare it, or remove it: remove.yml -e remove_application={name}"
        found = ""
        if name not in declared:
            found = "on this host, not declared"
        elif others := [runtime for runtime in units.get(name, ()) if runtime != declared[name]]:
            found = f"has units of {others[0]} too, and is declared for {declared[name]}"
            message = (
                f"Take it out of topology_applications, remove it, and declare it again; see {message.split(': ')[1]}"
            )
        if found:
            checks.append(Check(name, "declaration", "degraded", found, "what is declared, and nothing else", message))
    return checks


def disk_check(path: str, used: int, free: int, free_percent: int) -> Check:
    """Room on the file system of ``path``; sizes in bytes. As ``df`` counts, without the blocks that are root's reserve."""
    total = used + free
    percent = 100 * free / total if total else 0.0
    status: Status = "healthy" if percent >= free_percent else ("degraded" if percent >= free_percent / 4 else "failed")
    message = (
        ""
        if status == "healthy"
        else f"Make room below {path} or enlarge its file system: PostgreSQL stops when it is full."
    )
    return Check(
        "host",
        f"room at {path}",
        status,
        f"{percent:.0f} % of {total / 2**30:.0f} GiB free",
        f"at least {free_percent} %",
        message,
    )


def disk_checks(paths: t.Iterable[str], free_percent: int) -> list[Check]:
    """Room, files and whether it can be written to, of each file system once."""
    checks: list[Check] = []
    seen: set[int] = set()
    for path in (path for path in paths if os.path.exists(path)):
        if (device := os.stat(path).st_dev) in seen:
            continue
        seen.add(device)
        has = os.statvfs(path)
        used, free = has.f_blocks - has.f_bfree, has.f_bavail
        checks.append(disk_check(path, used * has.f_frsize, free * has.f_frsize, free_percent))
        if has.f_flag & os.ST_RDONLY:
            message = "Look at: dmesg. A disk with errors is mounted so; nothing can be written any more."
            checks.append(Check("host", f"writes at {path}", "failed", "read-only", "writable", message))
        if has.f_files and not has.f_favail:
            message = f"Delete files that nobody needs: df -i {path}"
            checks.append(Check("host", f"files at {path}", "failed", "no inode free", "some", message))
    return checks


def data_checks(lost: t.Mapping[str, str]) -> list[Check]:
    """Data that was made on this host and is gone; see ``_registry.lost_data``."""
    message = "Mount its disk, or restore it. What runs on without it loses what it writes."
    return [Check("data", os.path.dirname(file), "failed", "gone", "what was made", message) for file in lost]


def _url_check(component: str, url: str, expected: int, timeout: int) -> Check:
    try:
        # What listens on this host is not behind a proxy.
        response = open_url(url, timeout=timeout, use_proxy=False)
        found, code = f"HTTP {response.status}", int(response.status)
        response.close()
    except urllib.error.HTTPError as error:
        body = error.read(200).decode(errors="replace")
        found, code = f"HTTP {error.code} {body}".strip(), error.code
    except (OSError, ValueError) as error:
        found, code = str(getattr(error, "reason", error)), 0
    healthy = code == expected
    return Check(
        component,
        url,
        "healthy" if healthy else "failed",
        found,
        f"HTTP {expected}",
        "" if healthy else f"Try: curl -i {url}",
    )


def health_check(application: str, url: str) -> Check:
    """Whether an application answers as a deployment wants it to."""
    healthy, found = health(url)
    message = "" if healthy else f"Try: curl -i {url}"
    return Check(application, url, "healthy" if healthy else "failed", found, "200, and a status that is well", message)


def _inspect(module: Module, names: t.Sequence[str]) -> list[t.Mapping[str, t.Any]]:
    docker = shutil.which("docker")
    if not names or docker is None:
        return []
    # A missing name makes docker exit 1, yet it prints the others.
    _rc, out, _err = module.run_command([docker, "container", "inspect", *names])
    return t.cast("list[t.Mapping[str, t.Any]]", json.loads(out or "[]"))


def _unit_states(module: Module, names: t.Sequence[str]) -> dict[str, tuple[str, str]]:
    if not names:
        return {}
    _rc, out, _err = module.run_command(["systemctl", "show", "--property=ActiveState,UnitFileState", *names])
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
    found = [(block.get("ActiveState", "unknown"), block.get("UnitFileState", "")) for block in blocks]
    return dict(zip(names, [*found, *[("unknown", "")] * len(names)]))


def _starts(module: Module, names: t.Sequence[str]) -> list[_restart.Start]:
    if not names:
        return []
    _rc, out, _err = module.run_command(["systemctl", "show", _restart.SHOWN, *names])
    return _restart.parse_starts(out)


def secret_places(inspected: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Directories of the host in which lie the secrets of containers, each once.

    :param inspected: what ``docker inspect`` printed, parsed.
    """
    sources = [Path(str(mount.get("Source"))) for container in inspected for mount in container.get("Mounts") or ()]
    return sorted({str(source.parent) for source in sources if source.parent.name == "secrets"})


def _pm2_instances(home: str) -> list[_pm2.Instance]:
    # PM2's command would start a daemon outside of its unit where none runs.
    try:
        (rows,) = _pm2_daemon.ask(Path(home) / "rpc.sock", "getMonitorData", {})
    except (OSError, ValueError):
        return []
    return _pm2.instances(rows, _pm2_daemon.release_of)


def _executables(pids: t.Iterable[int]) -> dict[int, str]:
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = os.readlink(f"/proc/{pid}/exe")
    return found


def _instances(module: Module, application: str, processes: t.Iterable[str], units: str = UNITS) -> list[Instance]:
    # Not loaded means not enabled and not running: patterns only find what is loaded.
    patterns = [f"{application}-{process}@*.service" for process in processes]
    _rc, out, _err = module.run_command(["systemctl", "show", SHOWN, *patterns]) if patterns else (0, "", "")
    return Systemd(units).owned(application, parse_show(application, out))


def main() -> None:
    module = Module(
        argument_spec={
            "containers": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "applications": {"type": "list", "elements": "dict", "default": []},
            "urls": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "component": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "status": {"type": "int", "default": 200},
                    "timeout_seconds": {"type": "int", "default": 5},
                },
            },
            "sites": {"type": "list", "elements": "str", "default": []},
            "node": {"type": "str", "default": ""},
            "paths": {"type": "list", "elements": "path", "default": []},
            "free_percent": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    options = module.params
    now_ms = datetime.now(timezone.utc).timestamp() * 1000
    inspected = _inspect(module, options["containers"])
    checks = container_checks(options["containers"], inspected)
    checks += service_checks(_unit_states(module, options["services"]))
    checks += _restart.engine_checks(module.run_command) if "docker" in options["services"] else []
    checks += [check for place in secret_places(inspected) for check in _restart.open_checks("platform", place)]
    live: dict[str, str] = {}
    processes: dict[str, dict[str, list[int]]] = {}
    for application in options["applications"]:
        name, root = str(application["name"]), Path(str(application.get("root") or ""))
        wanted = {str(p["name"]): int(p.get("instances", 1)) for p in application.get("processes", [])}
        release = _live(root) if application.get("root") else ""
        live.update({name: release} if release else {})
        if application.get("runtime") == "systemd":
            units = _instances(module, name, wanted)
            checks += unit_checks(name, wanted, units, release)
            pids = [(i.unit.process, i.pid) for i in units if i.runs and not i.unit.candidate]
            names = [i.unit.name for i in units if i.runs]
            sockets = [f"{name}-{p['name']}.socket" for p in application.get("processes", []) if p.get("socket")]
            checks += service_checks(_unit_states(module, sockets if release else []))
        else:
            instances = _pm2_instances(str(application["pm2_home"]))
            checks += process_checks(name, wanted, instances, release, now_ms)
            pids = [(i.name, i.pid) for i in instances if runs(i)]
            names = [f"{name}-pm2.service"] if release else []
            checks += node_check(name, _executables(pid for _process, pid in pids), options["node"])
        processes[name] = {process: [pid for of, pid in pids if of == process] for process in wanted}
        place = str((root / "current").resolve()) if release else ""
        checks += _restart.start_checks(name, _starts(module, names), str(application.get("user") or ""), place)
        if application.get("configuration"):
            checks += _restart.open_checks(name, str(application["configuration"]))
        if application.get("root"):
            checks += _release_checks(name, root, release, now_ms / 1000)
        if application.get("health_url"):
            checks.append(health_check(name, str(application["health_url"])))
    runtimes = {str(a["name"]): str(a.get("runtime", "pm2")) for a in options["applications"]}
    checks += declared_checks(runtimes, _registry.records(), _registry.runtimes())
    checks += [_url_check(u["component"], u["url"], u["status"], u["timeout_seconds"]) for u in options["urls"]]
    checks += site_checks(options["sites"], module.run_command)
    checks += disk_checks(options["paths"], options["free_percent"])
    checks += data_checks(_registry.lost_data())
    rows = [check.as_dict() for check in checks]
    module.exit_json(changed=False, live=live, processes=processes, checks=rows)


if __name__ == "__main__":
    main()
