# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ecosystem file of a release says otherwise than what is declared."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _pm2_packaged as packaged
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import ecosystem
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

ROOT = Path(__file__).resolve().parents[4]
ACCOUNT = Account(getpass.getuser(), os.getuid(), os.getgid(), (os.getgid(),))
WORKER = {
    "name": "worker",
    "script": "dist/worker.js",
    "instances": 2,
    "max_memory_restart": "1G",
    "restart_delay": 5000,
}


def declared(**more: Any) -> list[dict[str, Any]]:
    process = {**WORKER, "environment": {"LOG_LEVEL": "info", "KEY": "secret-canary"}, **more}
    return ecosystem(normalise({"name": "orders", "namespace": "n", "processes": [process]}), {})["apps"]


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"script": "./dist/worker.js", "max_memory_restart": "1024M", "restart_delay": "5s", "instances": "2"},
        {"exec_mode": "fork_mode", "wait_ready": "true", "min_uptime": 10000, "kill_timeout": "30s"},
        {"cwd": "/opt/x", "out_file": "/var/log/x", "log_date_format": "x", "merge_logs": True, "autorestart": True},
        {"watch": False, "env": {"LOG_LEVEL": "info", "NODE_ENV": "production", "TEMPORAL_NAMESPACE": "n"}},
    ],
)
def test_what_means_the_same_is_no_difference(same: dict[str, Any]) -> None:
    assert packaged.differences([{**WORKER, **same}], declared()) == []


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"instances": 4}, "worker: instances is 4 in it, and 2 declared"),
        ({"instances": "max"}, "worker: instances is 'max' in it, and 2 declared"),
        ({"exec_mode": "cluster"}, "worker: exec_mode is 'cluster' in it, and 'fork' declared"),
        ({"args": ["--fast"]}, "worker: args is ['--fast'] in it, and not declared"),
        ({"interpreter_args": "--inspect"}, "worker: node_args is '--inspect' in it, and not declared"),
        ({"max_memory_restart": "2G"}, "worker: max_memory_restart is '2G' in it, and '1G' declared"),
        ({"cron_restart": "0 3 * * *"}, "worker: cron_restart is not used"),
        ({"env_production": {"A": 1}}, "worker: env_production is not used"),
        ({"env": {"FEATURE": "on", "LOG_LEVEL": "info"}}, "worker: it sets FEATURE, which is not declared"),
        ({"env": {"KEY": "another-canary"}}, "worker: it has other values for KEY"),
        ({"name": "other"}, "other is not declared, and does not run"),
    ],
)
def test_a_difference_is_told(theirs: dict[str, Any], said: str) -> None:
    found = packaged.differences([{**WORKER, **theirs}], declared())
    assert said in found
    assert "canary" not in str(found)


def test_what_only_the_inventory_has_is_told() -> None:
    assert packaged.differences([], declared()) == ["worker is declared, and not in it"]


def told(release: Path, text: str, name: str = "ecosystem.config.js") -> str:
    (release / name).write_text(text)
    return packaged.told(release, ACCOUNT, declared())


def test_the_file_is_a_program_that_sees_the_variables_of_the_processes(tmp_path: Path) -> None:
    text = """console.log('hello');
    module.exports = {apps: [{name: 'worker', script: 'dist/worker.js', instances: 2,
      env: {LOG_LEVEL: process.env.LOG_LEVEL ?? 'debug'}}]};"""
    assert told(tmp_path, text) == ""
    said = told(tmp_path, text.replace("instances: 2", "instances: 3"))
    assert f"ecosystem.config.js of release {tmp_path.name} is not used" in said
    assert "instances is 3 in it, and 2 declared" in said


def test_a_release_without_one_is_silent(tmp_path: Path) -> None:
    assert packaged.told(tmp_path, ACCOUNT, declared()) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("throw new TypeError('no such thing')", "TypeError: no such thing"),
        ("module.exports = {apps: 7}", "no list of apps"),
        ("process.exit(0)", "it says nothing"),
        ("this is no program", "SyntaxError"),
    ],
)
def test_one_that_cannot_be_read_is_told(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in told(tmp_path, text)


def test_one_that_takes_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "SECONDS", 0.5)
    assert "timed out" in told(tmp_path, "for (;;) {}")
