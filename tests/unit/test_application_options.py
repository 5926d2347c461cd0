# SPDX-License-Identifier: GPL-3.0-or-later
"""An application is described in three roles, and normalised in one place: all say the same."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.module_utils._application import (
    CHOICES,
    DEFAULTS,
    PROCESS_DEFAULTS,
    PROGRAM,
)

ROLES = Path(__file__).resolve().parents[2] / "roles"
# What follows from the name of the application, or is the edge's.
DERIVED = {"name", "root", "group", "server_name"}


def options(role: str) -> dict[str, t.Any]:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    return t.cast("dict[str, t.Any]", specs[f"{role}_applications"]["options"])


@pytest.mark.parametrize("role", ["app_release", "systemd_worker"])
def test_the_roles_describe_applications_alike(role: str) -> None:
    assert options(role) == options("pm2_worker")


def test_the_description_has_the_options_and_defaults_that_are_used() -> None:
    described = options("pm2_worker")
    assert set(described) - DERIVED == set(DEFAULTS)
    for name, value in DEFAULTS.items():
        assert described[name].get("default", value) == value, name
        assert described[name].get("choices", []) == list(CHOICES.get(name, [])), name


def test_processes_have_the_options_of_both_runtimes() -> None:
    described = options("pm2_worker")["processes"]["options"]
    programs = {option for option, _step in PROGRAM.values()}
    used: dict[str, t.Any] = {**PROCESS_DEFAULTS["pm2"], **PROCESS_DEFAULTS["systemd"]}
    assert set(described) - {"name"} == set(used) | programs
    for name, value in used.items():
        assert described[name].get("default", value) == value, name
