# SPDX-License-Identifier: GPL-3.0-or-later
"""That modules do the same whatever the account that logs in has set."""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.module_utils._module import Module

MODULES = Path(__file__).resolve().parents[4] / "plugins" / "modules"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    before = os.umask(0o077), locale.setlocale(locale.LC_ALL)
    yield
    os.umask(before[0])
    locale.setlocale(locale.LC_ALL, before[1])


@pytest.mark.usefixtures("settings")
def test_neither_the_language_nor_the_umask_of_an_account_reaches_a_module(tmp_path: Path) -> None:
    with patch_module_args({}):
        module = Module(argument_spec={})
    assert module.run_command(["printenv", "LC_ALL"])[1] == "C.UTF-8\n"
    assert locale.setlocale(locale.LC_MESSAGES) in ("C.UTF-8", "C")
    (tmp_path / "new").touch()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


def test_every_module_begins_so() -> None:
    assert [path.name for path in MODULES.glob("*.py") if re.search(r"\bAnsibleModule\b", path.read_text())] == []
