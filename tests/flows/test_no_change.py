# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that changes nothing changes nothing, restarts nothing and asks little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from play import play

# Tasks that run when nothing changes. A higher number needs a reason: each costs a quarter of a second. The first of both is
# the check of what is asked for, on the controller; docker looks at an engine that may be somebody else's.
SITE_TASKS = 31
DEPLOY_TASKS = 5

RUNNING_SINCE = (
    "docker inspect -f '{{.Name}} {{.State.StartedAt}} {{.RestartCount}}' $(docker ps -q) | sort;"
    " systemctl show -p Id -p ActiveEnterTimestamp docker nginx 'order-processing-pm2'"
)


def test_second_run_changes_and_restarts_nothing(inventory: Path, on_vm: Callable[..., str]) -> None:
    before = on_vm(RUNNING_SINCE)
    site = play("site", inventory)
    deploy = play("deploy", inventory)
    assert site.rc == 0, site.failure
    assert deploy.rc == 0, deploy.failure
    assert site.changed == []
    assert deploy.changed == []
    assert on_vm(RUNNING_SINCE) == before
    assert site.executed <= SITE_TASKS, f"{site.executed} tasks ran"
    assert deploy.executed <= DEPLOY_TASKS, f"{deploy.executed} tasks ran"


def test_check_mode_is_clean(inventory: Path) -> None:
    for name in ("site", "deploy"):
        run = play(name, inventory, "--check", "--diff")
        assert run.rc == 0, run.failure
        assert run.changed == []
