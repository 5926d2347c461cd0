# SPDX-License-Identifier: GPL-3.0-or-later
"""Renewing and settling, as a playbook asks for it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.durable.temporal.plugins.action.secret_renewal import ActionModule

KNOWN = ["database", "superuser"]


def ask(directory: Path, state: str, *names: str, check: bool = False, **variables: t.Any) -> dict[str, t.Any]:
    task = mock.MagicMock(args={"names": list(names), "known": KNOWN, "state": state}, async_val=0, check_mode=check)
    templar = mock.MagicMock(template=lambda value: value)
    made = ActionModule(task, mock.MagicMock(), mock.MagicMock(), DataLoader(), templar, None)
    with mock.patch.object(ActionModule, "_remove_tmp_path"):
        return made.run(task_vars={"secrets_directory": str(directory), **variables})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in KNOWN:
        (tmp_path / name).write_text(f"canary-{name}")
    return tmp_path


def held(directory: Path) -> dict[str, str]:
    return {name: (directory / name).read_text() for name in KNOWN}


def test_a_value_is_renewed_once_until_it_is_settled(directory: Path) -> None:
    before = held(directory)
    predicted = ask(directory, "renewed", "database", check=True)
    assert held(directory) == before
    first = ask(directory, "renewed", "database")
    renewed = held(directory)
    assert (renewed["database"] != before["database"], renewed["superuser"]) == (True, before["superuser"])
    for result in (predicted, first):
        assert (result["changed"], result["names"], result["unfinished"]) == (True, ["database"], [])
        assert "canary" not in json.dumps(result)
    again = ask(directory, "renewed", "database")
    assert (again["changed"], again["unfinished"]) == (False, ["database"])
    assert held(directory) == renewed
    assert ask(directory, "settled", *KNOWN, check=True)["names"] == ["database"]
    assert ask(directory, "settled", *KNOWN)["names"] == ["database"]
    assert not ask(directory, "settled", *KNOWN)["changed"]
    assert ask(directory, "renewed", "database")["changed"]


def test_check_mode_settles_what_it_has_told_to_be_renewed(directory: Path) -> None:
    told = {"__secrets_renewed": ask(directory, "renewed", "database", check=True)["names"]}
    assert ask(directory, "settled", *KNOWN, check=True, **told)["names"] == ["database"]
    assert ask(directory, "settled", *KNOWN, **told)["names"] == []
    # One renewal that has begun before is no other one.
    ask(directory, "renewed", "database")
    assert ask(directory, "settled", *KNOWN, check=True, **told)["names"] == ["database"]


def test_a_name_that_is_not_ours_is_refused_with_those_that_are(directory: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="datbase; expected one of database, superuser"):
        ask(directory, "renewed", "datbase")


def test_a_provider_without_values_of_its_own_refuses_to_renew_and_has_nothing_to_settle(directory: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="set the environment variable DURABLE_SECRET_DATABASE"):
        ask(directory, "renewed", "database", secrets_provider=["env"])
    assert not ask(directory, "settled", *KNOWN, secrets_provider=["env"])["changed"]
