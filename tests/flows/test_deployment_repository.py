# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's own repository deploys to the VM with the scripts that its workflows run, called as Actions calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from play import ROOT
from releases import PACKAGE, deploy_with, variant
from test_bad_days import OnVm

APPLICATION, NAME = "/opt/order-processing/workflow", "order-processing"
ACTION = ROOT / ".github" / "actions" / "deploy" / "run"
COMMIT = "1234567890abcdef1234567890abcdef12345678"
RUN = "https://github.example/shop/orders/actions/runs/4711"


class Repository:
    """A copy of the example with this VM as one more environment, and what Actions gives to its steps."""

    def __init__(self, place: Path, inventory: Path, run_dir: Path) -> None:
        self.place = place
        shutil.copytree(ROOT / "examples" / "deployment", place, symlinks=True)
        # The VM's own variables, but the applications as the example declares them.
        here = place / "inventories" / "vm"
        shutil.copytree(inventory, here)
        (here / "group_vars" / "all" / "application.yml").unlink()
        (here / "group_vars" / "all" / "applications.yml").symlink_to("../../../applications.yml")
        vault = here / "group_vars" / "all" / "vault.yml"
        lines = vault.read_text().splitlines(keepends=True)
        vault.write_text("".join(line for line in lines if not line.startswith("secrets_provider:")))
        (here / "group_vars" / "all" / "pipeline.yml").write_text("secrets_provider: env\n")
        (place / ".venv").symlink_to(ROOT / ".local" / "venv")
        service = place / "services" / NAME
        shutil.copytree(
            ROOT / "examples" / "order_processing",
            service,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("node_modules", "dist", ".test", "*.tar.gz*", "README.md"),
        )
        key = place.parent / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        secrets = {p.name: p.read_text().strip() for p in (run_dir / "secrets").iterdir() if p.name[0] != "."}
        self.environment = {
            **os.environ,
            "DURABLE_CHECKOUT": str(ROOT),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".local" / "collections"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "octavia",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "shop/orders",
            "GITHUB_RUN_ID": "4711",
            "GITHUB_SHA": COMMIT,
            "GITHUB_OUTPUT": str(place.parent / "output"),
            "RUNNER_TEMP": str(place.parent),
            "DEPLOY_SSH_KEY": key.read_text(),
            "DEPLOY_KNOWN_HOSTS": "vm.example ssh-ed25519 AAAA",
            "DEPLOY_SECRETS": "\n".join(f"DURABLE_SECRET_{_variable(k)}={v}" for k, v in secrets.items()),
        }
        self.secrets = list(secrets.values())

    def step(self, *command: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.place, env={**self.environment, **inputs}, capture_output=True, text=True, timeout=900
        )

    def action(self, command: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """A step that uses the action: all its inputs are there, empty ones too."""
        empty = dict.fromkeys(("ARTIFACT", "SHA256", "RELEASE", "REASON"), "")
        return self.step(str(ACTION), **{**empty, "COMMAND": command, "INVENTORY": "vm", "APPLICATION": NAME, **inputs})


def _variable(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.upper())


@pytest.fixture
def repository(tmp_path: Path, inventory: Path, run_dir: Path) -> Iterator[Repository]:
    yield Repository(tmp_path / "repository", inventory, run_dir)
    # What every other flow begins with.
    assert deploy_with(inventory).rc == 0


def test_a_push_deploys_and_a_button_goes_back(repository: Repository, on_vm: OnVm, tmp_path: Path) -> None:
    def live() -> str:
        return on_vm(f"basename $(readlink -f {APPLICATION}/current)").strip()

    def log() -> list[dict[str, Any]]:
        return [json.loads(line) for line in on_vm(f"cat {APPLICATION}/shared/deploys.log").splitlines()]

    # Built elsewhere from the same sources: the same bytes.
    package = repository.step("scripts/package", NAME)
    assert package.returncode == 0, package.stdout + package.stderr
    output = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert (repository.place / output["artifact"]).read_bytes() == PACKAGE.read_bytes()
    first = live()

    # The next build, as the job after it gets it.
    variant(repository.place / output["artifact"], "pushed")
    swapped = repository.action("deploy", ARTIFACT=output["artifact"], SHA256=output["sha256"])
    assert swapped.returncode == 1
    assert "has the digest" in swapped.stderr
    assert live() == first
    digest = subprocess.run(["sha256sum", str(repository.place / output["artifact"])], capture_output=True, text=True)
    built = {"ARTIFACT": output["artifact"], "SHA256": digest.stdout.split()[0]}
    deploy = repository.action("deploy", **built, REASON="push of main {{ 1 // 0 }}")
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    second = live()
    assert second != first
    revision = json.loads(on_vm(f"cat {APPLICATION}/current/REVISION"))
    assert revision["source"] == f"shop/orders@{COMMIT}"
    entry = next(e for e in reversed(log()) if e["action"] == "live")
    assert entry["release"] == second
    assert entry["by"] == f"octavia ({RUN})"
    assert entry["reason"] == "push of main {{ 1 // 0 }}"
    for secret in repository.secrets:
        assert secret not in deploy.stdout.replace(f"::add-mask::{secret}\n", "")

    again = repository.action("deploy", **built)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "changed=0" in again.stdout

    refused = repository.action("rollback", RELEASE=f"{first}; touch /tmp/owned", REASON="orders fail")
    assert refused.returncode == 1
    assert "the id of a release" in refused.stderr
    assert live() == second
    back = repository.action("rollback", RELEASE=first, REASON="orders fail")
    assert back.returncode == 0, back.stdout + back.stderr
    assert live() == first
    entry = next(e for e in reversed(log()) if e["action"] == "back")
    assert (entry["release"], entry["by"], entry["reason"]) == (first, f"octavia ({RUN})", "orders fail")
