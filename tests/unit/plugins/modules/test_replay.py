# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replay says decides whether a release may go live."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.filter.applications import applications
from ansible_collections.durable.temporal.plugins.filter.replay_environments import replay_environments
from ansible_collections.durable.temporal.plugins.modules import replay

Json = dict[str, t.Any]
CANARY = "canary-value"


def run(root: Path, script: str, release: str = "r2", check: bool = False, timeout: int = 20) -> Json:
    place = root / "releases" / "r2" / "bin"
    place.mkdir(parents=True, exist_ok=True)
    (place / "replay").write_text(f"#!/bin/sh\n{script}\n")
    (place / "replay").chmod(0o755)
    application = {
        "name": "orders",
        "root": str(root),
        "user": getpass.getuser(),
        "replay_command": ["bin/replay", "all"],
    }
    options = {
        "applications": [application],
        "environments": {"orders": {"KEY": CANARY, "TEMPORAL_NAMESPACE": "orders"}},
        "releases": {"orders": release},
        "timeout_seconds": timeout,
    }
    out = io.StringIO()
    with (
        patch_module_args({**options, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        mock.patch.object(replay, "give_way"),
        pytest.raises(SystemExit),
    ):
        replay.main()
    return t.cast("Json", json.loads(out.getvalue()))


def test_a_release_that_can_replay_all_passes(tmp_path: Path) -> None:
    said = 'echo noise; [ "$TEMPORAL_NAMESPACE $1" = "orders all" ] && echo \'{"replayed": 7, "failed": []}\''
    assert run(tmp_path, said)["replayed"] == {"orders": 7}


def test_what_cannot_go_on_is_named(tmp_path: Path) -> None:
    failed = [{"workflow_type": "order", "workflow_id": f"o-{n}", "error": "[TMPRL1100] event 5"} for n in range(7)]
    result = run(tmp_path, f"echo '{json.dumps({'replayed': 9, 'failed': failed})}'; exit 3")
    assert result["failed"]
    assert "release r2 cannot go on with 7 of 9 replayed workflows" in result["msg"]
    assert "order o-0: [TMPRL1100] event 5" in result["msg"]
    assert "and 2 more" in result["msg"]
    assert run(tmp_path, "exit 3")["failed"]
    # Whatever the code says.
    assert run(tmp_path, f"echo '{json.dumps({'replayed': 9, 'failed': failed})}'")["failed"]


def test_a_command_that_fails_is_not_taken_for_a_pass(tmp_path: Path) -> None:
    assert "ended with 1, expected 0 or 3: no server" in run(tmp_path, "echo no server >&2; exit 1")["msg"]
    assert "did not end within 1 s" in run(tmp_path, "exec sleep 20", timeout=1)["msg"]
    (tmp_path / "releases/r2/bin/replay").unlink()
    assert "cannot be run" in run_without(tmp_path)["msg"]


def run_without(root: Path) -> Json:
    with mock.patch.object(Path, "write_text"), mock.patch.object(Path, "chmod"):
        return run(root, "")


def test_the_live_release_is_not_asked_and_neither_is_any_in_check_mode(tmp_path: Path) -> None:
    assert run(tmp_path, "exit 3", check=True)["replayed"] == {}
    (tmp_path / "current").symlink_to("releases/r2")
    assert run(tmp_path, "exit 3")["replayed"] == {"orders": 0}


def test_only_applications_with_a_command_are_asked_and_secrets_go_apart() -> None:
    declared = [
        {"name": "orders", "replay_command": ["node", "dist/replay.js"], "environment": {"KEY": CANARY}},
        {"name": "other"},
    ]
    (view,) = applications({}, declared, "replay")
    assert view["replay_command"] == ["node", "dist/replay.js"]
    assert CANARY not in json.dumps(view)
    assert replay_environments({}, declared, {"CA": "x"})["orders"]["KEY"] == CANARY
    assert list(replay_environments({}, declared)) == ["orders"]


def test_a_program_is_found_in_the_release_or_in_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/replay").write_text("")
    assert replay.program(["bin/replay", "x"], tmp_path) == [str(tmp_path / "bin/replay"), "x"]
    assert replay.program(["sh", "-c"], tmp_path)[0].endswith("bin/sh")
