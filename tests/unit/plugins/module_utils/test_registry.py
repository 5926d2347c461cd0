# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of applications on a host, whoever declares them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _registry
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise

ORDERS = {"name": "orders", "runtime": "pm2", "root": "/opt/orders", "user": "orders", "port": 3000}


def test_a_record_holds_no_secret_and_is_read_again(tmp_path: Path) -> None:
    declared = {**ORDERS, "environment": {"KEY": "canary"}, "processes": [{"name": "worker", "script": "w.js"}]}
    text = _registry.text(_registry.record(normalise(declared)))
    assert "canary" not in text
    (tmp_path / "orders.json").write_text(text)
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "odd.json").write_text("[]")
    (tmp_path / "units").mkdir()
    (tmp_path / "units/lost-pm2.service").write_text(f"{_registry.PM2_MARK}.\n")
    found = _registry.records(str(tmp_path), str(tmp_path / "units"))
    orders, *broken = sorted(found, key=lambda entry: "unreadable" in entry)
    assert (orders["root"], orders["port"], orders["processes"]) == ("/opt/orders", 3000, ["worker"])
    assert [entry["name"] for entry in broken] == ["odd", "torn", "lost"]
    assert _registry.active([orders, {"name": "old", "removed": "2026-01-01T00:00:00Z"}]) == [orders]


def test_units_tell_the_runtime_and_those_of_others_are_not_ours(tmp_path: Path) -> None:
    files = {
        "orders-pm2.service": f"{_registry.PM2_MARK}.\n[Unit]\n",
        "theirs-pm2.service": "[Unit]\n",
        "approvals-api@r1.0a1b2c3d.1.service": "# Managed by Ansible (durable.temporal.systemd_worker) for approvals: x\n",
        "approvals-api.socket": "# Managed by Ansible (durable.temporal.systemd_worker) for approvals: x\n",
        "ssh.socket": "[Unit]\n",
    }
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name, text in files.items():
        (units / name).write_text(text)
    commands = tmp_path / "usr/local/bin"
    commands.mkdir(parents=True)
    (commands / "orders-pm2").write_text(f"#!/bin/sh\n{_registry.PM2_MARK}.\n")
    (commands / "their-pm2").write_text("#!/bin/sh\n")
    assert _registry.runtimes(str(units)) == {"approvals": ["systemd"], "orders": ["pm2"]}
    assert _registry.foreign_files(str(tmp_path)) == [
        "/usr/local/bin/their-pm2",
        "/etc/systemd/system/theirs-pm2.service",
        "/etc/systemd/system/ssh.socket",
    ]


@pytest.mark.parametrize(
    ("declared", "units", "said"),
    [
        (ORDERS, {"orders": ["pm2"]}, ""),
        ({**ORDERS, "name": "shop"}, {}, "shop has the root /opt/orders of orders"),
        ({**ORDERS, "name": "shop", "root": "/opt/shop"}, {}, "shop has the port 3000 of orders"),
        ({**ORDERS, "name": "shop", "root": "/opt/shop", "port": None}, {}, ""),
        ({**ORDERS, "runtime": "systemd"}, {"orders": ["pm2"]}, "orders is to run under systemd, and has units of pm2"),
        ({**ORDERS, "runtime": "systemd"}, {"orders": ["systemd"]}, ""),
    ],
)
def test_a_rename_and_a_change_of_the_runtime_are_claims(declared: t.Any, units: t.Any, said: str) -> None:
    found = _registry.claim(declared, [ORDERS], units)
    assert found.startswith(said) if said else found == ""
    assert ("remove_application=orders" in found) == bool(said)


def test_what_was_removed_claims_nothing() -> None:
    assert _registry.claim({**ORDERS, "name": "shop"}, [{**ORDERS, "removed": "2026-01-01T00:00:00Z"}], {}) == ""


def test_data_that_may_not_be_seen_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an account that does not become root: what is asked is refused."""
    (tmp_path / "data").write_text("/srv/data/PG_VERSION\t/srv/mark\n")

    def refused(_path: object, **_options: object) -> t.NoReturn:
        raise PermissionError

    monkeypatch.setattr("os.stat", refused)
    assert _registry.lost_data(str(tmp_path / "data")) == {}


def test_data_that_is_gone_is_told_until_somebody_says_that_it_may_be(tmp_path: Path) -> None:
    made, mark, record = tmp_path / "PG_VERSION", tmp_path / "mark", str(tmp_path / "state" / "data")
    assert _registry.lost_data(record) == {}
    _registry.remember_data(str(made), str(mark), record)
    _registry.remember_data(str(made), str(mark), record)
    assert Path(record).read_text() == f"{made}\t{mark}\n"
    mark.touch()
    assert _registry.lost_data(record) == {str(made): str(mark)}
    made.touch()
    assert _registry.lost_data(record) == {}
    made.unlink()
    mark.unlink()
    assert _registry.lost_data(record) == {}
