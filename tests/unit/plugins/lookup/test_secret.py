# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup and the filter, through the real template engine.

In processes of their own: Ansible's collection loader cannot be installed once the collection has been imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

COLLECTIONS = Path(__file__).resolve().parents[4] / ".local" / "collections"
RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
templates, variables = json.load(sys.stdin)
trusted = {k: trust_as_template(v) if isinstance(v, str) else v for k, v in variables.items()}
templar = Templar(loader=DataLoader(), variables=trusted)
results = []
for template in templates:
    try:
        results.append(templar.template(trust_as_template(template)))
    except Exception as error:
        results.append("error: " + str(error))
print(json.dumps(results))
"""


def render(*templates: str, environ: dict[str, str] | None = None, **variables: t.Any) -> list[t.Any]:
    """What each template becomes, or ``error: …``."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(COLLECTIONS)],
        input=json.dumps([templates, variables]),
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    result: list[t.Any] = json.loads(done.stdout)
    return result


def test_names_become_values_below_a_directory_that_is_a_template(tmp_path: Path) -> None:
    one, several = render(
        "{{ lookup('durable.temporal.secret', 'a') }}",
        "{{ query('durable.temporal.secret', 'b', 'a') }}",
        base=str(tmp_path),
        secrets_directory="{{ base }}/deep",
    )
    assert len(one) == 32
    assert several == [(tmp_path / "deep" / "b").read_text().strip(), one]


def test_the_default_directory_lies_beside_the_inventory(tmp_path: Path) -> None:
    (value,) = render("{{ lookup('durable.temporal.secret', 'a') }}", inventory_dir=str(tmp_path))
    assert (tmp_path / ".secrets" / "a").read_text().strip() == value


def test_the_environment_is_a_provider() -> None:
    value, error = render(
        "{{ lookup('durable.temporal.secret', 'a', provider='env') }}",
        "{{ query('durable.temporal.secret', 'a', 'b', 'c') }}",
        environ={"DURABLE_SECRET_A": "from {{ env }}"},
        secrets_provider="env",
    )
    assert value == "from {{ env }}"
    assert "DURABLE_SECRET_B" in error
    assert "DURABLE_SECRET_C" in error
    assert "from" not in error


def test_the_filter_reads_the_same_variables_and_its_values_are_no_templates(tmp_path: Path) -> None:
    (tmp_path / "Key").write_text("value of {{ base }}\n")
    expected = {"A": "value of {{ base }}", "B": ["plain", 5]}
    assert render(
        "{{ environment | durable.temporal.resolve_secrets }}",
        "{{ inner }}",
        base=str(tmp_path),
        secrets_directory="{{ base }}",
        environment={"A": "@keyvault/Key", "B": ["plain", 5]},
        inner="{{ environment | durable.temporal.resolve_secrets }}",
    ) == [expected, expected]


def test_the_filter_makes_nothing_up_unless_asked(tmp_path: Path) -> None:
    error, made, unknown = render(
        "{{ ['@keyvault/X', '@keyvault/Y'] | durable.temporal.resolve_secrets }}",
        "{{ ['@keyvault/X', '@keyvault/Y'] | durable.temporal.resolve_secrets(generate=true) }}",
        "{{ {} | durable.temporal.resolve_secrets(lenght=3) }}",
        secrets_directory=str(tmp_path),
    )
    assert "2 secrets are not known to the provider generated" in error
    assert len(made) == 2
    assert (tmp_path / "X").exists()
    assert "takes provider, directory and generate; found lenght" in unknown
