# SPDX-License-Identifier: GPL-3.0-or-later
"""Which applications are rolled out."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.filter.rollouts import rollouts

RAMPED = {
    "name": "approvals",
    "runtime": "systemd",
    "versioning": "worker_deployment",
    "rollout_steps": [{"percentage": 5}],
}


def test_only_versioned_applications_with_a_release() -> None:
    declared = [{"name": "orders"}, RAMPED, {**RAMPED, "name": "onboarding"}]
    (row,) = rollouts(declared, {"orders": "r1", "approvals": "r2", "onboarding": ""}, {"min_workflows": 3})
    assert row == {
        "name": "approvals",
        "namespace": "default",
        "build_id": "r2",
        "steps": [{"percentage": 5}],
        "prune": True,
        "only_without_current": False,
        "connection": {},
        "min_workflows": 3,
    }


def test_the_way_back_has_no_steps() -> None:
    (row,) = rollouts([RAMPED], {"approvals": "r1"}, at_once=True)
    assert row["steps"] == []


def test_only_where_no_build_is_current() -> None:
    (row,) = rollouts([RAMPED], {"approvals": "r1"}, only_without_current=True)
    assert row["only_without_current"] is True


def test_a_server_of_its_own() -> None:
    (row,) = rollouts([{**RAMPED, "temporal_address": "t:7233", "namespace": "n"}], {"approvals": "r"})
    assert (row["connection"], row["namespace"]) == ({"address": "t:7233"}, "n")


def test_what_is_no_application() -> None:
    with pytest.raises(AnsibleFilterError, match="expected a list"):
        rollouts({}, {})
    with pytest.raises(AnsibleFilterError, match="name is"):
        rollouts([{"name": "A B"}], {})
