# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd: their texts, their names, their sandbox."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.module_utils._systemd import (
    candidate_text,
    checks,
    environment_file,
    environments,
    owner,
    parse,
    parse_show,
    processes,
    socket_text,
    trouble,
    unit_of,
    unit_text,
    wanted_units,
)
from ansible_collections.durable.temporal.plugins.module_utils._systemd_units import Systemd

SHOW = """\
Id=orders-worker@r1.0123abcd.1.service
ActiveState=active
SubState=running
MainPID=42
NRestarts=1
UnitFileState=enabled
Result=success

Id=orders-worker@r1.0123abcd.2.service
ActiveState=activating
SubState=auto-restart
MainPID=0
NRestarts=4
UnitFileState=enabled
Result=exit-code

Id=ssh.service
ActiveState=active
"""
PROCESS = {"name": "worker", "definition": "0123abcd", "instances": 2, "listen": ""}


def text(dependencies: str = "none", **process: t.Any) -> str:
    declared = {"name": "worker", "command": ["bin/worker"], **process}
    application = {"name": "orders", "runtime": "systemd", "dependencies": dependencies, "port": 1}
    (done,) = (full := normalise({**application, "processes": [declared]}))["processes"]
    return unit_text(full, done)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("dependencies", ["none", "wheels", "npm"])
def test_the_exposure_is_at_most_two(tmp_path: Path, dependencies: str) -> None:
    unit = tmp_path / "orders-worker.service"
    unit.write_text(text(dependencies))
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", str(unit)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-300:] + result.stderr


def test_what_node_and_the_sdks_need_is_left_to_them() -> None:
    assert "MemoryDenyWriteExecute" not in text("npm")
    assert "MemoryDenyWriteExecute=yes" in text("wheels")
    assert "MemoryDenyWriteExecute" not in text("wheels", memory_deny_write_execute=False)
    assert "ProcSubset" not in text()
    assert "SystemCallErrorNumber=EPERM" in text()


def test_a_program_that_says_nothing_is_not_waited_for() -> None:
    assert "Type=notify\n" in text()
    assert "Type=exec\n" in text(notify=False)


def test_arguments_arrive_as_they_are() -> None:
    line = next(x for x in text(command=["bin/w", "a b", '"', "$HOME", "%n", "\\"]).splitlines() if "ExecStart" in x)
    assert line.endswith(r'bin/w "a b" "\"" "$$HOME" "%%n" "\\"')
    assert "ExecStart=/usr/bin/env " in text(command=["/usr/bin/env", "x"])


def test_environment_files_keep_any_value_and_refuse_what_systemd_would_drop() -> None:
    assert environment_file({"A": 'x"`$\\\ny'}) == 'A="x\\"\\`\\$\\\\\ny"\n'
    for wrong in ({"A-B": ""}, {"A": "\x00"}, {"A": "\x1b"}):
        with pytest.raises(ValueError, match="the variable"):
            environment_file(wrong)
    declared = {"name": "a", "runtime": "systemd", "processes": [{"name": "w", "command": ["x"]}]}
    with pytest.raises(ValueError, match="application a, process w: the variable '1'"):
        environments(normalise({**declared, "environment": {"1": "x"}}), {})


def test_names_say_what_runs_and_are_read_back() -> None:
    unit = unit_of("orders", {"name": "worker-x", "definition": "0123abcd"}, "20261121-1a.b", 2)
    assert unit.name == "orders-worker-x@20261121-1a.b.0123abcd.2.service"
    assert parse("orders", unit.name) == unit
    assert parse("order", unit.name) is None
    assert parse("orders", "orders-worker@x.service") is None
    assert owner(text()) == owner(socket_text("orders", "api", "127.0.0.1:1", "x")) == "orders"
    assert owner("# Something else\n") == ""


def test_what_systemd_says_is_read_and_judged() -> None:
    found = parse_show("orders", SHOW)
    assert [(i.pid, i.restarts, i.boot, i.runs, i.under_way) for i in found] == [
        (42, 1, True, True, False),
        (0, 4, True, False, True),
    ]
    units = wanted_units("orders", [PROCESS], "r1")
    assert trouble(units, found) == [
        "orders-worker@r1.0123abcd.2.service is activating (auto-restart, exit-code), 4 restarts"
    ]
    assert trouble(units, []) == [f"{u.name} does not exist" for u in units]
    (row,) = checks("orders", [PROCESS], found, "r1")
    assert (row["status"], row["found"]) == ("degraded", "1 active, 5 restarts, release r1")
    (row,) = checks("orders", [PROCESS], [], "r1")
    assert (row["status"], row["expected"]) == ("failed", "2 active, release r1")


def test_only_workers_of_earlier_builds_stay() -> None:
    api = {"name": "api", "definition": "0123abcd", "instances": 1, "listen": "127.0.0.1:1"}
    units = wanted_units("orders", [PROCESS, api], "r2", {"r1", "r2"})
    assert [(u.process, u.release) for u in units] == [
        ("worker", "r1"),
        ("worker", "r1"),
        ("worker", "r2"),
        ("worker", "r2"),
        ("api", "r2"),
    ]


def test_a_candidate_has_no_part_in_the_socket_and_is_no_build() -> None:
    unit = candidate_text(text(socket=True), "/etc/durable-temporal/orders/worker.candidate.env")
    assert "Sockets=" in text(socket=True)
    for gone in ("Sockets=", "Restart=", "RestartSec=", "WantedBy="):
        assert gone not in unit
    assert "RestrictNamespaces=yes" in unit
    assert unit.index("worker.candidate.env") > unit.index("@DEFINITION@.env")
    assert "UnsetEnvironment=TEMPORAL_DEPLOYMENT_NAME TEMPORAL_BUILD_ID" in unit


def test_a_socket_listens_at_the_address_of_the_host() -> None:
    declared = {"name": "orders", "runtime": "systemd", "port": 8090, "processes": []}
    application = normalise({**declared, "processes": [{"name": "api", "command": ["x"], "socket": True}]})
    assert processes(application, {}, "0.0.0.0")[0]["listen"] == "0.0.0.0:8090"


TRACEBACK = [
    "Traceback (most recent call last):",
    *(f'  File "bin/worker", line {line}, in run' for line in range(40)),
    "OSError: [Errno 98] Address already in use",
    "orders-worker@r1.service: Main process exited, code=exited, status=1/FAILURE",
]
# As journalctl of systemd 252: with --since, the lines are counted from there on.
JOURNALCTL = """#!/bin/sh
lines=1000000
for argument; do case $argument in --lines=*) lines=${argument#--lines=} ;; esac; done
head -n "$lines" "$(dirname "$0")/journal"
"""


@pytest.mark.parametrize("attempts", [1, 3])
def test_the_end_of_what_a_unit_has_said_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    (tmp_path / "journal").write_text("\n".join(TRACEBACK * attempts))
    (tmp_path / "journalctl").write_text(JOURNALCTL)
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said = Systemd().said("orders-worker@r1.service", 1)
    assert said.startswith("\nLast lines of orders-worker@r1.service:\n  ")
    assert said.endswith("\n  ".join(["", *TRACEBACK[-2:]]))
    assert len(said.splitlines()) <= 22


def test_of_node_the_cause_is_shown_above_its_own_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [f"    at Server.listen (node:internal/net:{line}:1)" for line in range(30)]
    (tmp_path / "journal").write_text("\n".join(["Error: listen EADDRINUSE :::80", *frames, "", "Node.js v20.19.2"]))
    (tmp_path / "journalctl").write_text(JOURNALCTL)
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "Error: listen EADDRINUSE :::80\n" in Systemd().said("orders-worker@r1.service", 1)
    (tmp_path / "journal").write_text("")
    assert Systemd().said("orders-worker@r1.service", 1) == ""
