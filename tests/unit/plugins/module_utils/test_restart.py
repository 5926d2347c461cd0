# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the next start of a unit, or a stranger on the host, would find."""

from __future__ import annotations

import getpass
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _restart
from ansible_collections.durable.temporal.plugins.module_utils._restart import (
    Start,
    engine_checks,
    obstacle,
    open_checks,
    parse_starts,
    start_checks,
)
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

ME = getpass.getuser()
SHOWN = """\
Id=orders-worker@1.aaaa.1.service
User=workflow
ExecStart={ path=/srv/o/releases/1/venv/bin/python ; argv[]=/srv/o/releases/1/venv/bin/python -m app ; ignore_errors=no }
EnvironmentFiles=/etc/durable-temporal/orders/worker.aaaa.env (ignore_errors=no)
EnvironmentFiles=/etc/default/orders (ignore_errors=yes)
WorkingDirectory=/srv/o/releases/1

Id=orders-pm2.service
User=workflow
ExecStart={ path=/opt/pm2/bin/pm2 ; argv[]=/opt/pm2/bin/pm2 resurrect ; ignore_errors=no ; start_time=[n/a] }
WorkingDirectory=
"""


def test_what_units_need_is_read_from_systemd() -> None:
    assert parse_starts(SHOWN) == [
        Start(
            "orders-worker@1.aaaa.1.service",
            "workflow",
            "/srv/o/releases/1/venv/bin/python",
            "/srv/o/releases/1",
            ("/etc/durable-temporal/orders/worker.aaaa.env",),
        ),
        Start("orders-pm2.service", "workflow", "/opt/pm2/bin/pm2", "", ()),
    ]
    assert parse_starts("") == []


@pytest.fixture
def release(tmp_path: Path) -> Path:
    place = tmp_path / "releases" / "1"
    (place / "venv/bin").mkdir(parents=True)
    (place / "venv/bin/python").write_text("")
    (place / "venv/bin/python").chmod(0o755)
    (tmp_path / "worker.env").write_text("")
    return place


def start(release: Path, user: str = ME) -> Start:
    files = (str(release.parents[1] / "worker.env"),)
    return Start("orders-worker@1.service", user, str(release / "venv/bin/python"), str(release), files)


def lacks(release: Path, user: str = ME) -> list[str]:
    checks = start_checks("orders", [start(release, user)], user, str(release))
    assert all((check.component, check.name, check.status) == ("orders", "next start", "degraded") for check in checks)
    return [check.found for check in checks]


def test_nothing_is_said_of_what_is_all_there(release: Path) -> None:
    assert lacks(release) == []
    assert start_checks("orders", [], "", "") == []


def test_files_programs_and_accounts_that_are_gone_are_told_once(release: Path) -> None:
    (release.parents[1] / "worker.env").unlink()
    (release / "venv/bin/python").unlink()
    program, environment = release / "venv/bin/python", release.parents[1] / "worker.env"
    assert lacks(release) == [f"{environment} is gone", f"{program} is gone"]
    twice = start_checks("orders", [start(release), start(release)], ME, str(release))
    assert len(twice) == 2
    assert lacks(release, "nosuchaccount")[1:] == ["there is no account nosuchaccount"]


def test_what_an_account_cannot_reach_is_told(release: Path) -> None:
    stranger = Account("anna", 60123, 60123, ())
    for place in (release.parents[1], *release.parents[1].parents):
        if place.stat().st_uid == os.getuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o011)
    assert obstacle(str(release), stranger) == ""
    release.parent.chmod(0o700)
    told = f"{release} is out of reach for anna, which may not pass {release.parent}"
    assert obstacle(str(release), stranger) == told
    release.parent.chmod(0o710)
    assert obstacle(str(release), replace(stranger, groups=(os.getgid(),))) == ""
    assert obstacle(str(release), replace(stranger, groups=(60124,))) == told
    # root may pass everywhere.
    assert obstacle(str(release), replace(stranger, uid=0)) == ""


def test_secrets_that_everybody_can_read_are_told(tmp_path: Path) -> None:
    place = tmp_path / "secrets"
    assert open_checks("orders", str(place)) == []
    (place / "postgres").mkdir(parents=True)
    file = place / "postgres" / "password"
    file.write_text("canary")
    file.chmod(0o644)
    place.chmod(0o700)
    assert open_checks("orders", str(place)) == []
    place.chmod(0o755)
    (check,) = open_checks("orders", str(place))
    assert (check.status, check.found) == ("failed", f"{file}, which everybody may read")
    assert "canary" not in str(check)
    file.chmod(0o600)
    assert open_checks("orders", str(place)) == []


def test_an_engine_that_would_not_start_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "daemon.json"
    monkeypatch.setattr(_restart.shutil, "which", lambda *_given, **_named: "/usr/sbin/dockerd")
    answers = {"dockerd": (0, "configuration OK", ""), "systemctl": (0, "enabled\n", "")}
    asked: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command)
        return answers[command[0].rpartition("/")[2]]

    assert engine_checks(run, str(file)) == []
    assert [command[0] for command in asked] == ["systemctl"]
    file.write_text("{")
    assert engine_checks(run, str(file)) == []
    answers.update(dockerd=(1, "", "unable to configure\nunexpected EOF\n"), systemctl=(0, "masked\n", ""))
    configuration, socket = engine_checks(run, str(file))
    assert (configuration.status, configuration.found) == ("degraded", "unexpected EOF")
    assert (socket.name, socket.found) == ("docker.socket", "masked")
    answers["systemctl"] = (1, "", "")
    assert len(engine_checks(run, str(file))) == 1
    answers["dockerd"] = (125, "", "unknown flag: --validate\nSee 'dockerd --help'.\n")
    assert engine_checks(run, str(file)) == []
