# SPDX-License-Identifier: GPL-3.0-or-later
"""Which task queues must be polled, and by whom."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.filter.task_queues import task_queues

ORDERS = {"name": "orders", "task_queues": ["orders", "mail"], "namespace": "shop"}
HERE = "127.0.0.1:7233"


def test_one_item_for_each_queue_with_the_processes_of_its_application() -> None:
    found = task_queues([ORDERS, {"name": "api"}], {"orders": {"worker": [17]}, "api": {"api": [18]}}, HERE)
    assert [item["name"] for item in found] == ["orders", "mail"]
    assert found[0] == {
        "name": "orders",
        "namespace": "shop",
        "component": "orders",
        "processes": {"worker": [17]},
        "polled_within_seconds": 90,
    }


def test_those_just_started_count_whenever_they_polled() -> None:
    (item, _other) = task_queues([ORDERS], {"orders": [17, 18]}, HERE, just_started=True)
    assert item["processes"] == {"orders": [17, 18]}
    assert "polled_within_seconds" not in item


@pytest.mark.parametrize(
    ("more", "processes", "count"),
    [
        ({}, {}, 0),
        ({}, {"orders": []}, 0),
        ({}, {"orders": {"worker": []}}, 2),
        ({"temporal_address": HERE}, {"orders": [17]}, 2),
        ({"temporal_address": "temporal.example.com:7233"}, {"orders": [17]}, 0),
    ],
)
def test_which_are_asked_about(more: dict[str, str], processes: dict[str, object], count: int) -> None:
    assert len(task_queues([{**ORDERS, **more}], processes, HERE)) == count  # type: ignore[arg-type]


def test_a_name_of_their_own() -> None:
    (item, _other) = task_queues([{**ORDERS, "poller_identity": "^orders-"}], {"orders": [17]}, HERE)
    assert item["identity_pattern"] == "^orders-"


@pytest.mark.parametrize("declared", ["orders", [1], [{"task_queues": ["x"]}]])
def test_what_is_no_list_of_applications_is_refused(declared: object) -> None:
    with pytest.raises(AnsibleFilterError, match="task_queues: "):
        task_queues(declared, {}, HERE)
