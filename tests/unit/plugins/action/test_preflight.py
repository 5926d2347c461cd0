# SPDX-License-Identifier: GPL-3.0-or-later
"""The role preflight as a person runs it: several hosts, everything told at once, nothing of a secret."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[4] / ".local" / "collections"
CANARY = "canary-7f3b1c"
PLAY = """
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  roles: [durable.temporal.topology, durable.temporal.preflight]
"""


def run(directory: Path, hosts: dict[str, dict[str, t.Any]], **variables: t.Any) -> subprocess.CompletedProcess[str]:
    groups = ("postgres", "temporal", "temporal_ui")
    inventory = {
        "all": {
            "hosts": hosts,
            "vars": {"ansible_become": False, **variables},
            "children": {group: {"hosts": {host: {} for host in hosts}} for group in groups},
        }
    }
    (directory / "hosts.yml").write_text(json.dumps(inventory))
    (directory / "play.yml").write_text(PLAY)
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-vvv", "-i", "hosts.yml", "play.yml"],
        cwd=directory,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
GONE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=2"}


@pytest.fixture
def taken() -> t.Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_everything_is_told_at_once_and_nothing_of_a_secret(tmp_path: Path, taken: int) -> None:
    done = run(
        tmp_path,
        {"here": HERE, "gone": GONE},
        postgres_port=taken,
        temporal_verison="1.31.2",
        temporal_version="1.26.1",
        temporal_ui_port="many",
        temporal_database_name="{{ nosuch }}",
        temporal_database_password=[CANARY],
        postgres_users=[{"name": "a", "password": CANARY, "owner": CANARY}],
        temporal_history_shards="{{ 4 if inventory_hostname == 'gone' else 512 }}",
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    for words in (
        "nothing was changed",
        "here, gone: temporal_verison (hosts.yml) is not an option of any role",
        "Did you mean temporal_version?",
        "1.26.1 must not be used",
        "temporal_ui_port (hosts.yml) is 'many'; expected a whole number.",
        "temporal_database_name (hosts.yml) cannot be rendered; expected a value. 'nosuch' is undefined.",
        "temporal_database_password (hosts.yml) is a list of 1; expected text.",
        "postgres_users[0].owner (hosts.yml) is not an option",
        f"here: postgres_port (hosts.yml) is {taken}, where ",
        "gone: the host is out of reach (",
        "All hosts of a cluster need the same.",
    ):
        assert words in output
    assert CANARY not in output


def test_a_declaration_that_fits_is_summed_up(tmp_path: Path) -> None:
    done = run(tmp_path, {"here": HERE})
    # This machine may be any: what is said of it is not the point here, but of what is declared there is nothing to say.
    told = [line for line in done.stdout.splitlines() if line.strip().startswith("- here:")]
    assert not [line for line in told if "_port" not in line and "the " not in line], done.stdout
    if done.returncode == 0:
        assert "Temporal server" in done.stdout
