# SPDX-License-Identifier: GPL-3.0-or-later
"""That what the hosts say reaches the judgement, and that its answer stops the playbook."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.durable.temporal.plugins.action import removal_report

Json = dict[str, t.Any]


def host(state: str, changed: bool = False) -> Json:
    return {"state": state, "applications": ["orders"], "kept": [], "changed": changed}


def run(by_host: dict[str, Json], **arguments: t.Any) -> Json:
    loader = DataLoader()
    given = {"name": "orders", "found": "__found", **arguments}
    task = mock.MagicMock(args=given, async_val=0, check_mode=False)
    made = removal_report.ActionModule(task, mock.MagicMock(), mock.MagicMock(), loader, Templar(loader), None)
    result: Json = made.run(task_vars={"ansible_play_hosts_all": list(by_host), "hostvars": by_host})
    return result


def test_what_may_go_stops_nothing() -> None:
    assert not run({"a": {"__found": host("present")}, "b": {"__found": host("unknown")}}).get("failed")


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        ("unknown", {}, "remove_application is 'orders'"),
        ("declared", {}, "which is declared for a"),
        ("present", {"data": True}, "remove_confirm is empty"),
        ("present", {"data": True, "confirm": "shop"}, "remove_confirm is 'shop'"),
    ],
)
def test_what_must_not_go_fails(state: str, more: Json, said: str) -> None:
    told = run({"a": {"__found": host(state)}}, **more)
    assert told["failed"]
    assert said in told["msg"]
    assert told["msg"].endswith("Nothing was changed.")


def test_a_host_of_ours_that_did_not_answer_stops_it() -> None:
    hosts = {"a": {"__found": host("present")}, "b": {"__found": {"unreachable": True}}}
    told = run(hosts, hosts=["a", "b"])
    assert told["failed"]
    assert told["msg"].startswith("b is out of reach (no answer); expected an answer")
    assert told["msg"].endswith("Nothing was changed.")
    assert not run(hosts, hosts=["a"]).get("failed")


def test_afterwards_it_tells_what_became_of_it() -> None:
    hosts = {"a": {"__found": host("present"), "__done": host("present", True)}}
    told = run(hosts, removed="__done")
    assert told["outcome"] == ["a: orders is removed."]
    # A host that failed on the way has told so itself.
    assert run({"a": {"__found": host("present")}}, removed="__done")["outcome"] == []
