# SPDX-License-Identifier: GPL-3.0-or-later
"""Every inventory of this repository, as users copy it: all its variables render, and preflight has nothing to say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _starter as starter

ROOT = Path(__file__).resolve().parents[2]
APPLICATIONS = "inventory/group_vars/all/applications.yml"
COLLECTIONS = ROOT / ".local" / "collections"
BIN = Path(sys.executable).parent
INVENTORIES = sorted(
    path.parent
    for pattern in ("inventories/*", "examples/*/inventories/*")
    for path in ROOT.glob(f"{pattern}/hosts.yml")
)
PROBE = {
    "os": {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13 (trixie)"},
    "architecture": "x86_64",
    "python": "3.13.5",
    "systemd": True,
    "privileged": True,
    "memory_mb": 32000,
    "cpus": 8,
    "clock_ahead_seconds": 0.5,
    "disks": [{"path": "/opt", "at": "/opt", "total_mb": 50000, "free_mb": 40000}],
    "listeners": [],
    "containers": [],
}
# The two tasks of the role preflight that follow its look at the host, with a healthy host instead.
PLAY: list[dict[str, t.Any]] = [
    {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["durable.temporal.topology"],
        "tasks": [
            {
                "name": "Render every variable of the inventory",
                "ansible.builtin.assert": {"that": ["lookup('ansible.builtin.vars', item) is defined"], "quiet": True},
                "loop": "{{ inventory_names[inventory_hostname] }}",
            },
            {
                "name": "Judge the host",
                "durable.temporal.preflight": {"roles": "{{ topology_roles }}", "probe": "{{ probe }}"},
                "register": "judged",
                "failed_when": False,
            },
            {
                "name": "Report on all hosts",
                "durable.temporal.preflight_report": {"registered": "judged"},
                "register": "reported",
                "run_once": True,
            },
            {
                "name": "Keep what was said",
                "ansible.builtin.copy": {"content": "{{ reported | to_json }}", "dest": "{{ told }}"},
                "delegate_to": "localhost",
                "become": False,
                "run_once": True,
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            },
        ],
    }
]


def ansible(program: str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    names = ("COSMOSDBKEY", "BLOBSTORAGECONNECTION", "APPINSIGHTSCONNECTIONSTRING")
    secrets = {f"DURABLE_SECRET_{name}": "v9_Qm2-xTz" for name in names}
    platform = ("POSTGRES_SUPERUSER_PASSWORD", "TEMPORAL_DATABASE_PASSWORD")
    secrets |= {f"DURABLE_SECRET_{name}": "u8R_wLm2Tz-5cXyB" for name in platform}
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=directory,
        env={**os.environ, **secrets, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_inventories() -> None:
    names = {str(path.relative_to(ROOT)) for path in INVENTORIES}
    assert {"inventories/single_vm", "inventories/production", "examples/deployment/inventories/staging"} <= names


def cautions(inventory: Path, tmp_path: Path) -> list[str]:
    """What preflight says of an inventory that it lets through."""
    listed = ansible("ansible-inventory", "-i", str(inventory), "--list", directory=tmp_path)
    assert listed.returncode == 0, listed.stderr
    hosts = json.loads(listed.stdout)["_meta"]["hostvars"]
    assert hosts, "no hosts"
    extra = {
        "inventory_names": {host: sorted(variables) for host, variables in hosts.items()},
        "probe": PROBE,
        "secrets_directory": str(tmp_path / "secrets"),
        "told": str(tmp_path / "told.json"),
    }
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    (tmp_path / "extra.json").write_text(json.dumps(extra))
    done = ansible("ansible-playbook", "-i", str(inventory), "-e", "@extra.json", "play.yml", directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    # The artifact of the example is built later, by `make up` or by the pipeline.
    return [line for line in told["cautions"] if "and there is no file " not in line]


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_inventory_passes_as_it_is(inventory: Path, tmp_path: Path) -> None:
    assert cautions(inventory, tmp_path) == []


@pytest.mark.parametrize("topology", starter.TOPOLOGIES)
def test_what_init_writes_passes_with_addresses_and_both_examples(topology: str, tmp_path: Path) -> None:
    names = {"single_vm": ["vm1"], "production": ["db1", "temporal1", "app1", "edge1"]}[topology]
    hosts = {name: f"192.0.2.{number}" for number, name in enumerate(names, start=1)}
    made = starter.files(ROOT, starter.Wanted(topology, "acme-billing", hosts, "admin"))
    text = made[APPLICATIONS].replace("topology_applications: []", "topology_applications:")
    made[APPLICATIONS] = re.sub(r"(?m)^#(?=  )", "", text)
    starter.write(tmp_path, made, made)
    assert cautions(tmp_path / "inventory", tmp_path) == []
