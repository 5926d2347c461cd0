# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks and what is written about them: each begins with its check, and what people copy arrives whole."""

from __future__ import annotations

import re
import shlex
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.splitter import parse_kv
from ansible_collections.durable.temporal.plugins.modules import starter
from ansible_collections.durable.temporal.plugins.modules import verb as documented
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_roles import read_specs
from ansible_collections.durable.temporal.plugins.plugin_utils._verb import FILLED_IN, VERBS

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
SPECS = read_specs()
# Works on no host, and its module checks what it is asked for.
OWN_CHECK = ("init",)
# Written by people for people; the reference is generated, and history is history.
WRITTEN = re.compile(
    r"^(README\.md|docs/(?!reference/).*\.md|examples/.*\.md|playbooks/.*\.yml|inventories/.*\.yml|[a-z]+\.yml)$"
)
# What comes after -e in a line: a text in quotes, which may hold the other kind, or a word.
GIVEN = re.compile(r"""(?<![\w-])(?:-e|--extra-vars) ("(?:[^"\\]|\\.)*"|'[^']*'|[^\s`|]+)""")


def first(playbook: str) -> dict[str, t.Any]:
    plays: list[dict[str, t.Any]] = yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text())
    return plays[0]


@pytest.mark.parametrize(
    "playbook", sorted(p.stem for p in PLAYBOOKS.glob("*.yml") if p.stem not in ("verb", *OWN_CHECK))
)
def test_every_playbook_begins_with_its_check(playbook: str) -> None:
    play = first(playbook)
    assert play["ansible.builtin.import_playbook"] in ("verb.yml", "deploy.yml")
    assert play["vars"]["__verb_name"] == playbook
    assert playbook in VERBS


def test_the_check_runs_with_any_tags_and_without_hosts() -> None:
    play = first("verb")
    assert (play["hosts"], play["tags"]) == ("all:localhost", "always")


def later(playbook: str) -> list[dict[str, t.Any]]:
    plays: list[dict[str, t.Any]] = yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text())
    return [play for play in plays if "hosts" in play]


@pytest.mark.parametrize("playbook", ["deploy", "rotate", "status", "remove"])
def test_no_play_runs_when_the_check_was_left_out(playbook: str) -> None:
    assert {play.get("environment") for play in later(playbook)} == {"{{ __topology_checked }}"}


@pytest.mark.parametrize("playbook", sorted(p.stem for p in PLAYBOOKS.glob("*.yml")))
def test_the_hosts_of_a_play_go_together(playbook: str) -> None:
    # With another strategy, which may be set for the user's own plays, one host would be judged before the others are.
    assert [play["name"] for play in later(playbook) if play.get("strategy") != "ansible.builtin.linear"] == []


def test_the_names_of_what_playbooks_fill_in_are_known() -> None:
    plays = [play for playbook in VERBS for play in later(playbook)]
    given = {name for play in plays for name in play.get("vars", {}) if not name.startswith("__")}
    assert given | {"app_release_release"} == set(FILLED_IN)
    (rollback,) = yaml.safe_load((PLAYBOOKS / "rollback.yml").read_text())
    # A deployment takes the last one from the inventory.
    assert set(rollback["vars"]) - {"__verb_name", "app_release_replay"} <= set(FILLED_IN)


def test_the_options_of_every_playbook_are_specified_and_prefixed() -> None:
    assert set(SPECS["verb"]) == set(VERBS)
    for verb, spec in SPECS["verb"].items():
        assert [name for name in spec if not name.startswith(f"{verb}_")] == []
        assert [name for name, option in spec.items() if not option.get("description") or not option.get("type")] == []
    assert yaml.safe_load(documented.DOCUMENTATION)["options"]["name"]["choices"] == list(VERBS)


def test_what_is_not_said_of_hosts_at_a_time_is_what_the_role_says() -> None:
    plays = yaml.safe_load((PLAYBOOKS / "deploy.yml").read_text())
    (serial,) = [play["serial"] for play in plays if "serial" in play]
    default = re.search(r"app_release_serial \| default\((\d+)\)", serial)
    assert default
    assert int(default[1]) == SPECS["app_release"]["main"]["app_release_serial"]["default"]


def pieces() -> list[tuple[str, str]]:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [
        (name, match[1])
        for name in files
        if WRITTEN.match(name)
        for match in GIVEN.finditer((ROOT / name).read_text(encoding="utf-8"))
    ]


def test_there_are_examples_of_variables() -> None:
    assert len(pieces()) > 10


@pytest.mark.parametrize(("file", "given"), pieces())
def test_a_variable_as_it_is_written_arrives_whole(file: str, given: str) -> None:
    # What a reader puts in the place of dots has blanks.
    (argument,) = shlex.split(given.replace("…", "second build") if "[…]" not in given else given)
    if argument[:1] in ("{", "@"):
        return
    found = parse_kv(argument)
    assert "_raw_params" not in found, f"{file}: Ansible cuts {argument}"
    if "…" in given:
        assert list(found.values()) == ["second build"]
    known = {name for entries in SPECS.values() for spec in entries.values() for name in spec}
    known |= {f"init_{name}" for name in yaml.safe_load(starter.DOCUMENTATION)["options"]}
    assert set(found) <= known, f"{file}: no option has this name"
