# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._lock import Holder, boot_id, started
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import Instance
from ansible_collections.durable.temporal.plugins.module_utils._systemd import MARK, parse_show
from ansible_collections.durable.temporal.plugins.modules import host_status
from ansible_collections.durable.temporal.plugins.modules.host_status import (
    container_checks,
    data_checks,
    declared_checks,
    disk_check,
    disk_checks,
    lock_checks,
    node_check,
    process_checks,
    release_check,
    service_checks,
    unit_checks,
)


def inspected(status: str = "running", health: str | None = "healthy") -> dict[str, Any]:
    state: dict[str, Any] = {"Status": status, "StartedAt": "2026-01-02T03:04:05.6Z"}
    if health is not None:
        state["Health"] = {"Status": health}
    return {"Name": "/temporal-server", "State": state, "RestartCount": 2, "Config": {"Image": "server:1"}}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (inspected(), "healthy"),
        (inspected(health=None), "healthy"),
        (inspected(health="starting"), "degraded"),
        (inspected(health="unhealthy"), "failed"),
        (inspected(status="exited"), "failed"),
        (inspected(status="restarting", health="starting"), "failed"),
    ],
)
def test_container(container: dict[str, Any], expected: str) -> None:
    (check,) = container_checks(["temporal-server"], [container])
    assert check.status == expected
    assert "2 restarts" in check.found


@pytest.mark.parametrize(
    ("declared", "entries", "units", "found"),
    [
        ({"orders": "pm2"}, [{"name": "orders"}], {"orders": ["pm2"]}, []),
        ({"orders": "pm2"}, [], {}, []),
        ({}, [{"name": "orders", "removed": "2026-01-01T00:00:00Z"}], {}, []),
        ({}, [{"name": "orders"}], {}, ["on this host, not declared"]),
        (
            {"orders": "systemd"},
            [{"name": "orders"}],
            {"orders": ["pm2", "systemd"]},
            ["has units of pm2 too, and is declared for systemd"],
        ),
    ],
)
def test_what_is_on_the_host_and_not_declared_is_degraded(
    declared: dict[str, str], entries: list[dict[str, Any]], units: dict[str, list[str]], found: list[str]
) -> None:
    checks = declared_checks(declared, entries, units)
    assert [check.found for check in checks] == found
    assert all(check.status == "degraded" and "remove_application=orders" in check.message for check in checks)


def test_a_container_that_does_not_exist_has_failed() -> None:
    (check,) = container_checks(["temporal-ui"], [inspected()])
    assert (check.status, check.found) == ("failed", "absent")


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("temporalio/server:1.32.2", True),
        ("local/temporal-server:1.32.2", True),
        ("registry.example/mirror/temporalio/server:1.32.2", True),
        ("temporalio/auto-setup:1.29", False),
        ("local/temporal-admin-tools:1.32.2", False),
    ],
)
def test_a_server_without_a_command_line_says_what_to_type(image: str, told: bool) -> None:
    (check,) = container_checks(["temporal-server"], [{**inspected(), "Config": {"Image": image}}])
    assert check.status == "healthy"
    assert ("docker exec temporal-admin-tools temporal" in check.message) == told


def test_instances_that_end_again_and_again_beside_those_that_run_are_told() -> None:
    found = [process("worker", "online"), process("worker", "waiting restart", pid=0)]
    (check,) = process_checks("orders", {"worker": 1}, found, "r2", 2000)
    assert (check.status, check.found[:13]) == ("degraded", "1 of 2 online")
    assert "Others of it do not run" in check.message


def test_services() -> None:
    states = {"nginx": ("active", "enabled"), "docker": ("failed", "enabled"), "ssh": ("inactive", "disabled")}
    assert [c.status for c in service_checks(states)] == ["healthy", "failed", "failed"]


@pytest.mark.parametrize(("file", "undo"), [("disabled", "enable"), ("masked", "unmask"), ("masked-runtime", "unmask")])
def test_a_service_that_would_not_come_back_is_degraded(file: str, undo: str) -> None:
    (check,) = service_checks({"nginx": ("active", file)})
    assert (check.status, check.found) == ("degraded", f"active, and {file}")
    assert f"systemctl {undo} nginx" in check.message


@pytest.mark.parametrize(
    ("policy", "status"), [("unless-stopped", "healthy"), ("always", "healthy"), ("no", "degraded")]
)
def test_a_container_that_would_not_come_back_is_degraded(policy: str, status: str) -> None:
    container = {**inspected(), "HostConfig": {"RestartPolicy": {"Name": policy}}}
    (check,) = container_checks(["temporal-server"], [container])
    assert check.status == status
    assert ("docker update --restart unless-stopped temporal-server" in check.message) == (status == "degraded")


def process(name: str, status: str, release: str = "r2", pid: int = 17) -> Instance:
    return Instance(
        name, number="0", pid=pid, status=status, restarts=0, started_ms=1000, definition="", release=release
    )


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([process("api", "online"), process("api", "online")], "healthy"),
        ([process("api", "online"), process("api", "errored")], "degraded"),
        ([process("api", "online"), process("api", "online", "r1")], "degraded"),
        ([process("api", "online"), process("api", "online", "")], "degraded"),
        ([process("api", "online", "r1"), process("api", "online", "r1")], "failed"),
        ([process("api", "online", pid=0)], "failed"),
        ([process("api", "stopped")], "failed"),
        ([process("worker", "online")], "failed"),
        ([], "failed"),
    ],
)
def test_processes(present: list[Instance], expected: str) -> None:
    (check,) = process_checks("orders", {"api": 2}, present, "r2", 1000)
    assert check.status == expected
    assert check.expected == "2 online in release r2"


def test_a_process_of_another_release_is_told_what_to_do() -> None:
    (check,) = process_checks("orders", {"api": 1}, [process("api", "online", "r1")], "r2", 5000)
    assert check.found == "1 of 1 online, 0 restarts, up 4 s, release r1"
    assert check.message == "Not all run the live release: deploy.yml -e deploy_application=orders brings it about."


@pytest.mark.parametrize(
    ("runs_on", "status"),
    [
        ({1: "{wanted}", 2: "{wanted}", 3: "/usr/bin/python3.13"}, "healthy"),
        ({1: "{wanted}", 2: "/usr/local/bin/node"}, "degraded"),
        ({1: "{wanted} (deleted)"}, "degraded"),
        ({1: "/usr/bin/python3.13"}, None),
        ({}, None),
    ],
)
def test_another_node_than_the_declared_one(tmp_path: Path, runs_on: dict[int, str], status: str | None) -> None:
    link, real = tmp_path / "node", tmp_path / "nodejs"
    real.touch()
    link.symlink_to(real)
    found = {pid: path.format(wanted=real) for pid, path in runs_on.items()}
    assert [check.status for check in node_check("orders", found, str(link))] == ([status] if status else [])
    assert node_check("orders", found, "") == []


@pytest.mark.parametrize(("free", "expected"), [(50, "healthy"), (20, "healthy"), (19, "degraded"), (4, "failed")])
def test_disk(free: int, expected: str) -> None:
    assert disk_check("/", 100 - free, free, 20).status == expected


def test_each_file_system_is_told_once_and_one_that_is_read_only_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.name for check in disk_checks(["/etc", "/etc/passwd", "/nowhere"], 0)] == ["room at /etc"]
    room = {"f_blocks": 100, "f_bfree": 50, "f_bavail": 50, "f_frsize": 4096}
    broken = SimpleNamespace(f_flag=os.ST_RDONLY, f_files=100, f_favail=0, **room)
    monkeypatch.setattr(host_status.os, "statvfs", lambda _path: broken)
    rows = [(check.name, check.status, check.found) for check in disk_checks(["/etc"], 0)[1:]]
    assert rows == [("writes at /etc", "failed", "read-only"), ("files at /etc", "failed", "no inode free")]


def test_data_that_is_gone() -> None:
    (check,) = data_checks({"/opt/platform/postgres-data/PG_VERSION": "/etc/made"})
    assert (check.name, check.status, check.found) == ("/opt/platform/postgres-data", "failed", "gone")


def test_instances_of_systemd() -> None:
    block = "Id=orders-worker@r1.0123abcd.{}.service\nActiveState={}\nNRestarts=1\nUnitFileState=enabled\n"
    found = parse_show("orders", "\n".join([block.format(1, "active"), block.format(2, "activating")]))
    (check,) = unit_checks("orders", {"worker": 1}, found, "r1")
    assert (check.status, check.found) == ("healthy", "1 of 2 active, 2 restarts, release r1")
    found = parse_show("orders", block.replace("enabled", "disabled").format(1, "active"))
    (check,) = unit_checks("orders", {"worker": 1}, found, "r1")
    assert (check.status, check.found) == ("degraded", "1 of 1 active, 1 restarts, release r1, 1 not enabled")
    assert "systemctl enable orders-worker@r1.0123abcd.1.service" in check.message
    (check,) = unit_checks("orders", {"worker": 2}, found, "r1")
    assert check.status == "degraded"
    (check,) = unit_checks("orders", {"worker": 1}, found, "r2")
    assert (check.status, check.expected) == ("failed", "1 active in release r2")
    (check,) = unit_checks("orders", {"api": 1}, found, "r1")
    assert (check.status, check.found) == ("failed", "0 of 0 active, 0 restarts, release none")
    assert "journalctl -u 'orders-api@*'" in check.message


def test_instances_of_another_application_are_not_told(tmp_path: Path) -> None:
    """One that has lost its file is told; one whose file says that it is another's is not."""
    mine, lost, other = (f"shop-a-b@r1.0123abcd.{number}.service" for number in (1, 2, 3))
    (tmp_path / mine).write_text(f"{MARK} shop: x\n")
    (tmp_path / other).write_text(f"{MARK} shop-a: x\n")
    shown = "\n".join(f"Id={name}\nActiveState=active\n" for name in (mine, lost, other))
    module = SimpleNamespace(run_command=lambda _command: (0, shown, ""))
    found = host_status._instances(cast("Any", module), "shop", ["a-b"], str(tmp_path))
    assert [instance.unit.name for instance in found] == [mine, lost]


LOG = [
    {"action": "install", "release": "2", "at": "T1", "by": "ann"},
    {"action": "live", "release": "2", "at": "T2", "by": "ann", "before": "1"},
    {"action": "back", "release": "1", "at": "T3", "by": "bob", "before": "2", "reason": "orders fail"},
    {"action": "done", "release": "1", "at": "T4", "by": "bob"},
]


def test_a_release_is_told_with_when_who_and_why() -> None:
    log = "".join(f"{json.dumps(entry)}\n" for entry in LOG) + "cut of"
    check = release_check("orders", "1", log)
    assert (check.status, check.found) == ("healthy", "1 since T3 by bob, after 2, because: orders fail")
    # Somebody moved the link by hand: the log does not know when.
    assert release_check("orders", "2", log).found == "2"
    assert release_check("orders", "1", "").found == "1"


def test_a_long_reason_is_cut() -> None:
    log = json.dumps({**LOG[-2], "reason": "x" * 300 + "\nLast lines of its log"})
    assert release_check("orders", "1", log).found.endswith(f"because: {'x' * 200}...")


def test_an_application_without_a_release_has_failed() -> None:
    gone = release_check("orders", "", '{"action": "live", "release": "r1"}')
    assert (gone.status, gone.message[:38]) == ("failed", "The link current is gone; r1 was live.")
    check = release_check("orders", "", "")
    assert (check.status, check.found) == ("failed", "none")
    assert "deploy.yml" in check.message


def test_a_lock_is_told_and_one_that_was_left_is_degraded() -> None:
    assert lock_checks("orders", None, 2000) == []
    (held,) = lock_checks("orders", Holder(by="ann", run="r", since=1940, touched=1990, step="install"), 2000)
    assert (held.status, held.found) == ("healthy", "held by ann for 60 s, last step 10 s ago: install")
    (left,) = lock_checks("orders", Holder(by="ann", run="r", since=100, touched=100, step="install"), 2000)
    assert left.status == "degraded"
    at_work = Holder(
        by="ann", pid=os.getpid(), pid_started=started(os.getpid()), boot=boot_id(), since=100, touched=100
    )
    assert lock_checks("orders", at_work, 2000)[0].status == "healthy"
