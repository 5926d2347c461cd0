# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable that a message or a page tells somebody to set is one that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/runbooks/*.md",
        "examples/*/README.md",
        "playbooks/**/*.md",
    )
    for path in ROOT.glob(pattern)
)
# A group, a database, and a lookup: no variables.
OTHERS = {"temporal_ui", "temporal_visibility", "keyvault_secret"}
SPECS = sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))
# Documentation, which names modules, databases and more, is no message.
DOCUMENTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def options() -> set[str]:
    """Every option of a role and of a playbook, what the wiring defines, and every variable of a lookup."""
    found: set[str] = set()
    for spec in SPECS:
        for entry in yaml.safe_load(spec.read_text())["argument_specs"].values():
            found.update(entry.get("options", {}))
            for option in entry.get("options", {}).values():
                found.update(option.get("options", {}))
    for defaults in (ROOT / "roles").glob("*/defaults/main.yml"):
        found.update(yaml.safe_load(defaults.read_text()))
    for plugin in PLUGINS:
        found.update(re.findall(r"^ +- name: (\w+)$", plugin.read_text(), re.MULTILINE))
    found.update(re.findall(r"\binit_\w+", (ROOT / "playbooks" / "init.yml").read_text()))
    return found | set(_secrets.SPEC)


KNOWN = options()
# Roles, playbooks and lookups: what their variables begin with.
PREFIXES = (
    "app_release|deploy|docker|host|init|keyvault|nginx|pm2_worker|postgres|preflight|removal|remove|rollback|rotate|secrets|"
    "status|systemd_worker|temporal|topology"
)
VARIABLE = re.compile(rf"(?<![\w.:/{{-])(?:{PREFIXES})_[a-z0-9_]+\b")


def messages(tree: ast.Module) -> Iterator[str]:
    """The texts of a program that people read: with a blank in them, and no documentation."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id in DOCUMENTS for t in node.targets):
            skipped.update(id(each) for each in ast.walk(node))
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            skipped.add(id(body[0].value))  # a docstring
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in skipped else None
        if isinstance(text, str) and " " in text.strip():
            yield text


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.stem)
def test_variables_that_messages_name_exist(plugin: Path) -> None:
    named = {name for text in messages(ast.parse(plugin.read_text())) for name in VARIABLE.findall(text)}
    assert named - OTHERS <= KNOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_that_pages_name_exist(page: Path) -> None:
    named = {name for text in re.findall(r"`([^`\n]+)`", page.read_text()) for name in VARIABLE.findall(text)}
    assert named - OTHERS <= KNOWN
