# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong calls of the playbooks, on the VM of `make up`: each is refused in words, and nothing on the host is another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from play import ROOT, play
from releases import PACKAGE, deploy_with, variant

OnVm = Callable[..., str]
CURRENT = "/opt/order-processing/workflow/current"
LOG = "/opt/order-processing/workflow/shared/deploys.log"
# What is live, what runs since when, what was logged, and every file of ours.
LOOK = (
    f"readlink {CURRENT}; sha256sum {LOG}; docker inspect -f '{{{{.Name}}}} {{{{.State.StartedAt}}}}' $(docker ps -q); "
    "ps -o pid,lstart,args --no-headers -u workflow | grep -v 'ps -o'; "
    "find /opt/order-processing /etc/order-processing /etc/nginx -xdev -not -path '*/cases*' -not -path '*/postgres-data*' "
    "-not -path '*/node_modules/*' -printf '%p %s %T@\\n' | sort"
)
# Playbook, what is given to it, what it says.
WRONG: Sequence[tuple[str, Sequence[str], str]] = (
    ("deploy", ("-e", "aplication=order-processing"), "Did you mean deploy_application?"),
    ("deploy", ("-e", "deploy_aplication=order-processing"), "Did you mean deploy_application?"),
    ("deploy", ("-e", "application=order-processing"), "expected deploy_application."),
    ("deploy", ("-e", "deploy_application=typo"), "deploy_application is 'typo'; expected one of order-processing."),
    ("deploy", ("-e", "deploy_application="), "deploy_application is empty"),
    ("deploy", ("-e", "deploy_reason=second build"), "-e deploy_reason has a text with blanks"),
    ("deploy", ("-e", '{"local_application_overrides": {"artifact": ""}}'), "is not set; expected a file"),
    ("deploy", ("-e", '{"local_application_overrides": {"artifact": "build/no.tar.gz"}}'), f"no file {ROOT}/build/no.tar.gz"),
    ("deploy", ("-e", '{"local_application_overrides": {"keep_relases": 3}}'), "topology_applications[0].keep_relases"),
    ("deploy", ("-e", '{"topology_applications": []}'), "topology_applications is empty on durable-vm"),
    ("deploy", ("-e", "app_release_serial=none"), "app_release_serial is 'none' on durable-vm"),
    ("rollback", ("-e", "rollback_application=typo"), "rollback_application is 'typo'; expected one of order-processing."),
    ("rollback", ("-e", "release=previous"), "expected rollback_release."),
    ("rollback", ("-e", "rollback_release=20200101000000-00000000"), "Choose one of these, or deploy its artifact."),
    ("rollback", ("-e", "rollback_replay=perhaps"), "rollback_replay is 'perhaps'; expected true or false."),
    ("rotate", ("-e", "renew=all"), "expected rotate_renew."),
    ("rotate", ("-e", "rotate_renew=typo"), "rotate_renew is 'typo'; expected all, or names of"),
    ("status", ("-e", "status_reprot=x.json"), "Did you mean status_report?"),
    ("site", ("-e", "application=order-processing"), "site has no options of its own"),
    ("site", ("--tags", "ngnix"), "Did you mean nginx?"),
    ("deploy", ("--tags", "ngnix"), "expected none, as deploy has no tags."),
    ("rotate", ("--skip-tags", "always"), "the check of what is asked for was left out"),
)  # fmt: skip


@pytest.fixture(scope="module")
def look(on_vm: OnVm) -> Callable[[], str]:
    return lambda: on_vm(LOOK)


@pytest.fixture
def unchanged(look: Callable[[], str]) -> Iterator[None]:
    before = look()
    yield
    assert look() == before


@pytest.mark.parametrize(("playbook", "arguments", "said"), WRONG)
@pytest.mark.usefixtures("unchanged")
def test_a_wrong_call_is_refused_in_words(inventory: Path, playbook: str, arguments: Sequence[str], said: str) -> None:
    run = play(playbook, inventory, *arguments)
    assert run.rc != 0, run.output
    assert said in run.failure, run.failure
    assert run.failure.count(said) == 1, run.failure


def copy(inventory: Path, place: Path, groups: Mapping[str, Sequence[str]], **variables: Any) -> Path:
    """The inventory of the VM with other groups, and variables of its own."""
    shutil.copytree(inventory if inventory.is_dir() else inventory.parent, place)
    host = {
        "ansible_connection": "community.docker.docker",
        "ansible_host": "{{ lookup('ansible.builtin.env', 'DURABLE_VM') }}",
        "local_checkout": str(ROOT),
    }
    hosts: dict[str, Any] = {
        "hosts": {"durable-vm": host, **{key: {} for key in groups.get("own", ())}},
        "children": {group: {"hosts": {key: {} for key in members}} for group, members in groups.items()},
    }
    (place / "hosts.yml").write_text(json.dumps({"all": hosts}))
    if variables:
        (place / "group_vars" / "all" / "own.yml").write_text(yaml.safe_dump(variables))
    return place


VM = ["durable-vm"]
WHOLE = dict.fromkeys(("postgres", "temporal", "temporal_ui", "app", "edge"), VM)


@pytest.mark.usefixtures("unchanged")
def test_groups_that_make_no_platform_are_refused_by_every_playbook(inventory: Path, tmp_path: Path) -> None:
    renamed = {"databases": VM, "apps": VM, **dict.fromkeys(("temporal", "temporal_ui", "edge"), VM)}
    place = copy(inventory, tmp_path / "renamed", renamed)
    for playbook in ("site", "deploy", "rollback", "rotate", "status"):
        run = play(playbook, place)
        assert run.rc != 0, playbook
        assert "the group databases (durable-vm) is read by nothing" in run.failure
        assert "Did you mean app?" in run.failure
    empty = copy(inventory, tmp_path / "empty", {})
    assert "in no group" in play("site", empty).failure


@pytest.mark.usefixtures("unchanged")
def test_a_limit_that_leaves_no_host_of_the_applications_is_refused(inventory: Path, tmp_path: Path) -> None:
    place = copy(inventory, tmp_path / "limit", {**WHOLE, "own": ["other"]})
    run = play("deploy", place, "--limit", "other")
    assert run.rc != 0
    assert "--limit leaves out durable-vm of the group app" in run.failure


@pytest.mark.usefixtures("unchanged")
def test_a_variable_in_two_files_is_refused(inventory: Path, tmp_path: Path) -> None:
    place = copy(inventory, tmp_path / "twice", WHOLE, topology_size="large")
    for playbook in ("site", "deploy"):
        run = play(playbook, place)
        assert run.rc != 0
        assert "topology_size is set in group_vars/all/main.yml:3 and in group_vars/all/own.yml:1" in run.failure


def test_names_of_the_inventory_have_no_effect_and_blanks_arrive(inventory: Path, tmp_path: Path, on_vm: OnVm) -> None:
    """An inventory's own ``application`` and ``release`` were taken for those of the playbooks."""
    own = {
        "application": "my-product",
        "release": "2026.1",
        "reason": "of the inventory",
        "replay": True,
        "renew": "all",
    }
    place = copy(inventory, tmp_path / "own", WHOLE, app_release_serial="50%", **own)
    live = on_vm(f"readlink {CURRENT}").strip()
    overrides = json.dumps({"local_application_overrides": {"artifact": str(variant(tmp_path / "own.tar.gz", "own"))}})
    run = play("deploy", place, "-e", "deploy_reason='second build'", "-e", overrides)
    assert run.rc == 0, run.failure
    entries = [json.loads(line) for line in on_vm(f"tail -n 5 {LOG}").splitlines()]
    assert [entry.get("reason") for entry in entries if entry["action"] == "live"][-1] == "second build"
    assert on_vm(f"readlink {CURRENT}").strip() != live
    back = play("rollback", place)
    assert back.rc == 0, back.failure
    assert on_vm(f"readlink {CURRENT}").strip() == live
    assert deploy_with(inventory).rc == 0


def test_a_relative_artifact_is_found_where_the_playbook_is_started(inventory: Path, on_vm: OnVm) -> None:
    live = on_vm(f"readlink {CURRENT}").strip()
    run = deploy_with(inventory, artifact=str(PACKAGE.relative_to(ROOT)))
    assert run.rc == 0, run.failure
    assert on_vm(f"readlink {CURRENT}").strip() == live
