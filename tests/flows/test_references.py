# SPDX-License-Identifier: GPL-3.0-or-later
"""References to secrets: what processes get, what is told when one cannot be resolved, and where values lie.

scripts/up
pytest tests/flows/test_references.py --run-dir .local
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from play import play
from test_canaries import ONE, PATTERNS, SEARCHED, files_with, may_hold, names_in, told
from vm import Vm

OnVm = Callable[..., str]
# Whatever an env file, a shell, a unit or a template would change on the way.
AWKWARD = "canary-{{ 1 + 1 }}-$HOME-`id`-'\"\\%h#; end"
SECRETS = {
    "flow-of-all": "canary-of-all-processes",
    "flow-of-application": AWKWARD,
    "flow-of-process": "canary-of-one-process",
    "flow-of-ui": f"ui-{AWKWARD}",
}
EVERYWHERE = {"OF_ALL": "@keyvault/flow-of-all"}
OF_APPLICATION = {
    "OF_APPLICATION": "@keyvault/flow-of-application",
    "URL": "postgres://app:@keyvault/flow-of-all@db/app?x=@Microsoft.KeyVault(VaultName=v;SecretName=flow-of-process)",
}
DECLARED: dict[str, Any] = {
    "secrets_generate_references": False,
    "app_release_watch_seconds": 1,
    "app_release_environment": EVERYWHERE,
    "pm2_worker_environment": EVERYWHERE,
    "systemd_worker_environment": EVERYWHERE,
    "local_application_overrides": {
        "environment": "{{ local_application_environment | combine(flow_environment) }}",
        "processes": "{{ local_application.processes | map('combine', flow_process) | list }}",
    },
    "flow_environment": OF_APPLICATION,
    "flow_process": {"environment": {"HOST": "127.0.0.1", "PORT": "3000", "OF_PROCESS": "@keyvault/flow-of-process"}},
    "temporal_ui_environment": {"TEMPORAL_AUTH_CLIENT_SECRET": "@keyvault/flow-of-ui", "TEMPORAL_SHOW_X": True},
    "topology_applications": [
        "{{ local_application | combine(local_application_overrides) }}",
        "{{ flow_batch }}",
    ],
}
EXPECTED = {
    "OF_ALL": SECRETS["flow-of-all"],
    "OF_APPLICATION": AWKWARD,
    "URL": f"postgres://app:{SECRETS['flow-of-all']}@db/app?x={SECRETS['flow-of-process']}",
    "OF_PROCESS": SECRETS["flow-of-process"],
}
UNKNOWN = {
    **DECLARED,
    "flow_environment": {
        **OF_APPLICATION,
        "FIRST": "@keyvault/nobody-1",
        "SECOND": "postgres://app:@keyvault/nobody-2@db/app",
        "THIRD": "@KeyVault/flow-of-all",
    },
    "app_release_environment": {"FOURTH": "@keyvault/nobody-4"},
    "pm2_worker_environment": {"FIFTH": "@keyvault/nobody-5"},
    "temporal_ui_environment": {"SIXTH": "@keyvault:nobody-6"},
}
OF_DEPLOYMENT = ("'@KeyVault/flow-of-all'", "nobody-1", "nobody-2", "nobody-4")


@pytest.fixture(scope="module", autouse=True)
def secrets(run_dir: Path) -> Iterator[None]:
    for name, value in SECRETS.items():
        path = run_dir / "secrets" / name
        path.touch(0o600)
        path.write_text(value + "\n")
    yield
    for name in SECRETS:
        (run_dir / "secrets" / name).unlink()


@pytest.fixture(scope="module")
def vm(outputs: dict[str, str]) -> Vm:
    return Vm(outputs["vm"])


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An application that systemd runs."""
    artifact = tmp_path_factory.mktemp("batch") / "batch.tar.gz"
    program = b"#!/bin/sh\nexec sleep 86400\n"
    with tarfile.open(artifact, "w:gz") as package:
        member = tarfile.TarInfo("bin/worker")
        member.size, member.mode = len(program), 0o755
        package.addfile(member, io.BytesIO(program))
    process = {**DECLARED["flow_process"], "name": "worker", "command": ["bin/worker"], "notify": False}
    return {
        "flow_batch": {
            "name": "batch",
            "root": "/opt/batch/work",
            "user": "batch",
            "runtime": "systemd",
            "dependencies": "none",
            "artifact": str(artifact),
            "environment": "{{ flow_environment }}",
            "processes": [process],
        }
    }


def environment_of(on_vm: OnVm, pid: str) -> dict[str, str]:
    seen = on_vm(f"cat /proc/{pid}/environ")
    assert "@keyvault" not in seen.lower()
    found = dict(line.split("=", 1) for line in seen.split("\0") if "=" in line)
    # To the processes of a cluster, PM2 gives them in one.
    return {**found, **json.loads(found.get("pm2_env", "{}"))}


def test_site_names_every_secret_that_nobody_knows_and_changes_nothing(inventory: Path, batch: dict[str, Any]) -> None:
    run = play("site", inventory, extra={**UNKNOWN, **batch})
    assert run.rc != 0
    assert run.changed == []
    for name in (*OF_DEPLOYMENT, "nobody-5", "'@keyvault:nobody-6'"):
        assert name in run.failure
    # Once each, though several options have it from one another.
    assert len(re.findall("refers to the secret nobody-1,", run.failure)) == 2, "in each of the two applications"
    assert len(re.findall("refers to the secret nobody-4,", run.failure)) == 1
    assert "canary" not in run.output


def test_where_it_is_written_is_told(inventory: Path, batch: dict[str, Any], tmp_path: Path) -> None:
    variables = tmp_path / "mine.yml"
    variables.write_text('local_application_environment:\n  NODE_ENV: production\n  KEY: "@keyvault/nobody-1"\n')
    run = play("site", inventory, "-e", f"@{variables}", extra={"secrets_generate_references": False})
    assert run.rc != 0
    assert f"topology_applications[0].environment.KEY ({variables}:3) refers to the secret nobody-1" in run.failure


def test_a_deployment_names_them_before_anything_is_begun(inventory: Path, batch: dict[str, Any], on_vm: OnVm) -> None:
    log = on_vm("cat /opt/order-processing/workflow/shared/deploys.log")
    for playbook in ("deploy", "rollback"):
        run = play(playbook, inventory, extra={**UNKNOWN, **batch})
        assert run.rc != 0
        assert run.changed == []
        (failed,) = run.having("failed")
        assert "problems; nothing was changed." in failed.message
        for name in OF_DEPLOYMENT:
            assert name in failed.message
        assert "nobody-5" not in failed.message
        assert "canary" not in run.output
    assert on_vm("cat /opt/order-processing/workflow/shared/deploys.log") == log


def test_status_asks_for_no_secret_of_an_application(inventory: Path, batch: dict[str, Any]) -> None:
    only_ours = {**UNKNOWN, "topology_applications": UNKNOWN["topology_applications"][:1]}
    run = play("status", inventory, extra=only_ours)
    assert run.rc == 0, run.failure
    assert "nobody" not in run.output


def test_they_are_resolved_wherever_an_environment_is_declared(
    inventory: Path, batch: dict[str, Any], on_vm: OnVm
) -> None:
    for playbook in ("site", "deploy"):
        run = play(playbook, inventory, "--diff", extra={**DECLARED, **batch})
        assert run.rc == 0, run.failure
        assert not told(SECRETS, run.output.replace("\\\\", "\\").replace('\\"', '"'))
    of_pm2 = on_vm("pgrep -u workflow -f 'dist/(worker|api)'").split()
    of_systemd = on_vm("pgrep -u batch sleep").split()
    assert len(of_pm2) >= 4
    assert len(of_systemd) == 1
    for pid in (*of_pm2, *of_systemd):
        found = environment_of(on_vm, pid)
        assert {name: found.get(name) for name in EXPECTED} == EXPECTED
    ui = environment_of(on_vm, on_vm("docker inspect --format '{{.State.Pid}}' temporal-ui").strip())
    assert ui["TEMPORAL_AUTH_CLIENT_SECRET"] == SECRETS["flow-of-ui"]
    assert ui["TEMPORAL_SHOW_X"] == "true"
    assert ui["TEMPORAL_ADDRESS"] == "temporal-server:7233"


def test_a_run_without_a_change_changes_nothing(inventory: Path, batch: dict[str, Any]) -> None:
    for playbook in ("site", "deploy"):
        run = play(playbook, inventory, extra={**DECLARED, **batch})
        assert run.rc == 0, run.failure
        assert run.changed == []


def test_values_lie_where_they_may_and_nowhere_else(vm: Vm) -> None:
    # Each in its plain part, which no notation changes.
    plain = {name: value.split("-{{")[0] if "{{" in value else value for name, value in SECRETS.items()}
    plain["flow-of-application"] = "{{ 1 + 1 }}"
    plain["flow-of-ui"] = "ui-canary"
    vm.sh('umask 077 && cat > "$1"', PATTERNS, stdin="".join(f"{value}\n" for value in plain.values()))
    try:
        found = {path: names_in(vm, plain, path) for path in files_with(vm, PATTERNS, *SEARCHED)}
    finally:
        vm.run("rm", "-f", PATTERNS, ONE)
    ours = {path: names for path, names in found.items() if names}
    assert {path for path, names in ours.items() for name in names if not may_hold(name, path)} == set()
    assert {name for names in ours.values() for name in names} == set(plain)
    for path in ours:
        assert not vm.succeeds("cat", path, user="nobody"), f"nobody reads {path}"
    for name in vm.containers():
        assert told(plain, vm.run("docker", "inspect", name)) == [], name


def test_a_new_value_reaches_the_ui_by_a_restart(
    inventory: Path, batch: dict[str, Any], run_dir: Path, on_vm: OnVm
) -> None:
    (run_dir / "secrets" / "flow-of-ui").write_text("another-canary\n")
    run = play("site", inventory, "--tags", "temporal_ui", extra={**DECLARED, **batch})
    assert run.rc == 0, run.failure
    assert [name.split(" : ")[-1] for name in run.changed] == ["Write the environment of the UI, and run it"]
    ui = environment_of(on_vm, on_vm("docker inspect --format '{{.State.Pid}}' temporal-ui").strip())
    assert ui["TEMPORAL_AUTH_CLIENT_SECRET"] == "another-canary"
