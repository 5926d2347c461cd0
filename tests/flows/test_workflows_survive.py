# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred workflows with signals, timers and activities under way see ten deployments and rollbacks go by."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from play import Run, play
from releases import PACKAGE, deploy_with, variant
from test_bad_days import OnVm, Orders, eventually
from test_deploy import QUICK, Host

CASES = "/opt/order-processing/workflow/shared/cases"
WORKFLOWS = 200
STEPS = ("deploy", "deploy", "rollback", "deploy", "rollback", "deploy", "deploy", "rollback", "rollback", "deploy")
ONCE = ("validateOrder", "reserveStock", "chargePayment", "shipOrder", "notifyUser")
NEVER = ("releaseStock", "refundPayment")
# Each kind of waiting: for a person, for a timer that fires at some time on the way, for an activity that takes longer.
KINDS: tuple[Callable[[int], dict[str, Any]], ...] = (
    lambda _number: {"waitForSignal": True},
    lambda number: {"holdSeconds": 5 + number},
    lambda number: {"waitForSignal": True, "holdSeconds": 1 + number % 20},
    lambda _number: {"waitForSignal": True, "slowActivitySeconds": {"chargePayment": 4, "shipOrder": 4}},
)


@contextmanager
def approving(orders: Orders, cases: list[str]) -> Iterator[None]:
    """Approves half of the orders one after the other while the block runs, and the rest at its end."""
    stop, failures = threading.Event(), []
    # However long the block takes, the release that it brings finds work.
    meanwhile, afterwards = cases[::2], cases[1::2]

    def approve(some: list[str], pause: float) -> None:
        while some:
            case = some.pop()
            try:
                orders.signal(case, "approve")
            except AssertionError as error:
                failures.append(f"{case}: {error}")
            if stop.wait(pause):
                return

    thread = threading.Thread(target=approve, args=(meanwhile, 1.0))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    stop.clear()
    approve(meanwhile + afterwards, 0)
    assert not failures, f"signals that were not taken: {failures}"


def audited(on_vm: OnVm, prefix: str) -> list[dict[str, Any]]:
    """The audit trail of the orders of this test."""
    lines = on_vm(f"cat {CASES}/audit-*.jsonl").splitlines()
    return [event for event in map(json.loads, lines) if event["caseId"].startswith(prefix)]


def test_two_hundred_workflows_outlive_ten_deployments_and_rollbacks(
    inventory: Path, outputs: dict[str, str], on_vm: OnVm, tmp_path: Path
) -> None:
    host, orders = Host(on_vm), Orders(outputs["api_url"])
    prefix = f"ten-{time.time_ns()}-"
    kinds = {f"{prefix}{number}": KINDS[number % len(KINDS)](number) for number in range(WORKFLOWS)}
    for case, options in kinds.items():
        orders.start(case, **options)

    runs: list[Run] = []
    releases = {host.live}
    waiting_for_signal = [case for case, options in kinds.items() if options.get("waitForSignal")]
    for number, step in enumerate(STEPS):
        # Each release finds some that are approved while it comes, and some once it is there.
        with approving(orders, waiting_for_signal[number :: len(STEPS)]):
            if step == "deploy":
                artifact = variant(tmp_path / f"{number}.tar.gz", f"ten {number}")
                runs.append(deploy_with(inventory, artifact=str(artifact), extra=QUICK))
            else:
                runs.append(play("rollback", inventory, extra=QUICK))
            assert runs[-1].rc == 0, f"{step} {number}: {runs[-1].failure}"
        releases.add(host.live)

    waiting = set(kinds)

    def all_completed() -> bool:
        waiting.difference_update([case for case in waiting if orders.completed(case)])
        return not waiting

    eventually(f"all of the {WORKFLOWS} orders complete", all_completed, seconds=300)
    trail = audited(on_vm, prefix)
    assert [event for event in trail if event["outcome"] != "succeeded"] == []
    done = Counter((event["caseId"], event["event"]) for event in trail)
    assert {case: {name: done[case, name] for name in ONCE} for case in kinds} == {
        case: dict.fromkeys(ONCE, 1) for case in kinds
    }
    assert [key for key in done if key[1] in NEVER] == []
    assert len({(event["caseId"], event["runId"]) for event in trail}) == WORKFLOWS
    # They were really handed on from release to release.
    assert releases <= {event["release"] for event in trail}
    assert len(releases) == 1 + STEPS.count("deploy")
    assert deploy_with(inventory, artifact=str(PACKAGE), extra=QUICK).rc == 0
