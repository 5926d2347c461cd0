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


REJECTED = {"name": "greeter", "release": "r1", "live": "r1", "switched": False}


def check(component: str, name: str, found: str) -> dict[str, str]:
    return {"component": component, "name": name, "found": found, "status": "failed" if found[0] == "0" else "healthy"}


def test_what_could_not_go_back_is_told_with_what_runs_of_it() -> None:
    seen = [
        check("greeter", "process api", "0 online, 2 restarts, release none"),
        check("other", "process api", "1 online, 0 restarts, release r9"),
        check("greeter", "http://127.0.0.1:3000/health", "refused"),
    ]
    units = [check("greeter", "process worker", "1 active, 0 restarts, release r1")]
    text = made(
        "__app_release_outcome",
        app_release_release="",
        __app_release_back={"applications": [REJECTED, {**REJECTED, "name": "b", "live": "r0", "switched": True}]},
        __app_release_pm2_seen={"checks": seen},
        __app_release_systemd_seen={"checks": units},
    )
    assert " ".join(text.split()) == (
        "greeter: release r1 was rejected; there is no earlier release to go back to, so it is still the live one. What of it "
        "runs: api 0 online, 2 restarts, release none; worker 1 active, 0 restarts, release r1. Deploy a release that works, "
        "or this one again when the cause lay elsewhere. b: release r1 was rejected; release r0 is live again."
    )
    blind = made("__app_release_outcome", app_release_release="", __app_release_back={"applications": [REJECTED]})
    assert "What of it runs: nothing that could be seen. Deploy" in blind
    assert made("__app_release_stuck", __app_release_back={"applications": [REJECTED]}) == ["greeter"]


@pytest.mark.parametrize(
    "known",
    [
        {"__app_release_left": {"live": {"greeter": "r1", "other": ""}}},
        {"__app_release_left": {"skipped": True}, "__app_release_prepared": {"live": {"greeter": "r1", "other": ""}}},
    ],
    ids=["settled", "nothing to settle"],
)
@pytest.mark.parametrize("name", ["__app_release_outcome", "__app_release_untouched"])
def test_a_host_on_which_nothing_was_switched_says_what_is_live(name: str, known: dict[str, t.Any]) -> None:
    text = made(name, app_release_release="", __app_release_back={}, **known).strip()
    assert text.startswith("Nothing was switched")
    assert text.endswith(". greeter: release r1 is live. other: no release is live.")


def test_a_live_release_that_does_not_run_is_told() -> None:
    seen = [
        check("greeter", "process api", "0 online, 0 restarts, release none"),
        check("greeter", "process worker", "2 online, 0 restarts, release r1"),
        check("other", "process api", "1 online, 0 restarts, release r9"),
    ]
    text = made(
        "__app_release_untouched",
        __app_release_left={"live": {"greeter": "r1", "other": "r9"}},
        __app_release_pm2_seen={"checks": seen},
        __app_release_systemd_seen={"skipped": True},
    )
    assert " ".join(text.split()).endswith(
        "greeter: release r1 is live, and does not run: api 0 online, 0 restarts, release none. other: release r9 is live."
    )


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


def test_npm_has_the_secrets_of_each_application_and_going_back_needs_none(tmp_path: Path) -> None:
    (tmp_path / "Known").write_text("canary\n")
    declared = [
        {"name": "orders", "npm_environment": {"NPM_TOKEN": "@keyvault/Known", "LEVEL": 1, "GONE": None}},
        {"name": "shop", "npm_environment": None},
        {"name": "bills"},
    ]
    given = {"app_release_applications": declared, "secrets_provider": "generated", "secrets_directory": str(tmp_path)}
    deployed = made("__app_release_npm_environments", **given, app_release_release="")
    assert deployed == {"orders": {"NPM_TOKEN": "canary", "LEVEL": "1"}, "shop": {}, "bills": {}}
    (tmp_path / "Known").unlink()
    (sentence,) = made("__app_release_unresolved", **given, app_release_release="")
    assert sentence.startswith(
        "application orders.npm_environment.NPM_TOKEN refers to the secret Known, which is not known"
    )
    back = {**given, "app_release_release": "previous"}
    assert made("__app_release_npm_environments", **back) == {"orders": {}, "shop": {}, "bills": {}}
    assert made("__app_release_unresolved", **back) == []
