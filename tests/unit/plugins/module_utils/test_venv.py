# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages are found in the interpreter, in a virtual environment of the same Python, or by another interpreter."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _venv

SAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def make(venv: Path, python: str, package: str) -> Path:
    site = venv / "lib" / python / "site-packages"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("")
    (venv / "bin").mkdir()
    (venv / "bin" / "python3").write_text("")
    return site


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_what_the_interpreter_has_is_taken() -> None:
    assert _venv.provide(["no_such_package", "json"], "/nonexistent") == "json"


def test_a_venv_of_the_same_python_goes_on_the_path(tmp_path: Path) -> None:
    site = make(tmp_path, SAME, "only_in_venv_a")
    assert _venv.provide(["only_in_venv_a"], str(tmp_path)) == "only_in_venv_a"
    assert sys.path[1] == str(site)


def test_with_a_venv_of_another_python_the_module_runs_again(tmp_path: Path) -> None:
    make(tmp_path, "python3.99", "only_in_venv_b")
    with mock.patch.object(_venv, "respawn_module", side_effect=SystemExit) as respawn, pytest.raises(SystemExit):
        _venv.provide(["only_in_venv_b"], str(tmp_path))
    respawn.assert_called_once_with(str(tmp_path / "bin" / "python3"))


def test_it_runs_again_once_only(tmp_path: Path) -> None:
    make(tmp_path, "python3.99", "only_in_venv_c")
    with mock.patch.object(_venv, "has_respawned", return_value=True):
        assert _venv.provide(["only_in_venv_c"], str(tmp_path)) is None


def test_options_that_would_block_the_pipe_are_not_handed_over(tmp_path: Path) -> None:
    make(tmp_path, "python3.99", "only_in_venv_d")
    with mock.patch("ansible.module_utils.basic._ANSIBLE_ARGS", b"x" * 70_000):
        assert _venv.provide(["only_in_venv_d"], str(tmp_path)) is None


def test_without_the_package_there_is_none(tmp_path: Path) -> None:
    make(tmp_path, "python3.99", "something_else")
    assert _venv.provide(["only_in_venv_e"], str(tmp_path)) is None
