# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications: defaults, paths and what is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.filter.applications import applications
from ansible_collections.durable.temporal.plugins.filter.pm2_ecosystem import pm2_ecosystem
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise

PROCESS = {"name": "worker", "script": "dist/worker.js"}


def test_paths_follow_from_the_name() -> None:
    application = normalise({"name": "order-processing"})
    assert application["root"] == "/opt/order-processing/workflow"
    assert application["ecosystem"] == "/etc/order-processing/ecosystem.config.json"
    assert application["pm2_home"] == "/var/lib/order-processing/.pm2"
    assert application["unit"] == "order-processing-pm2.service"
    assert (application["user"], application["group"]) == ("workflow", "workflow")


def test_what_is_declared_wins_and_null_means_unset() -> None:
    application = normalise({"name": "a", "root": "/srv/a/", "user": "app", "keep_releases": 2, "port": None})
    assert (application["root"], application["current"]) == ("/srv/a", "/srv/a/current")
    assert (application["user"], application["group"], application["keep_releases"]) == ("app", "app", 2)


def test_normalising_again_changes_nothing() -> None:
    once = normalise({"name": "a", "processes": [PROCESS], "environment": {"A": 1}})
    assert normalise(once) == once


def test_the_kill_timeout_is_longer_than_what_pm2_gives() -> None:
    (process,) = normalise({"name": "a", "processes": [PROCESS]})["processes"]
    assert process["kill_timeout"] >= 30000
    assert process["wait_ready"] is True


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({}, "name is ''"),
        ({"name": "Order Processing"}, "lower-case"),
        ({"name": "../etc"}, "lower-case"),
        ({"name": "a", "root": "relative"}, "root is 'relative'"),
        ({"name": "a", "root": "/"}, "root is ''"),
        ({"name": "a", "root": "/opt/../etc"}, "directory of its own"),
        ({"name": "a", "user": "root"}, "user is root"),
        ({"name": "a", "processes": [{"name": "w"}]}, "script is missing"),
        ({"name": "a", "processes": [{"script": "x"}]}, "a name"),
        ({"name": "a", "processes": [{**PROCESS, "instances": 0}]}, "at least 1"),
        ({"name": "a", "processes": [{**PROCESS, "exec_mode": "clustre"}]}, "fork or cluster"),
        ({"name": "a", "processes": [{**PROCESS, "instanses": 2}]}, "unknown option instanses"),
        ({"name": "a", "processes": [PROCESS, PROCESS]}, "declared twice"),
    ],
)
def test_what_cannot_work_is_refused(declared: dict[str, t.Any], says: str) -> None:
    with pytest.raises(InvalidApplication, match=says):
        normalise(declared)


def test_views_hold_what_the_modules_take_and_no_values_of_variables() -> None:
    declared = [{"name": "a", "artifact": "a.tar.gz", "processes": [PROCESS], "environment": {"KEY": "canary"}}]
    (release,) = applications(declared, "release")
    assert release["artifact"] == "a.tar.gz"
    assert release["sha256"] is None
    (pm2,) = applications(declared, "pm2")
    assert "canary" not in str(pm2)
    assert "KEY" in pm2["processes"][0]["variables"]
    (status,) = applications(declared, "status")
    assert "canary" not in str(status)
    assert status["processes"] == [{"name": PROCESS["name"], "instances": 1}]


def test_filters_agree_on_digests() -> None:
    declared = {"name": "a", "processes": [PROCESS], "environment": {"A": "1"}}
    (pm2,) = applications([declared], "pm2", {"NODE_EXTRA_CA_CERTS": "/x"})
    (entry,) = pm2_ecosystem(declared, {"NODE_EXTRA_CA_CERTS": "/x"})["apps"]
    assert pm2["processes"][0]["definition"] == entry["env"]["DURABLE_DEFINITION"]
    (other,) = applications([declared], "pm2")
    assert other["processes"][0]["definition"] != entry["env"]["DURABLE_DEFINITION"]


@pytest.mark.parametrize("wrong", ["text", {"name": "a"}, [1], None])
def test_other_shapes_are_named(wrong: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a list"):
        applications(wrong)
    with pytest.raises(AnsibleFilterError, match="there is no view"):
        applications([], "pm3")
    with pytest.raises(AnsibleFilterError, match="pm2_ecosystem"):
        pm2_ecosystem({"name": "A"})
