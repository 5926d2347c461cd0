# SPDX-License-Identifier: GPL-3.0-or-later
"""A reboot: everything comes back by itself, and nothing that was open is lost."""

from __future__ import annotations

import time

from api import Api
from vm import Vm
from waiting import eventually


def test_orders_survive_a_reboot(vm: Vm, api: Api, namespace: str, application: str, application_user: str) -> None:
    waiting = api.start(wait_for_signal=True)
    api.wait_stage(waiting, "waiting_for_approval")
    # In the middle of an activity when the host goes down: it runs again afterwards.
    busy = api.start(slow_activity_seconds={"shipOrder": 60})
    api.wait_stage(busy, "paid")

    began = time.monotonic()
    vm.reboot()
    api.wait_healthy(within=120)
    print(f"healthy {time.monotonic() - began:.1f} s after the reboot began")

    api.signal(waiting, "approve", by="verify")
    assert api.result(waiting, within=60).stage == "completed"
    assert api.result(busy, within=150).stage == "completed"
    query = "select count(*) from executions_visibility where workflow_id = %s"
    assert vm.psql("temporal_visibility", query, waiting.id) == 1

    # And new ones run.
    assert api.result(api.start(), within=30).status == "completed"

    def all_healthy() -> bool:
        return all(each.running and each.health in {"healthy", None} for each in vm.containers().values())

    eventually("all containers are healthy", all_healthy, within=60)
    eventually(
        "all processes of PM2 are online",
        lambda: {each["pm2_env"]["status"] for each in vm.pm2(application, application_user)} == {"online"},
        within=60,
    )
    seen = vm.temporal("task-queue", "describe", "--namespace", namespace, "--task-queue", "order-processing-queue")
    assert seen["pollers"]
