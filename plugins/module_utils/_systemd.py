# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of applications as units of systemd: their texts, their names, and what a host should have.

Private to this collection. Pure functions; modules/systemd_worker.py does what they say. A unit is named
``<application>-<process>@<release>.<definition>.<number>.service``: the name says what it runs, so a unit never changes,
and new ones run beside old ones. See docs/decisions/0012-systemd-workers.md.
"""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._application import check_base
from ansible_collections.durable.temporal.plugins.module_utils._environment import digest, environment_of

UNITS = "/etc/systemd/system"
# What ``systemctl show`` is asked of an instance.
SHOWN = "--property=Id,ActiveState,SubState,MainPID,NRestarts,UnitFileState,Result"
MARK = "# Managed by Ansible (durable.temporal.systemd_worker) for"
# What the text of a unit leaves open.
RELEASE, DEFINITION, NUMBER = "@RELEASE@", "@DEFINITION@", "@NUMBER@"
CANDIDATE_NUMBER = "candidate"
_UNIT = re.compile(
    r"(?P<prefix>[^@]+)@(?P<release>.+)\.(?P<definition>[0-9a-f]{8})\.(?P<number>\d+|candidate)\.service"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# Programs need neither privileges nor other people's files. Not possible: ProcSubset=pid, because the SDKs for Python and
# TypeScript read /proc/meminfo and die without it. Refused calls get an error, because the default would kill a program
# that only asks.
SANDBOX = """\
UMask=0027
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""


def word(text: str) -> str:
    """One argument in a unit, which systemd takes apart again and expands no further."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'


def environment_file(variables: t.Mapping[str, str]) -> str:
    """Variables in the form of ``EnvironmentFile=``.

    :raises ValueError: a name or a value that systemd would drop without a word.
    """
    lines = []
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"the variable {name!r}: expected a name of letters, digits and underscores.")
        if CONTROL.search(value):
            raise ValueError(f"the variable {name}: its value has a control character, which systemd does not take.")
        lines.append('{}="{}"\n'.format(name, re.sub(r'(["\\$`])', r"\\\1", value)))
    return "".join(lines)


def unit_text(application: t.Mapping[str, t.Any], process: t.Mapping[str, t.Any]) -> str:
    """The unit of a process, with the release, the definition and the number left open."""
    place = f"{application['releases']}/{RELEASE}"
    program, *arguments = process["command"]
    deny = process["memory_deny_write_execute"]
    lines = [
        f"{MARK} {application['name']}: never changed, its name says what it runs.",
        "[Unit]",
        f"Description={application['name']} {process['name']}, release {RELEASE} ({NUMBER})",
        "Wants=network-online.target",
        "After=network-online.target",
        # Temporal may be away for longer than a handful of restarts takes.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        *(["Type=notify", "NotifyAccess=main"] if process["notify"] else ["Type=exec"]),
        f"User={application['user']}",
        f"Group={application['group']}",
        f"WorkingDirectory={place}",
        "Environment=LANG=C.UTF-8",
        f"EnvironmentFile={application['configuration']}/{process['name']}.{DEFINITION}.env",
    ]
    if application["versioning"] == "worker_deployment":
        lines.insert(-1, f"Environment=TEMPORAL_DEPLOYMENT_NAME={application['name']} TEMPORAL_BUILD_ID={RELEASE}")
    if process["socket"]:
        lines.append(f"Sockets={application['name']}-{process['name']}.socket")
    lines += [
        f"ExecStart={posixpath.join(place, program)}{''.join(f' {word(a)}' for a in arguments)}",
        "Restart=always",
        "RestartSec=3",
        "KillMode=mixed",
        f"TimeoutStartSec={int(process['start_timeout_seconds'])}",
        f"TimeoutStopSec={int(process['stop_timeout_seconds'])}",
        f"MemoryMax={process['memory_max']}",
        "LimitNOFILE=65536",
        "StandardOutput=journal",
        "StandardError=journal",
        f"SyslogIdentifier={application['name']}-{process['name']}",
        f"ReadWritePaths=-{application['shared']}",
    ]
    # Node.js compiles at run time.
    if deny if deny is not None else application["dependencies"] != "npm":
        lines.append("MemoryDenyWriteExecute=yes")
    return "\n".join(lines) + "\n" + SANDBOX + "\n[Install]\nWantedBy=multi-user.target\n"


def processes(
    application: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any], bind_address: str
) -> list[dict[str, t.Any]]:
    """What the module systemd_worker needs to know of the processes of an application (normalised, see
    ``_application``). No values of variables but those that a candidate replaces.

    :param base: variables of the host that every process gets.
    :param bind_address: where the sockets of the host listen.
    """
    found = []
    for process in application["processes"]:
        variables, text = environment_of(application, process, base), unit_text(application, process)
        definition = digest([text, variables], 8)
        found.append(
            {
                "name": process["name"],
                "instances": process["instances"],
                "definition": definition,
                "unit": text,
                "listen": f"{bind_address}:{application['port']}" if process["socket"] else "",
                "port": variables.get("PORT", ""),
                "task_queue": variables.get("TEMPORAL_TASK_QUEUE", ""),
            }
        )
    return found


def environments(application: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Path to content of the environment files of an application. Holds secrets.

    :raises InvalidApplication: a variable has a name that systemd has for something else.
    """
    check_base(application, base)
    files = {}
    for process in application["processes"]:
        variables = environment_of(application, process, base)
        definition = digest([unit_text(application, process), variables], 8)
        path = f"{application['configuration']}/{process['name']}.{definition}.env"
        try:
            files[path] = environment_file(variables)
        except ValueError as error:
            raise ValueError(f"application {application['name']}, process {process['name']}: {error}") from None
    return files


def owner(text: str) -> str:
    """The application that a unit was written for; empty when it is not one of ours."""
    first = text.partition("\n")[0]
    return first.removeprefix(MARK).strip().partition(":")[0] if first.startswith(MARK) else ""


@dataclass(frozen=True)
class Unit:
    """What a unit of an instance is to run."""

    process: str
    release: str
    definition: str
    number: str
    prefix: str

    @property
    def name(self) -> str:
        return f"{self.prefix}@{self.release}.{self.definition}.{self.number}.service"

    @property
    def candidate(self) -> bool:
        return self.number == CANDIDATE_NUMBER

    def fill(self, text: str) -> str:
        return text.replace(RELEASE, self.release).replace(DEFINITION, self.definition).replace(NUMBER, self.number)


def unit_of(application: str, process: t.Mapping[str, t.Any], release: str, number: int | str) -> Unit:
    name = process["name"]
    return Unit(name, release, process["definition"], str(number), f"{application}-{name}")


def parse(application: str, name: str) -> Unit | None:
    """What the name of a unit says; ``None`` when it is no instance of the application's."""
    match = _UNIT.fullmatch(name)
    if match is None or not match["prefix"].startswith(f"{application}-"):
        return None
    process = match["prefix"].removeprefix(f"{application}-")
    return Unit(process, match["release"], match["definition"], match["number"], match["prefix"])


def candidate_text(text: str, path: str) -> str:
    """The unit of a candidate: variables of its own win, it has no part in the socket, and a crash counts."""
    kept = [
        line for line in text.partition("[Install]")[0].splitlines() if not line.startswith(("Sockets=", "Restart"))
    ]
    at = max(i for i, line in enumerate(kept) if line.startswith("EnvironmentFile="))
    # A build of a worker deployment is known by all queues that it has ever polled: a candidate must not be one.
    own = [f"EnvironmentFile={path}", "UnsetEnvironment=TEMPORAL_DEPLOYMENT_NAME TEMPORAL_BUILD_ID"]
    return "\n".join([*kept[: at + 1], *own, *kept[at + 1 :]]) + "\n"


def socket_text(application: str, process: str, listen: str, service: str) -> str:
    """The socket that all instances of a process share. Connections wait in it while none of them runs."""
    return (
        f"{MARK} {application}: shared by the instances.\n"
        "[Unit]\n"
        f"Description={application} {process}, listening socket\n"
        "\n[Socket]\n"
        f"ListenStream={listen}\n"
        "Backlog=1024\n"
        "# What a connection starts when nothing runs. Moved to a unit of the live release before the others end.\n"
        f"Service={service}\n"
        "\n[Install]\nWantedBy=sockets.target\n"
    )


def listens(text: str) -> tuple[str, str]:
    """Address and service in the text of a socket; empty when they are not there."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return found.get("ListenStream", ""), found.get("Service", "")


@dataclass(frozen=True)
class Instance:
    """One unit of an instance as systemd has it. ``active`` and ``sub`` are its states, ``boot`` whether it is enabled."""

    unit: Unit
    active: str
    sub: str = ""
    pid: int = 0
    restarts: int = 0
    boot: bool = False
    result: str = ""

    @property
    def runs(self) -> bool:
        return self.active == "active"

    @property
    def under_way(self) -> bool:
        return self.active in ("activating", "deactivating", "reloading")


def parse_show(application: str, text: str) -> list[Instance]:
    """Instances from what ``systemctl show`` says of units, blocks of properties apart by empty lines."""
    found: dict[str, Instance] = {}
    for block in text.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        unit = parse(application, values.get("Id", ""))
        if unit is None:
            continue
        found[unit.name] = Instance(
            unit=unit,
            active=values.get("ActiveState", "inactive"),
            sub=values.get("SubState", ""),
            pid=int(values.get("MainPID") or 0),
            restarts=int(values.get("NRestarts") or 0),
            boot=values.get("UnitFileState") == "enabled",
            result=values.get("Result", ""),
        )
    return list(found.values())


def trouble(wanted: t.Sequence[Unit], found: t.Sequence[Instance]) -> list[str]:
    """Sentences about units that do not run; empty when all do."""
    have = {i.unit.name: i for i in found}
    sentences = []
    for unit in wanted:
        now = have.get(unit.name)
        if now is None:
            sentences.append(f"{unit.name} does not exist")
        elif now.sub == "start" and not now.restarts:
            sentences.append(f"{unit.name} has not said that it works (READY=1, see notify)")
        elif not now.runs:
            why = f", {now.result}" if now.result not in ("", "success") else ""
            sentences.append(f"{unit.name} is {now.active} ({now.sub}{why}), {now.restarts} restarts")
    return sentences


def wanted_units(
    application: str,
    declared: t.Sequence[t.Mapping[str, t.Any]],
    live: str,
    builds: t.Collection[str] = (),
) -> list[Unit]:
    """The units that are to run, in the order of the processes.

    :param builds: releases that run besides the live one. Requests go to the live one only, so their processes with a
        socket do not run.
    """
    units = []
    for process in declared:
        releases = [live] if process["listen"] else [*sorted(set(builds) - {live}), live]
        for release in filter(None, releases):
            units += [unit_of(application, process, release, n) for n in range(1, process["instances"] + 1)]
    return units


def checks(
    application: str, declared: t.Sequence[t.Mapping[str, t.Any]], found: t.Sequence[Instance], live: str
) -> list[dict[str, str]]:
    """The health of each wanted process, in the form that all health reports share."""
    rows = []
    for process in declared:
        units = wanted_units(application, [process], live)
        group = [i for i in found if i.unit.process == process["name"] and not i.unit.candidate]
        running = sum(i.runs for i in group)
        wrong = trouble(units, found)
        releases = sorted({i.unit.release for i in group if i.runs})
        rows.append(
            {
                "component": application,
                "name": f"process {process['name']}",
                "status": "failed" if running == 0 else "degraded" if wrong else "healthy",
                "found": f"{running} active, {sum(i.restarts for i in group)} restarts, "
                f"release {', '.join(releases) or 'none'}",
                "expected": f"{process['instances']} active, release {live or 'none'}",
                "message": f"{wrong[0]}. Look at journalctl -u '{application}-{process['name']}@*', then deploy again."
                if wrong
                else "",
            }
        )
    return rows
