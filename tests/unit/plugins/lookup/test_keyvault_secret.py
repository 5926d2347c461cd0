# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup, the provider and the references in real runs of ansible-playbook, counted at the double."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.doc_fragments.keyvault import ModuleDocFragment
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import SPEC, Settings
from vault_double import Double

COLLECTIONS = Path(__file__).resolve().parents[4] / ".local" / "collections"
VALUE = "value-that-nobody-may-see-"
NAMES = ["one", "two", "three", "CosmosDbKey"]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    with Double(tmp_path / "double") as running:
        for name in NAMES:
            running.services.put(name, VALUE + name)
        yield running


class Runs:
    """Starts ansible-playbook with 5 forks on 3 hosts that need no connection."""

    def __init__(self, double: Double, folder: Path) -> None:
        self.double = double
        self.folder = folder
        self.temporary = folder / "temporary"
        self.variables: dict[str, Any] = {
            "keyvault_vault": double.services.vault,
            "keyvault_auth_method": "managed_identity",
            "keyvault_proxy": "{{ place }}",
            "place": double.proxy,
            "keyvault_ca_certificate": str(double.ca_file),
            "keyvault_timeout": 20,
            "ansible_python_interpreter": sys.executable,
        }

    def start(self, tasks: list[dict[str, Any]], **variables: Any) -> subprocess.Popen[str]:
        play = [{"hosts": "all", "gather_facts": False, "vars": {**self.variables, **variables}, "tasks": tasks}]
        (self.folder / "ansible.cfg").touch()
        playbook = self.folder / "play.yml"
        playbook.write_text(json.dumps(play))
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "ANSIBLE_", "DURABLE_"))}
        return subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", "a,b,c,", "-c", "local", "-f", "5", "-vvv", str(playbook)),
            ],
            env={
                **environ,
                "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.double.proxy,
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_LOCAL_TEMP": str(self.temporary),
                "ANSIBLE_NOCOLOR": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, tasks: list[dict[str, Any]], **variables: Any) -> tuple[int, str]:
        process = self.start(tasks, **variables)
        output, _none = process.communicate(timeout=120)
        assert VALUE not in output
        assert "Traceback" not in output
        return process.returncode, output


@pytest.fixture
def runs(double: Double, tmp_path: Path) -> Runs:
    return Runs(double, tmp_path)


def check(template: str, expected: Any, **more: Any) -> dict[str, Any]:
    """A task that fails when a template does not give this."""
    return {
        "ansible.builtin.assert": {"that": ["found == expected"]},
        "vars": {"found": template, "expected": expected},
        "no_log": True,
        **more,
    }


def test_each_secret_is_asked_for_once_over_three_hosts_and_five_forks(runs: Runs) -> None:
    environment = {"KEY": "@keyvault/CosmosDbKey", "ONE": "@Microsoft.KeyVault(VaultName=durable-local;SecretName=one)"}
    tasks = [
        check("{{ lookup('durable.temporal.keyvault_secret', 'one') }}", VALUE + "one"),
        check("{{ query('durable.temporal.keyvault_secret', 'two', 'one') }}", [VALUE + "two", VALUE + "one"]),
        check("{{ lookup('durable.temporal.secret', 'three') }}", VALUE + "three"),
        check(
            "{{ environment_ | durable.temporal.environment }}",
            {"KEY": VALUE + "CosmosDbKey", "ONE": VALUE + "one"},
            vars={
                "found": "{{ environment_ | durable.temporal.environment }}",
                "expected": {"KEY": VALUE + "CosmosDbKey", "ONE": VALUE + "one"},
                "environment_": environment,
            },
        ),
        check("{{ lookup('durable.temporal.secret', 'one') }}", VALUE + "one", loop=[1, 2]),
        # What the vault does not have is generated, and the vault is asked for it once as well.
        check("{{ lookup('durable.temporal.secret', 'made-up') | length }}", 32),
        check("{{ lookup('durable.temporal.secret', 'made-up') | length }}", 32),
    ]
    code, output = runs.run(
        tasks, secrets_provider=["azure_keyvault", "generated"], secrets_directory=str(runs.folder / "made")
    )
    assert code == 0, output
    assert runs.double.services.summary() == {
        "reads": dict.fromkeys([*NAMES, "made-up"], 1),
        "tokens": 1,
        "requests": len(NAMES) + 2,
        "without_token": 0,
    }
    assert [p.name for p in (runs.folder / "made").iterdir() if not p.name.startswith(".")] == ["made-up"]
    assert list(runs.temporary.iterdir()) == [], "nothing is left of the run"


def test_what_is_missing_is_told_together_and_may_be_done_without(runs: Runs) -> None:
    tasks = [
        check("{{ query('durable.temporal.keyvault_secret', 'one', 'no', default='-') }}", [VALUE + "one", "-"]),
        check("{{ query('durable.temporal.keyvault_secret', 'no', 'two', on_missing='skip') }}", [VALUE + "two"]),
        check("{{ query('durable.temporal.keyvault_secret', 'no_1', on_missing='warn') }}", []),
        {
            "ansible.builtin.debug": {
                "msg": "{{ query('durable.temporal.keyvault_secret', 'one', 'no', 'nor_this/1') }}"
            }
        },
    ]
    code, output = runs.run(tasks)
    assert code == 2, output
    assert "1 secret is not in the vault:\n- no_1: store it in durable-local.vault.azure.net as no-1" in output
    assert "2 secrets are not in the vault" in output
    assert "--name nor-this --file" in output
    assert runs.double.services.summary()["reads"]["no"] == 1


def test_references_that_are_missing_are_told_together(runs: Runs) -> None:
    environment = {"A": "@keyvault/No", "B": "@keyvault/CosmosDbKey", "C": "@keyvault/Nor/1"}
    tasks = [{"ansible.builtin.debug": {"msg": "{{ given | durable.temporal.environment }}"}}]
    code, output = runs.run(tasks, secrets_provider="azure_keyvault", given=environment)
    assert code == 2, output
    assert "2 secrets are not known to the provider azure_keyvault" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_cut_off_leaves_nothing_that_can_be_read(runs: Runs, number: signal.Signals) -> None:
    gate, waiting = runs.folder / "gate", runs.folder / "waiting"
    tasks = [
        check("{{ lookup('durable.temporal.keyvault_secret', 'one') }}", VALUE + "one"),
        {"ansible.builtin.shell": f"touch {waiting}; for n in $(seq 600); do [ -e {gate} ] && exit; sleep 0.1; done"},
    ]
    process = runs.start(tasks)
    assert process.stdout is not None
    for line in iter(process.stdout.readline, ""):
        if "TASK [ansible.builtin.shell]" in line:
            break
    # Its title is not enough: what the worker writes into the run's directory before would meet the cleaning up.
    deadline = time.monotonic() + 60
    while not waiting.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline, "the second task never began"
        time.sleep(0.02)
    (run,) = runs.temporary.iterdir()
    kept = list((run / "durable-secrets").iterdir())
    assert kept
    os.killpg(process.pid, number)
    gate.touch()  # what the workers have started has sessions of its own, and ends by itself
    process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert list(runs.temporary.iterdir()) == []
        return
    for file in (run / "durable-secrets").glob("*"):
        assert VALUE.encode() not in file.read_bytes()
    code, output = runs.run(tasks[:1])
    assert code == 0, output
    assert runs.double.services.summary()["reads"] == {"one": 2}, "another run cannot use it"
    assert not (run / "durable-secrets").exists(), "and removes it"


# Where options come from

ASK = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import from_variables
variables, given = json.load(sys.stdin)
try:
    settings = from_variables(variables, given)
    print(json.dumps({name: getattr(settings, name) for name in settings.__dataclass_fields__}))
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def settings(
    configuration: Path, variables: Mapping[str, Any], given: Mapping[str, Any], environ: Mapping[str, str]
) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(COLLECTIONS)],
        input=json.dumps([variables, given]),
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "ANSIBLE_", "DURABLE_"))},
            "ANSIBLE_CONFIG": str(configuration),
            **environ,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_an_option_is_taken_from_the_first_place_that_has_it(tmp_path: Path) -> None:
    configuration = tmp_path / "ansible.cfg"
    configuration.write_text(
        "[durable_keyvault]\n" + "".join(f"{n} = 1\n" for n in ("vault", "client_id", "tenant_id"))
    )
    configuration.write_text(configuration.read_text() + "client_certificate = /1\ntimeout = 1\n")
    environ = {
        "AZURE_CLIENT_ID": "azure",
        "DURABLE_KEYVAULT_CLIENT_ID": "environ",
        "AZURE_TENANT_ID": "azure",
        "DURABLE_KEYVAULT_VAULT": "environ",
        "DURABLE_KEYVAULT_TIMEOUT": "2.5",
    }
    found = settings(
        configuration, {"keyvault_vault": "variable", "keyvault_timeout": "3"}, {"vault": "given"}, environ
    )
    assert found["vault"] == "given"
    assert found["timeout"] == 3
    assert found["client_id"] == "environ"
    assert found["tenant_id"] == "azure"
    assert found["client_certificate"] == "/1"
    defaults = {each.name: each.default for each in fields(Settings)}
    configuration.write_text("")
    assert settings(configuration, {}, {}, {}) == defaults
    assert "auth_method" in settings(configuration, {"keyvault_auth_method": "magic"}, {}, {})
    assert settings(configuration, {"keyvault_timeout": "soon"}, {}, {}).startswith("SecretError")


def test_options_variables_and_their_documentation_are_the_same() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(documented) == [each.name for each in fields(Settings)]
    for each in fields(Settings):
        option, spec = documented[each.name], SPEC[f"keyvault_{each.name}"]
        assert [v["name"] for v in option["vars"]] == [f"keyvault_{each.name}"]
        assert option["env"][-1] == {"name": f"DURABLE_KEYVAULT_{each.name.upper()}"}
        assert option["ini"] == [{"section": "durable_keyvault", "key": each.name}]
        assert option.get("default", "") == each.default
        assert spec["type"] == option["type"].replace("path", "str")
        assert spec.get("choices") == option.get("choices")
        assert spec.get("no_log", False) == (
            each.name in ("client_secret", "client_certificate_password", "oidc_token")
        )


def test_the_module_fills_a_vault_once_and_shows_names_only(runs: Runs) -> None:
    fill = {
        "durable.temporal.keyvault_secret": {
            "secrets": [{"name": "one"}, {"name": "made"}, {"name": "given", "value": VALUE + "given"}]
        },
        "run_once": True,
        "diff": True,
    }
    code, output = runs.run(
        [
            {**fill, "check_mode": True, "register": "first"},
            {**fill, "register": "second"},
            {**fill, "register": "third"},
            check("{{ [first, second, third] | map(attribute='changed') }}", [True, True, False], run_once=True),
            check("{{ first.created + third.present }}", ["made", "given", "one", "made", "given"], run_once=True),
            check("{{ lookup('durable.temporal.keyvault_secret', 'given') }}", VALUE + "given"),
        ]
    )
    assert code == 0, output
    assert "+made" in output
    assert runs.double.services.secrets["made"][0].value not in output
    kept = {name: len(versions) for name, versions in runs.double.services.secrets.items()}
    assert kept == {**dict.fromkeys(NAMES, 1), "made": 1, "given": 1}
