# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a file where YAML makes something else of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._written import Place, place_of, written_after


def load(tmp_path: Path, text: str) -> dict[str, object]:
    file = tmp_path / "main.yml"
    file.write_text(text)
    # As a variable of a host is: read from a file, and rendered.
    loader = DataLoader()
    variables = {"declared": loader.load_from_file(str(file))}
    found: dict[str, object] = Templar(loader, variables=variables).template(trust_as_template("{{ declared }}"))
    return found


@pytest.mark.parametrize("form", ["KEY: {}\n", "KEY:   {}   # why\n", "{{KEY: {}, OTHER: x}}\n", '"KEY": {}\n'])
@pytest.mark.parametrize("written", ["0640", "22:00", "1.10", "NO", "yes", "True", "1_000", "0x1F", "+5", "1e3", ".5"])
def test_what_would_arrive_as_something_else_is_told(tmp_path: Path, form: str, written: str) -> None:
    ((name, value), *_others) = load(tmp_path, form.format(written)).items()
    assert written_after(name) == written
    told = kinds.misfit_of_variable(name, value)
    if isinstance(value, str):  # as YAML of Ansible reads 1e3
        assert told is None
    else:
        assert told is not None
        assert told[0].endswith("that YAML reads otherwise than it is written")
        assert written not in " ".join(told)


@pytest.mark.parametrize(
    "text",
    [
        "KEY: 3000",
        "KEY: -5",
        "KEY: 0.5",
        "KEY: true",
        "KEY: false",
        "KEY: '0640'",
        'KEY: "NO"',
        "KEY: 22:00:00x",
        "KEY: &port 3000",
        "KEY:\n  3000",
        "{KEY: 3000, OTHER: 1}",
        "KEY: 640 # 0640",
    ],
)
def test_what_arrives_as_it_is_written_is_not_told(tmp_path: Path, text: str) -> None:
    ((name, value), *_others) = load(tmp_path, text + "\n").items()
    assert kinds.misfit_of_variable(name, value) is None


@pytest.mark.parametrize("value", [3000, 1.1, True, False, "0640"])
def test_what_no_file_holds_is_taken_as_it_is(value: object) -> None:
    assert kinds.misfit_of_variable("KEY", value) is None


def test_a_place_is_known(tmp_path: Path) -> None:
    ((name, _value),) = load(tmp_path, "# one\n  KEY: 1\n").items()
    assert place_of(name) == Place(str(tmp_path / "main.yml"), 2, 3)
    assert place_of("KEY") is None
