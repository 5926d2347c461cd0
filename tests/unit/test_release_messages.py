# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment and a rollback say at their end, as the role's variables make it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[2] / "roles" / "app_release"
MOVED = {"name": "greeter", "live": "r1", "outcome": "greeter: release r1 is live; before it r2 was\n  To go back: …"}


def told(release: str, *applications: dict[str, str], live: str = "r1") -> str:
    loader = DataLoader()
    variables: dict[str, t.Any] = {
        **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
        "app_release_applications": list(applications),
        "app_release_release": release,
        "__app_release_prepared": {"applications": [{**MOVED, "live": live}]},
    }
    text: str = Templar(loader, variables=variables).template(trust_as_template("{{ __app_release_told }}"))
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
