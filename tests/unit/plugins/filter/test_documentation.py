# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page of a filter promises is what its code takes and gives."""

from __future__ import annotations

import importlib
import inspect
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
PAGES = sorted((PLUGINS / "filter").glob("*.yml"))
EMPTY: dict[str, t.Any] = {"dict": {}, "list": [], "str": ""}


def page(path: Path) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", yaml.safe_load(path.read_text(encoding="utf-8")))


def code(path: Path) -> t.Callable[..., t.Any]:
    module = importlib.import_module(f"ansible_collections.durable.temporal.plugins.filter.{path.stem}")
    (name, function), *others = module.FilterModule().filters().items()
    assert name == path.stem
    assert others == []
    return t.cast("t.Callable[..., t.Any]", function)


def parameters(path: Path) -> list[inspect.Parameter]:
    """Those that a caller gives: without the context of Jinja, without the value, without what collects unknown names."""
    function = code(path)
    found = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    return found[2 if hasattr(function, "jinja_pass_arg") else 1 :]


def test_every_filter_has_a_page() -> None:
    assert [p.stem for p in PAGES] == sorted(p.stem for p in (PLUGINS / "filter").glob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_options_are_the_parameters(path: Path) -> None:
    documented = page(path)["DOCUMENTATION"]
    options = {k: v for k, v in documented["options"].items() if k != "_input"}
    found = parameters(path)
    assert sorted(options) == sorted(p.name for p in found)
    for parameter in found:
        option = options[parameter.name]
        assert bool(option.get("required")) == (parameter.default is parameter.empty), parameter.name
        if not option.get("required"):
            code_default = parameter.default
            # An empty collection as a default would be shared by all calls.
            if code_default is None and "default" in option:
                code_default = EMPTY[option["type"]]
            assert option.get("default") == code_default, parameter.name


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_positions_are_those_of_the_code(path: Path) -> None:
    positional = page(path)["DOCUMENTATION"].get("positional") or []
    documented = [name.strip() for name in positional.split(",")] if isinstance(positional, str) else positional
    assert documented == [p.name for p in parameters(path) if p.kind is p.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_what_is_not_on_the_page_is_refused(path: Path) -> None:
    function = code(path)
    given = [None] * (2 if hasattr(function, "jinja_pass_arg") else 1)
    required = {p.name: None for p in parameters(path) if p.default is p.empty}
    with pytest.raises((TypeError, AnsibleFilterError), match="not_on_the_page"):
        function(*given, **required, not_on_the_page=1)


# View → module. What host_status takes is not checked by Ansible: it is in the words of its page only.
MODULES = {"release": "release", "replay": "replay", "pm2": "pm2", "systemd": "systemd_worker", "status": "host_status"}


def option_of(module: str) -> dict[str, t.Any]:
    """The option ``applications`` of a module, as its page has it."""
    documented = importlib.import_module(f"ansible_collections.durable.temporal.plugins.modules.{module}").DOCUMENTATION
    return t.cast("dict[str, t.Any]", yaml.safe_load(documented)["options"]["applications"])


@pytest.mark.parametrize(("view", "module"), MODULES.items())
def test_a_view_is_what_the_module_takes(view: str, module: str) -> None:
    described = page(PLUGINS / "filter" / "applications.yml")["DOCUMENTATION"]["options"]["view"]["description"]
    assert any(
        f"V({view})" in line and f"O(durable.temporal.{module}#module:applications)" in line for line in described
    )
    process = {"name": "worker", **({"command": ["worker"]} if view == "systemd" else {"script": "worker.js"})}
    runtime = "systemd" if view == "systemd" else "pm2"
    declared = {"name": "orders", "runtime": runtime, "replay_command": ["replay"], "processes": [process]}
    (given,) = code(PLUGINS / "filter" / "applications.yml")({}, [declared], view)
    takes = option_of(module)
    known = takes.get("suboptions") or {key: {} for key in re.findall(r"C\((\w+)\)", " ".join(takes["description"]))}
    assert sorted(set(given) - set(known)) == []
    assert sorted(k for k, option in known.items() if option.get("required") and k not in given) == []
