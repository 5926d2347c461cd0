# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of the playbook init: what it says, and when it writes."""

from __future__ import annotations

import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.durable.temporal.plugins.action.starter import ActionModule

Json = dict[str, t.Any]


def run(directory: Path | str, variables: Json | None = None, check_mode: bool = False, **arguments: t.Any) -> Json:
    loader = DataLoader()
    task = mock.MagicMock(
        args={"directory": str(directory), **arguments}, async_val=0, check_mode=check_mode, diff=True
    )
    made = ActionModule(task, mock.MagicMock(), mock.MagicMock(), loader, Templar(loader), None)
    result: Json = made.run(task_vars=variables or {})
    return result


def test_check_mode_writes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    place = tmp_path / "new"
    would = run(place, check_mode=True)
    assert not place.exists()
    done = run(place)
    assert would["created"] == done["created"]
    assert [d["after_header"] for d in done["diff"]] == done["created"]
    assert sorted(done["created"]) == sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
    assert done["changed"] is True
    again = run(place)
    assert (again["changed"], again["created"], again["unchanged"]) == (False, [], done["created"])


def test_without_a_directory_it_is_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(".")["directory"] == str(tmp_path)
    assert (tmp_path / "site.yml").exists()


def test_files_that_differ_are_listed_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("mine\n")
    (tmp_path / "README.md").write_text("mine\n")
    with pytest.raises(AnsibleActionFail) as raised:
        run(tmp_path)
    for part in (f"init_directory is {tmp_path}", "\n  site.yml\n", "\n  README.md\n", "Nothing was written."):
        assert part in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "site.yml"]


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (
            {},
            {"init_topolgy": "production"},
            "init_topolgy is not an input of this playbook; expected some of init_directory,",
        ),
        ({"topology": "many"}, {}, "init_topology is 'many'"),
        ({"hosts": "a,b"}, {}, "init_hosts is 'a,b'"),
        ({"directory": ""}, {}, "init_directory is empty"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Json, variables: Json, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnsibleActionFail) as raised:
        run(**{"directory": tmp_path, "variables": variables, **arguments})
    assert str(raised.value).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="where files differ"):
        run(tmp_path / "file")
