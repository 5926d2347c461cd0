# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily flows as a user runs them: over SSH, without being root on the host, with sudo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from over_ssh import OPERATOR, over_ssh
from play import Run, play
from releases import deploy_with, variant
from test_bad_days import OnVm, Orders, eventually

CURRENT = "/opt/order-processing/workflow/current"


def done(run: Run) -> Run:
    assert run.rc == 0, run.failure
    return run


@pytest.fixture
def orders(outputs: Mapping[str, str]) -> Orders:
    made = Orders(outputs["api_url"])
    assert made.healthy(), "the platform must be healthy before a deployment"
    return made


@pytest.fixture(scope="module")
def inventory(outputs: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return over_ssh(outputs["vm"], Path(outputs["inventory"]), tmp_path_factory.mktemp("ssh"))


def test_an_operator_deploys_and_rolls_back(inventory: Path, on_vm: OnVm, orders: Orders, tmp_path: Path) -> None:
    assert done(play("site", inventory)).changed == []
    before = on_vm(f"readlink {CURRENT}")

    done(deploy_with(inventory, artifact=str(variant(tmp_path / "ssh.tar.gz", f"ssh {time.time()}"))))
    after = on_vm(f"readlink {CURRENT}")
    assert after != before
    case = f"ssh-{time.time_ns()}"
    orders.start(case)
    eventually(f"order {case} completes", lambda: orders.completed(case))
    # Nothing belongs to the account that they come in with, in which files wait before they are put at their place.
    assert on_vm(f"find /etc /opt /srv /var -xdev -user {OPERATOR}") == ""

    done(play("rollback", inventory))
    assert on_vm(f"readlink {CURRENT}") == before
    assert done(play("status", inventory)).changed == []
    assert on_vm(f"ls -A ~{OPERATOR}/.ansible/tmp") == ""


def test_an_account_that_does_not_become_root_is_told_so(inventory: Path) -> None:
    run = play("site", inventory, extra={"ansible_become": False})
    assert run.rc != 0
    (problem,) = [line for line in run.failure.splitlines() if "- durable-vm:" in line]
    assert "the account on the host is not root; expected root" in problem
    assert "ansible_become" in problem
    assert run.changed == []
