# SPDX-License-Identifier: GPL-3.0-or-later
"""What the wiring makes of an inventory: who reaches whom, where, by which name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, t.Any]
GROUPS = ("postgres", "temporal", "temporal_ui", "app", "edge")
WANTED = (
    "topology_single_host",
    "topology_roles",
    "topology_bind_address",
    "topology_database_host",
    "topology_database_port",
    "topology_database_admin_host",
    "topology_database_admin_port",
    "topology_temporal_address",
    "topology_temporal_ui_temporal_address",
    "topology_temporal_depends_on",
    "topology_app_addresses",
    "topology_ui_servers",
    "topology_containers",
    "topology_urls",
    "topology_placed_applications",
    "topology_directories",
)
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["durable.temporal.topology"],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ dict(wanted | zip(query('ansible.builtin.vars', *wanted))) | to_json }}",
                    "dest": "{{ out }}/{{ inventory_hostname }}.json",
                },
                "delegate_to": "localhost",
            }
        ],
    }
]


def every(host: str) -> dict[str, list[str]]:
    """One host in every group."""
    return {group: [host] for group in GROUPS}


@pytest.fixture
def wire(tmp_path: Path) -> t.Callable[..., dict[str, Json]]:
    """Hosts with their variables, and groups with their hosts → host → the values of ``WANTED``."""

    def run(hosts: dict[str, Json], groups: t.Mapping[str, t.Sequence[str]], **variables: t.Any) -> dict[str, Json]:
        children = {group: {"hosts": {member: {} for member in members}} for group, members in groups.items()}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": hosts, "vars": {**local, **variables}, "children": children}}
        (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
        (tmp_path / "play.yml").write_text(json.dumps(PLAY))
        extra = json.dumps({"wanted": WANTED, "out": str(tmp_path)})
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "-e", extra, "play.yml"],
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".local" / "collections"),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {host: json.loads((tmp_path / f"{host}.json").read_text()) for host in hosts}

    return run


APPLICATIONS = [
    {"name": "acme", "port": 3000},
    {"name": "mails", "temporal_address": "cloud:7233", "root": "/srv/m"},
    {"name": "bills"},
]


def test_one_host_and_one_that_is_none_of_ours(wire: t.Callable[..., dict[str, Json]]) -> None:
    found = wire(
        {"vm1": {"ansible_host": "192.0.2.1"}, "bastion": {}},
        every("vm1"),
        topology_name="acme",
        topology_applications=APPLICATIONS,
    )
    assert found["bastion"]["topology_roles"] == []
    vm1 = found["vm1"]
    assert vm1["topology_single_host"] is True
    assert vm1["topology_bind_address"] == "127.0.0.1"
    assert (vm1["topology_database_host"], vm1["topology_database_port"]) == ("temporal-postgres", 5432)
    assert (vm1["topology_database_admin_host"], vm1["topology_database_admin_port"]) == ("127.0.0.1", 5432)
    assert vm1["topology_temporal_address"] == "127.0.0.1:7233"
    assert vm1["topology_temporal_ui_temporal_address"] == "temporal-server:7233"
    assert vm1["topology_temporal_depends_on"] == ["temporal-postgres"]
    assert vm1["topology_app_addresses"] == ["127.0.0.1"]
    assert vm1["topology_ui_servers"] == ["127.0.0.1:8080"]
    assert vm1["topology_containers"] == ["temporal-postgres", "temporal-server", "temporal-admin-tools", "temporal-ui"]
    assert [(a["root"], a["temporal_address"]) for a in vm1["topology_placed_applications"]] == [
        ("/opt/acme/workflow", "127.0.0.1:7233"),
        ("/srv/m", "cloud:7233"),
        ("/opt/acme/bills", "127.0.0.1:7233"),
    ]
    assert vm1["topology_directories"] == ["/opt/acme/temporal"]


def test_everything_renamed_on_one_host(wire: t.Callable[..., dict[str, Json]]) -> None:
    found = wire(
        {"localhost": {}},
        every("localhost"),
        postgres_container="db",
        postgres_port=5433,
        postgres_bind_address="127.0.0.2",
        temporal_container="frontend",
        temporal_admin_tools_container="tools",
        temporal_grpc_port=7333,
        temporal_bind_address="0.0.0.0",
        temporal_ui_container="web",
        temporal_ui_port=8180,
        temporal_ui_bind_address="127.0.0.4",
    )["localhost"]
    assert found["topology_single_host"] is True
    assert (found["topology_database_host"], found["topology_database_port"]) == ("db", 5432)
    assert (found["topology_database_admin_host"], found["topology_database_admin_port"]) == ("127.0.0.2", 5433)
    assert found["topology_temporal_address"] == "127.0.0.1:7333"
    assert found["topology_temporal_ui_temporal_address"] == "frontend:7233"
    assert found["topology_temporal_depends_on"] == ["temporal-postgres"]
    assert found["topology_ui_servers"] == ["127.0.0.4:8180"]
    assert found["topology_urls"][0]["url"] == "http://127.0.0.4:8180/healthz"
    assert found["topology_containers"] == ["db", "frontend", "tools", "web"]


def test_several_hosts(wire: t.Callable[..., dict[str, Json]]) -> None:
    hosts: dict[str, Json] = {
        "db1": {"topology_address": "10.0.0.11", "postgres_port": 5433},
        "temporal1": {"topology_address": "10.0.0.21", "temporal_grpc_port": 7333, "temporal_ui_port": 8180},
        "app1": {"topology_address": "10.0.0.31"},
        "app2": {"topology_address": "10.0.0.32"},
        "edge1": {"topology_address": "10.0.0.41"},
    }
    groups = {
        "postgres": ["db1"],
        "temporal": ["temporal1"],
        "temporal_ui": ["temporal1"],
        "app": ["app1", "app2"],
        "edge": ["edge1"],
    }
    found = wire(hosts, groups)
    temporal1 = found["temporal1"]
    assert temporal1["topology_single_host"] is False
    assert (temporal1["topology_database_host"], temporal1["topology_database_port"]) == ("10.0.0.11", 5433)
    assert temporal1["topology_temporal_depends_on"] == []
    assert temporal1["topology_temporal_ui_temporal_address"] == "temporal-server:7233"
    assert {found[host]["topology_temporal_address"] for host in found} == {"10.0.0.21:7333"}
    assert found["edge1"]["topology_app_addresses"] == ["10.0.0.31", "10.0.0.32"]
    assert found["edge1"]["topology_ui_servers"] == ["10.0.0.21:8180"]
    assert found["app1"]["topology_directories"] == ["/opt/order-processing"]


def test_a_database_of_somebody_else(wire: t.Callable[..., dict[str, Json]]) -> None:
    found = wire(
        {"vm1": {}},
        every("vm1"),
        postgres_runtime="external",
        postgres_login_host="db.example",
        postgres_port=6432,
    )["vm1"]
    assert (found["topology_database_host"], found["topology_database_port"]) == ("db.example", 6432)
    assert found["topology_temporal_depends_on"] == []


@cache
def defaults(role: str) -> Json:
    return t.cast("Json", yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text()))


def test_options_of_roles_are_read_with_the_defaults_of_these_roles() -> None:
    """Other hosts do not see the defaults of a role, so the wiring repeats them."""
    text = (ROOT / "roles" / "topology" / "defaults" / "main.yml").read_text()
    repeated = re.findall(r"\b((postgres|temporal_ui|temporal)_\w+) \| default\(('[^']*'|\d+)\)", text)
    repeated += re.findall(r"attribute='((temporal_ui)_\w+)', default=(\d+)", text)
    assert len(repeated) > 10
    for option, role, value in repeated:
        assert str(defaults(role)[option]) == value.strip("'"), option
