# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment and a rollback say at their end, as the role's variables make it."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "app_release"
COLLECTIONS = ROOT / ".local" / "collections"
RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
name, given = json.load(sys.stdin)
loader = DataLoader()
files = [f"{sys.argv[2]}/{part}/main.yml" for part in ("defaults", "vars")]
variables = {k: v for file in files for k, v in loader.load_from_file(file, trusted_as_template=True).items()}
print(json.dumps(Templar(loader, variables={**variables, **given}).template(trust_as_template("{{ %s }}" % name))))
"""
MOVED = {"name": "greeter", "live": "r1", "outcome": "greeter: release r1 is live; before it r2 was\n  To go back: …"}


def made(name: str, **given: t.Any) -> t.Any:
    """A variable of the role, with what is given. In a process of its own, which knows the collection's filters."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(COLLECTIONS), str(ROLE)],
        input=json.dumps([name, given]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(release: str, *applications: dict[str, str], live: str = "r1") -> str:
    moved = {"applications": [{**MOVED, "live": live}]}
    given = {"app_release_applications": list(applications), "app_release_release": release}
    text: str = made("__app_release_told", __app_release_prepared=moved, **given)
    return text


GREETER = {"name": "greeter", "artifact": "greeter.tar.gz"}


def test_a_rollback_says_what_the_next_deployment_makes_live() -> None:
    text = told("previous", GREETER)
    assert text.startswith(MOVED["outcome"] + "\nThe next deploy.yml ")
    assert "artifact of greeter" in text
    assert "-e deploy_application=OTHER" in text
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    ("release", "application", "live"),
    [("", GREETER, "r1"), ("previous", {"name": "greeter"}, "r1"), ("previous", GREETER, "")],
    ids=["a deployment", "no artifact is declared", "nothing is live"],
)
def test_where_the_next_deployment_changes_nothing_of_it_there_is_no_such_sentence(
    release: str, application: dict[str, str], live: str
) -> None:
    assert told(release, application, live=live) == MOVED["outcome"]


def test_the_queues_of_a_candidate_name_the_release_that_is_tried() -> None:
    worker = {"name": "greeter", "runtime": "systemd", "task_queues": ["greet"], "processes": []}
    tried = {"name": "greeter", "release": "r2", "pids": [17], "task_queues": ["greet-candidate-r2"]}
    rows = made(
        "__app_release_candidate_queues",
        app_release_applications=[worker],
        app_release_temporal_address="127.0.0.1:7233",
        __app_release_systemd_candidates={"candidates": [tried]},
    )
    assert [row["name"] for row in rows] == ["greet-candidate-r2", "greet"]
    assert {row["candidate"] for row in rows} == {"release r2 of greeter"}
