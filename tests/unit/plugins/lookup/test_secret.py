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

import pytest

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


def test_a_relative_directory_lies_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a").write_text("known\n")
    templates = [
        "{{ lookup('durable.temporal.secret', 'a') }}",
        "{{ {'A': '@keyvault/a'} | durable.temporal.environment }}",
    ]
    expected = ["known", {"A": "known"}]
    where = {"inventory_dir": str(tmp_path)}
    assert render(*templates, secrets_directory="own", **where) == expected
    assert render(*templates, environ={"DURABLE_SECRETS_DIRECTORY": "own"}, **where) == expected
    (own,) = render("{{ lookup('durable.temporal.secret', 'a', directory='own') }}", **where)
    assert own == "known"


def test_nothing_is_kept_in_plays_that_change_no_secret(tmp_path: Path) -> None:
    found = render(
        "{{ lookup('durable.temporal.secret', 'a') | length }}",
        "{{ {'A': '@keyvault/Key'} | durable.temporal.environment | length }}",
        inventory_dir=str(tmp_path),
        secrets_generate_references=True,
        __secrets_kept=False,
    )
    assert found == [32, 1]
    assert list(tmp_path.iterdir()) == []


PREDICTS = """
- hosts: localhost
  gather_facts: false
  vars:
    __secrets_renewed: "{{ ['a'] }}"
  tasks:
    - ansible.builtin.assert:
        that: (lookup('durable.temporal.secret', item.name) == item.value) is sameas item.same
        quiet: true
      loop:
        - {name: a, value: known, same: SAME}
        - {name: b, value: other, same: true}
"""


@pytest.mark.parametrize("check", [True, False])
def test_check_mode_sees_other_values_in_place_of_those_that_would_be_renewed(tmp_path: Path, check: bool) -> None:
    for name, value in (("a", "known"), ("b", "other")):
        (tmp_path / name).write_text(value)
    (tmp_path / "play.yml").write_text(PREDICTS.replace("SAME", str(not check).lower()))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", "play.yml"]
    done = subprocess.run(
        [*command, *(["--check"] if check else [])],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "DURABLE_SECRETS_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "a").read_text() == "known"


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
    expected = {"A": "value of {{ base }}", "B": "db:value of {{ base }}@db", "C": "true"}
    *found, refused = render(
        "{{ environment | durable.temporal.environment }}",
        "{{ inner }}",
        "{{ 'text' | durable.temporal.environment }}",
        base=str(tmp_path),
        secrets_directory="{{ base }}",
        environment={"A": "@keyvault/Key", "B": "db:@keyvault/Key@db", "C": True, "D": None},
        inner="{{ environment | durable.temporal.environment }}",
    )
    assert found == [expected, expected]
    assert "environment: found str, expected a dictionary" in refused


def test_what_roles_write_holds_secrets_wherever_an_environment_is_declared(tmp_path: Path) -> None:
    (tmp_path / "Key").write_text("value of {{ base }}\n")
    declared = {
        "name": "app",
        "environment": {"OF_APPLICATION": "@keyvault/Key"},
        "processes": [{"name": "worker", "script": "worker.js", "environment": {"OF_PROCESS": "a @keyvault/Key"}}],
        "replay_command": ["replay"],
    }
    units = [
        {
            **declared,
            "runtime": "systemd",
            "processes": [{"name": "worker", "command": ["/usr/bin/node", "w.js"], "environment": {}}],
        }
    ]
    (ecosystems, replay, files, status) = render(
        # As the roles do: through another filter, and with what all processes get.
        "{{ declared | map('durable.temporal.pm2_ecosystem', base) | list }}",
        "{{ declared | durable.temporal.replay_environments(base) }}",
        "{{ units | durable.temporal.systemd_environments(base) }}",
        "{{ declared | durable.temporal.applications('status') }}",
        secrets_directory=str(tmp_path),
        declared=[declared],
        units=units,
        base={"OF_ALL": "@keyvault/Key"},
    )
    value = "value of {{ base }}"
    own = {name: text for name, text in ecosystems[0]["apps"][0]["env"].items() if name.startswith("OF_")}
    assert own == {"OF_ALL": value, "OF_APPLICATION": value, "OF_PROCESS": f"a {value}"}
    assert {**replay["app"], "NODE_ENV": ""} == {"OF_ALL": value, "OF_APPLICATION": value, "NODE_ENV": ""}
    assert [sorted(text.splitlines()) for text in files.values()] == [
        ['NODE_ENV="production"', f'OF_ALL="{value}"', f'OF_APPLICATION="{value}"']
    ]
    assert [application["name"] for application in status] == ["app"]


def test_only_what_writes_an_environment_asks_for_its_secrets(tmp_path: Path) -> None:
    declared = [{"name": "app", "environment": {"KEY": "@keyvault/Unknown"}, "processes": []}]
    views = ("full", "host", "release", "replay", "status")
    *found, refused = render(
        *(f"{{{{ declared | durable.temporal.applications('{view}') | length }}}}" for view in views),
        "{{ declared | durable.temporal.applications('pm2') }}",
        secrets_directory=str(tmp_path),
        declared=declared,
    )
    assert found == [1, 1, 1, 0, 1]
    assert "1 secret is not known to the provider generated:\n- Unknown" in refused


def test_the_filter_makes_nothing_up_unless_asked(tmp_path: Path) -> None:
    wanted = "{{ {'A': '@keyvault/X', 'B': '@keyvault/Y'} | durable.temporal.environment }}"
    (error,) = render(wanted, secrets_directory=str(tmp_path))
    assert "2 secrets are not known to the provider generated" in error
    (made,) = render(wanted, secrets_directory=str(tmp_path), secrets_generate_references=True)
    assert made == {"A": (tmp_path / "X").read_text().strip(), "B": (tmp_path / "Y").read_text().strip()}


def test_everything_that_cannot_be_resolved_is_told_in_a_sentence_each(tmp_path: Path) -> None:
    (tmp_path / "Known").write_text("canary\n")
    application = {
        "environment": {"A": "@keyvault/Known", "B": "@keyvault/No", "C": "db:@keyvault/No@db, @keyvault/Nor"},
        "processes": [{"args": "--key @keyvault/Known", "environment": {"D": "@KeyVault/Known"}}],
    }
    (found,) = render(
        "{{ {'application app': declared, 'x_environment': {'E': '@keyvault/Nor'}} | durable.temporal.unresolved_secrets }}",
        secrets_directory=str(tmp_path),
        declared=application,
    )
    assert [sentence.split(". ")[0] for sentence in found] == [
        "application app.processes[0].args refers to a secret, which only the values of an environment do; expected a value",
        "application app.processes[0].environment.D cannot be resolved",
        *(
            f"{place} refers to the {names} not known to the provider generated; expected what it has"
            for place, names in (
                ("application app.environment.B", "secret No, which is"),
                ("application app.environment.C", "secrets No, Nor, which are"),
                ("x_environment.E", "secret Nor, which is"),
            )
        ),
    ]
    assert "'@KeyVault/Known'" in found[1]
    assert "canary" not in str(found)


def test_a_file_that_everybody_reads_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "Known").write_text("canary\n")
    (found,) = render(
        "{{ {'host_ca_environment': {'A': '@keyvault/Known'}} | durable.temporal.unresolved_secrets }}",
        secrets_directory=str(tmp_path),
    )
    assert [sentence.split(";")[0] for sentence in found] == [
        "host_ca_environment.A refers to a secret, and everybody may read /etc/environment"
    ]


def test_a_provider_that_cannot_be_asked_is_told_of_once() -> None:
    environment = {"A": "@keyvault/X", "B": "@keyvault/Y"}
    (found,) = render(
        "{{ {'x_environment': declared} | durable.temporal.unresolved_secrets }}",
        secrets_provider="azure_keyvault",
        declared=environment,
    )
    assert len(found) == 1
    assert "keyvault_vault is not set" in found[0]


def test_check_mode_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("vm1 ansible_connection=local\n")
    text = "{{ lookup('durable.temporal.secret', 'a') | length == 32 }}"
    task = {"ansible.builtin.assert": {"that": "made"}, "vars": {"made": text}}
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "vm1", "gather_facts": False, "tasks": [task]}]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts", "play.yml"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}
    for more, there in ((["--check"], False), ([], True)):
        done = subprocess.run(
            [*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / ".secrets").exists() == there
