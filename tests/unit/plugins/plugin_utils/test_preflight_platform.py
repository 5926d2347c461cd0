# SPDX-License-Identifier: GPL-3.0-or-later
"""Each guard of the platform: a case that it finds, and a case that it lets pass."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.module_utils._engine import digests
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_platform as platform
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem

ROLES = ["host", "docker", "postgres", "temporal", "temporal_ui", "nginx", "pm2_worker"]
VALUES: dict[str, t.Any] = {
    "postgres_runtime": "container",
    "postgres_version": "17",
    "postgres_container": "temporal-postgres",
    "postgres_directory": "/opt/x/temporal",
    "postgres_port": 5432,
    "postgres_bind_address": "127.0.0.1",
    "postgres_max_connections": 200,
    "postgres_reserved_connections": 20,
    "temporal_version": "1.32.2",
    "temporal_container": "temporal-server",
    "temporal_directory": "/opt/x/temporal",
    "temporal_bind_address": "127.0.0.1",
    "temporal_grpc_port": 7233,
    "temporal_http_port": 7243,
    "temporal_metrics_port": 9090,
    "temporal_history_shards": 512,
    "temporal_database_max_connections": 20,
    "temporal_visibility_database_max_connections": 10,
    "temporal_ui_version": "2.56.0",
    "temporal_ui_container": "temporal-ui",
    "temporal_ui_directory": "/opt/x/temporal",
    "temporal_ui_port": 8080,
    "temporal_ui_bind_address": "127.0.0.1",
    "nginx_port": 80,
    "nginx_tls_port": 443,
    "nginx_ui_port": 8088,
    "nginx_sites": [{"name": "api", "kind": "app"}, {"name": "other", "kind": "app"}, {"name": "ui", "kind": "ui"}],
    "pm2_worker_applications": [{"name": "orders", "port": 3000, "root": "/opt/x/workflow"}],
}
PROBE: dict[str, t.Any] = {
    "os": {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13 (trixie)"},
    "architecture": "x86_64",
    "python": "3.13.5",
    "systemd": True,
    "privileged": True,
    "memory_mb": 7800,
    "cpus": 2,
    "clock_ahead_seconds": 1.2,
    "disks": [{"path": "/opt/x", "at": "/opt", "total_mb": 50000, "free_mb": 40000}],
    "listeners": [],
    "containers": [],
}


def listener(address: str, port: int, process: str = "", unit: str = "", container: str = "") -> dict[str, t.Any]:
    pid = 7 if process else 0
    return {"address": address, "port": port, "pid": pid, "process": process, "unit": unit, "container": container}


def container(name: str, image: str, directory: str = "/opt/x/temporal", health: str = "healthy") -> dict[str, t.Any]:
    return {
        "name": name,
        "image": image,
        "directory": directory,
        "state": "running",
        "health": health,
        "ports": [],
        "id": name,
    }


def texts(problems: list[Problem]) -> list[str]:
    return [problem.text for problem in problems]


# ports


def test_every_port_of_a_host_is_known() -> None:
    found = platform.ports(ROLES, VALUES)
    assert sorted(p.number for p in found) == [80, 3000, 5432, 7233, 7243, 8080, 8088, 9090]
    assert platform.ports(["host"], VALUES) == []
    assert platform.ports(["postgres"], {**VALUES, "postgres_runtime": "external"}) == []
    assert platform.ports(["temporal_ui"], {**VALUES, "temporal_ui_port": "many"}) == []


def test_ports_of_our_own_that_clash_are_found() -> None:
    assert platform.check_clashes(platform.ports(ROLES, VALUES)) == []
    clashing = platform.ports(ROLES, {**VALUES, "temporal_ui_port": 3000, "temporal_http_port": 5432})
    assert texts(platform.check_clashes(clashing)) == [
        "temporal_http_port is 5432, which is also postgres_port; expected a port of its own. Change one of them.",
        "the port of the application orders is 3000, which is also temporal_ui_port; expected a port of its own. "
        "Change one of them.",
    ]


def test_sites_that_nginx_could_not_tell_apart_are_found() -> None:
    orders, approvals = {"name": "orders", "kind": "app"}, {"name": "approvals", "kind": "app"}
    ui = {"name": "temporal-ui", "kind": "ui"}
    assert (
        platform.check_sites({**VALUES, "nginx_sites": [orders, {**approvals, "server_name": "a.example"}, ui]}) == []
    )
    assert platform.check_sites({**VALUES, "nginx_sites": [orders, {**approvals, "listen": 81}, ui]}) == []
    assert texts(platform.check_sites({**VALUES, "nginx_sites": [orders, approvals, ui]})) == [
        "server_name of the nginx site approvals is _ (any name) on port 80, as of the site orders; expected a host name of "
        "its own. Set server_name of the application, such as orders.example.com."
    ]
    two = [{**orders, "server_name": "a.example b.example"}, {**approvals, "server_name": "b.example"}]
    assert "b.example on port 80" in texts(platform.check_sites({**VALUES, "nginx_sites": two}))[0]


@pytest.mark.parametrize("server_name", ["_", "a.example"])
def test_a_ui_on_the_port_of_an_application_is_found(server_name: str) -> None:
    sites = [{"name": "orders", "kind": "app", "server_name": server_name}, {"name": "temporal-ui", "kind": "ui"}]
    values = {**VALUES, "nginx_sites": sites, "nginx_ui_port": 80}
    assert texts(platform.check_sites(values)) == [
        "nginx_ui_port is 80, which is also nginx_port; expected a port of its own, as the site of the UI has no host name. "
        "Change one of them, or write nginx_sites with a server_name for each."
    ]
    # Without applications there is nothing to meet; with names they are told apart on purpose.
    assert platform.check_sites({**values, "nginx_sites": sites[1:]}) == []
    named = [{"name": "orders", "kind": "app", "server_name": "a.example"}, {**sites[1], "server_name": "ui.example"}]
    assert platform.check_sites({**values, "nginx_sites": named}) == []


def test_sites_that_meet_on_the_port_of_https_are_found() -> None:
    tls = {"certificate": "c", "key": "k"}
    sites = [{"name": name, "kind": "app", "listen": port, "tls": tls} for name, port in (("one", 81), ("two", 82))]
    assert texts(platform.check_sites({**VALUES, "nginx_sites": sites})) == [
        "server_name of the nginx site two is _ (any name) on port 443, as of the site one; expected a host name of its own. "
        "Set server_name of the application, such as orders.example.com."
    ]
    same = [{key: value for key, value in site.items() if key != "listen"} for site in sites]
    assert len(platform.check_sites({**VALUES, "nginx_sites": same})) == 1


def test_a_tls_site_takes_its_own_port() -> None:
    sites = [{"name": "api", "kind": "app", "tls": {"certificate": "c", "key": "k"}}]
    assert [p.number for p in platform.ports(["nginx"], {**VALUES, "nginx_sites": sites})] == [80, 443]


def test_the_ports_of_the_edge_are_options() -> None:
    tls = {"certificate": "c", "key": "k"}
    sites = [{"name": "api", "kind": "app", "tls": tls}, {"name": "ui", "kind": "ui"}]
    values = {**VALUES, "nginx_sites": sites, "nginx_port": 8000, "nginx_tls_port": 8443, "nginx_ui_port": 8099}
    assert {p.variable: p.number for p in platform.ports(["nginx"], values)} == {
        "nginx_port": 8000,
        "nginx_tls_port": 8443,
        "nginx_ui_port": 8099,
    }
    own = [{"name": "api", "kind": "app", "listen": 81, "tls": {**tls, "listen": 444}}]
    found = platform.ports(["nginx"], {**values, "nginx_sites": own})
    assert [(p.variable, p.number) for p in found] == [
        ("listen of the site api in nginx_sites", 81),
        ("listen of the site api in nginx_sites", 444),
    ]
    held = {**PROBE, "listeners": [listener("0.0.0.0", 8099, "java")]}
    assert texts(platform.check_foreign(platform.ports(["nginx"], values), held)) == [
        "nginx_ui_port is 8099, where java (process 7) on every address listens already; expected a port that is free or held "
        "by our own nginx. Stop it, or set nginx_ui_port to a free one."
    ]


def test_a_port_is_for_https_or_for_plain_http() -> None:
    tls = {"certificate": "c", "key": "k"}
    sites = [{"name": "api", "kind": "app", "tls": tls}, {"name": "ui", "kind": "ui"}]
    assert platform.check_sites({**VALUES, "nginx_sites": sites}) == []
    assert texts(platform.check_sites({**VALUES, "nginx_sites": sites, "nginx_tls_port": 8088})) == [
        "nginx_tls_port is 8088, which is also nginx_ui_port; expected a port of its own. Change one of them."
    ]


@pytest.mark.parametrize(
    ("address", "clashes"),
    [("0.0.0.0", True), ("::", True), ("127.0.0.1", True), ("10.0.0.4", False), ("localhost", True)],
)
def test_addresses_that_overlap_clash(address: str, clashes: bool) -> None:
    port = platform.Port("PostgreSQL", "postgres_port", 5432, "127.0.0.1")
    assert port.clashes(address, 5432) is clashes
    assert not port.clashes(address, 5433)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (listener("0.0.0.0", 5432, "python3"), "where python3 (process 7) on every address listens already"),
        (listener("127.0.0.1", 5432, "postgres", "postgresql@15-main.service"), "set postgres_runtime: external"),
        (listener("127.0.0.1", 5432, "postgres", "gitlab.service"), "set postgres_runtime: external"),
        (listener("127.0.0.1", 5432, container="company-db"), "where the container company-db on 127.0.0.1 listens"),
        (listener("127.0.0.1", 5432), "where a process that could not be seen on 127.0.0.1 listens"),
        (listener("127.0.0.1", 5432, container="temporal-postgres"), None),
        (listener("10.0.0.4", 5432, "python3"), None),
        (listener("0.0.0.0", 80, "nginx", "nginx.service"), None),
        (listener("0.0.0.0", 80, "apache2", "apache2.service"), "apache2 (process 7 of apache2.service)"),
        (listener("::", 3000, "node", "orders-pm2.service"), None),
        (listener("::", 3000, "node", "grafana.service"), "the port of the application orders is 3000, where node"),
        (listener("0.0.0.0", 9999, "python3"), None),
    ],
)
def test_foreign_services_on_our_ports_are_named_and_our_own_are_not(held: dict[str, t.Any], words: str | None) -> None:
    found = texts(platform.check_foreign(platform.ports(ROLES, VALUES), {**PROBE, "listeners": [held]}))
    assert len(found) == (0 if words is None else 1)
    assert words is None or words in found[0]


def test_an_account_that_cannot_see_who_holds_a_port_blames_nobody() -> None:
    unseen = {**PROBE, "privileged": False, "listeners": [listener("127.0.0.1", 5432)]}
    assert platform.check_foreign(platform.ports(ROLES, VALUES), unseen) == []


def test_a_native_service_is_ours_where_ours_is_native() -> None:
    ports = platform.ports(["postgres"], {**VALUES, "postgres_runtime": "systemd"})
    ours = listener("127.0.0.1", 5432, "postgres", "postgresql@17-main.service")
    assert platform.check_foreign(ports, {**PROBE, "listeners": [ours]}) == []
    container = listener("127.0.0.1", 5432, container="temporal-postgres")
    assert len(platform.check_foreign(ports, {**PROBE, "listeners": [container]})) == 1


def test_a_container_of_ours_is_reused_and_a_namesake_is_not_touched() -> None:
    ours = container("temporal-postgres", "postgres:17")
    assert platform.check_containers(ROLES, VALUES, {**PROBE, "containers": [ours]}) == []
    foreign = container("temporal-postgres", "postgres:17", "/srv/other")
    (text,) = texts(platform.check_containers(ROLES, VALUES, {**PROBE, "containers": [foreign]}))
    assert "belongs to the Compose project in /srv/other" in text
    by_hand = container("temporal-server", "temporalio/server:1.32.2", "")
    (text,) = texts(platform.check_containers(ROLES, VALUES, {**PROBE, "containers": [by_hand]}))
    assert "belongs to no Compose project" in text
    assert text.endswith("Set temporal_container to another name, or remove the container that has this one.")
    tools = container("acme-tools", "tools:1", "/srv/other")
    values = {**VALUES, "temporal_admin_tools_container": "acme-tools"}
    (text,) = texts(platform.check_containers(ROLES, values, {**PROBE, "containers": [tools]}))
    assert text.startswith("temporal_admin_tools_container is acme-tools, and a container of that name exists")


def test_containers_of_one_host_share_a_network() -> None:
    networks = {f"{role}_docker_network": "acme" for role in ("postgres", "temporal", "temporal_ui")}
    assert platform.check_networks(ROLES, {**VALUES, **networks}) == []
    found = platform.check_networks(ROLES, {**VALUES, **networks, "temporal_docker_network": "other"})
    assert texts(found) == [
        "temporal_docker_network is 'other'; expected acme, as postgres_docker_network. "
        "Set topology_docker_network instead, for all containers of the host."
    ]
    assert platform.check_networks(["temporal"], {**networks, "temporal_docker_network": "other"}) == []


def test_containers_of_one_host_have_names_of_their_own() -> None:
    names = {"postgres_container": "a", "temporal_container": "b", "temporal_admin_tools_container": "c"}
    assert platform.check_container_names(ROLES, names) == []
    found = platform.check_container_names(ROLES, {**names, "temporal_admin_tools_container": "a"})
    assert texts(found) == [
        "temporal_admin_tools_container is 'a', as postgres_container; expected a name of its own. Change one of them."
    ]
    # That of another host.
    assert platform.check_container_names(["postgres"], {**names, "temporal_container": "a"}) == []


def test_each_store_has_a_database_and_the_server_is_no_superuser() -> None:
    right = {
        "temporal_database_name": "temporal",
        "temporal_visibility_database_name": "temporal_visibility",
        "temporal_database_user": "temporal",
        "postgres_login_user": "postgres",
    }
    assert platform.check_databases(ROLES, right) == []
    found = platform.check_databases(ROLES, {**right, "temporal_visibility_database_name": "temporal"})
    assert texts(found) == [
        "temporal_visibility_database_name is 'temporal', as temporal_database_name; expected a database of its own. "
        "Change one of them."
    ]
    same = {**right, "postgres_login_user": "temporal"}
    (problem,) = platform.check_databases(ROLES, same)
    assert problem.text.startswith(
        "temporal_database_user is 'temporal', as postgres_login_user; expected a user of its"
    )
    # A service may have only one, which is no superuser.
    assert platform.check_databases(ROLES, {**same, "postgres_runtime": "external"}) == []
    assert platform.check_databases(["postgres"], same) == []


def test_what_is_listed_has_a_name_of_its_own() -> None:
    rows = [{"name": "a"}, {"name": "b"}]
    values = dict.fromkeys(platform.LISTS, rows)
    assert platform.check_names_of_lists(values) == []
    found = platform.check_names_of_lists({"nginx_sites": [*rows, {"name": "a"}], "postgres_users": None})
    assert texts(found) == [
        "nginx_sites[2].name is 'a', as of nginx_sites[0]; expected a name of its own. The file of the first site would be "
        "that of the second. Change or remove one of them."
    ]


def test_the_owner_of_a_database_is_a_user_that_is_made() -> None:
    values: dict[str, t.Any] = {
        "postgres_users": [{"name": "temporal"}],
        "postgres_login_user": "postgres",
        "postgres_databases": [{"name": name, "owner": name} for name in ("temporal", "postgres")] + [{"name": "none"}],
    }
    assert platform.check_owners(["postgres"], values) == []
    wrong = {**values, "postgres_databases": [*values["postgres_databases"], {"name": "x", "owner": "tempral"}]}
    (problem,) = platform.check_owners(["postgres"], wrong)
    assert (problem.text, problem.level) == (
        "postgres_databases[3].owner is 'tempral'; expected a user that postgres_users declares, or postgres_login_user: "
        "temporal or postgres. Correct it, or add it to postgres_users.",
        "error",
    )
    assert [p.level for p in platform.check_owners(["postgres"], {**wrong, "postgres_runtime": "external"})] == [
        "warning"
    ]
    assert platform.check_owners(["temporal"], wrong) == []


def test_what_systemd_would_not_take_is_told() -> None:
    variables = {"A": "x\ry", "B": "x\n\ty", "C": 1, "D": "x\x1b[0m"}
    application = {
        "name": "a",
        "runtime": "systemd",
        "environment": variables,
        "processes": [{"environment": variables}],
    }
    found = platform.check_environments([application])
    where = "topology_applications[0]"
    assert [p.about for p in found] == [
        *(f"{where}.environment.{name}" for name in "AD"),
        *(f"{where}.processes[0].environment.{name}" for name in "AD"),
    ]
    assert found[0].text.startswith(
        f"{where}.environment.A is a text with a control character; expected text without one."
    )
    assert platform.check_environments([{**application, "runtime": "pm2"}]) == []


def test_variables_for_every_process_have_no_names_of_what_runs_them() -> None:
    pm2: dict[str, t.Any] = {"name": "a", "processes": [{"name": "api"}]}
    systemd = {"name": "b", "runtime": "systemd", "versioning": "worker_deployment", "processes": [{"name": "worker"}]}
    environment = {
        "status": "x",
        "api": "x",
        "NOTIFY_SOCKET": "x",
        "TEMPORAL_BUILD_ID": "x",
        "GREETING": "x",
        "name": None,
    }

    def told(*declared: dict[str, t.Any]) -> dict[str, str]:
        values = dict.fromkeys(platform.BASES, environment)
        return {p.about: p.text for p in platform.check_bases(declared, values)}

    assert list(told(pm2)) == [
        *(f"pm2_worker_environment.{name}" for name in ("status", "api")),
        *(f"app_release_environment.{name}" for name in ("status", "api")),
    ]
    assert told(pm2, pm2)["pm2_worker_environment.status"] == (
        "pm2_worker_environment.status is a variable for the application a, which PM2 has for its own: it would change the "
        "value, or how it runs the process; expected another name. Rename the variable, or take it out."
    )
    assert list(told(systemd)) == [
        *(f"systemd_worker_environment.{name}" for name in ("NOTIFY_SOCKET", "TEMPORAL_BUILD_ID")),
        *(f"app_release_environment.{name}" for name in ("NOTIFY_SOCKET", "TEMPORAL_BUILD_ID")),
    ]
    assert list(told({**systemd, "versioning": "none"})) == [
        f"{option}.NOTIFY_SOCKET" for option in ("systemd_worker_environment", "app_release_environment")
    ]
    assert platform.check_bases([pm2], dict.fromkeys(platform.BASES, "x")) == []
    assert told() == {}


def test_processes_have_the_same_variables_from_site_and_from_deploy() -> None:
    declared = [{"name": "a"}, {"name": "b", "runtime": "systemd"}]
    same = {"A": "1", "B": None}
    assert platform.check_bases(declared, dict.fromkeys(platform.BASES, same)) == []
    found = platform.check_bases(
        declared,
        {"app_release_environment": {"A": "1", "NPM_TOKEN": "canary"}, "pm2_worker_environment": same},
    )
    assert [p.text for p in found] == [
        "pm2_worker_environment is another than app_release_environment in B, NPM_TOKEN; expected the same in both, as site "
        "and deploy start the same processes, and would undo each other. Set both alike. What npm alone needs belongs to "
        "npm_environment of the application."
    ]
    found = platform.check_bases(declared, {**dict.fromkeys(platform.BASES, same), "systemd_worker_environment": {}})
    assert [p.about for p in found] == ["systemd_worker_environment"]
    assert (
        platform.check_bases(declared[:1], {**dict.fromkeys(platform.BASES, same), "systemd_worker_environment": {}})
        == []
    )


def test_a_port_that_docker_holds_for_a_container_that_starts_again_is_ours() -> None:
    held = listener("127.0.0.1", 7233, "docker-proxy")
    ports = platform.ports(ROLES, VALUES)
    assert len(platform.check_foreign(ports, {**PROBE, "listeners": [held]})) == 1
    unsteady = {**container("temporal-server", "temporalio/server:1.32.2"), "state": "restarting"}
    assert platform.check_foreign(ports, {**PROBE, "listeners": [held], "containers": [unsteady]}) == []
    python = listener("127.0.0.1", 7233, "python3")
    assert len(platform.check_foreign(ports, {**PROBE, "listeners": [python], "containers": [unsteady]})) == 1


@pytest.mark.parametrize(
    ("present", "words"),
    [
        (
            container("temporal-postgres", "local/postgres:15"),
            "expected 15, the major version whose data",
        ),
        (container("temporal-postgres", "postgres:17.6-bookworm"), None),
        (container("temporal-server", "temporalio/server:1.30.6"), "Upgrade to 1.31.2 first"),
        (container("temporal-server", "temporalio/server:1.31.2"), None),
        (container("temporal-server", "registry.example:5000/server:1.32.2"), None),
        (container("temporal-server", "temporalio/server:latest"), None),
    ],
)
def test_steps_between_releases_that_cannot_be_made_are_found(present: dict[str, t.Any], words: str | None) -> None:
    found = texts(platform.check_containers(ROLES, VALUES, {**PROBE, "containers": [present]}))
    assert len(found) == (0 if words is None else 1)
    assert words is None or words in found[0]


# releases


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.32.2", None),
        ("1.26.1", "must not be used"),
        ("1.20.0", "not supported"),
        ("latest", "is not a version"),
        ("1.99.0", "the newest that this collection knows"),
    ],
)
def test_releases_that_must_not_run_are_found(version: str, words: str | None) -> None:
    found = platform.check_versions(ROLES, {"temporal_version": version})
    assert len(found) == (0 if words is None else 1)
    assert words is None or words in found[0].text
    assert [p.level for p in found] == (["warning"] if version == "1.99.0" else ["error"] if words else [])
    assert platform.check_versions(["nginx"], {"temporal_version": version}) == []


def test_pairs_that_are_not_supported_are_found() -> None:
    assert platform.check_pair("1.32.2", "17") == []
    assert platform.check_pair("1.32.2", None) == []
    (text,) = texts(platform.check_pair("1.32.2", "13"))
    assert text.startswith("postgres_version is 13: PostgreSQL 13 is too old")


# the host


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({}, []),
        ({"os": {"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04.3 LTS"}}, []),
        ({"os": {"id": "debian", "version": "11", "name": "Debian 11"}}, ["the operating system"]),
        ({"os": {"id": "fedora", "version": "42", "name": ""}}, ["the operating system"]),
        ({"architecture": "riscv64"}, ["the processor"]),
        ({"python": "3.9.2"}, ["Python"]),
        ({"systemd": False}, ["the init system"]),
        ({"privileged": False}, ["the account on the host"]),
    ],
)
def test_systems_that_are_not_supported_are_found(changes: dict[str, t.Any], about: list[str]) -> None:
    assert [p.about for p in platform.check_system(ROLES, {**PROBE, **changes})] == about


@pytest.mark.parametrize(
    ("system", "values", "text"),
    [
        (("debian", "13", "Debian 13"), {"pm2_worker_node_source": "distribution"}, None),
        (("debian", "12", "Debian 12"), {"pm2_worker_node_source": "nodesource", "pm2_worker_node_major": 22}, None),
        (("other", "1", "Other 1"), {"pm2_worker_node_source": "distribution"}, None),
        (
            ("debian", "12", "Debian 12"),
            {"pm2_worker_node_source": "distribution"},
            "pm2_worker_node_source is distribution, and Debian 12 has Node.js 18; expected Node.js 20 or newer. "
            "Set pm2_worker_node_source: nodesource, or controller.",
        ),
        (
            ("debian", "13", "Debian 13"),
            {"pm2_worker_node_source": "nodesource", "pm2_worker_node_major": 18},
            "pm2_worker_node_major is 18; expected 20 or newer. Choose a later one.",
        ),
        (
            ("debian", "12", "Debian 12"),
            {"pm2_worker_node_source": "controller", "pm2_worker_node_version": "24.21.0"},
            None,
        ),
        (
            ("debian", "12", "Debian 12"),
            {"pm2_worker_node_source": "controller", "pm2_worker_node_version": "18.20.4"},
            "pm2_worker_node_version is 18.20.4; expected 20 or newer. Choose a later one.",
        ),
    ],
)
def test_a_node_that_is_too_old_is_found(
    system: tuple[str, str, str], values: dict[str, t.Any], text: str | None
) -> None:
    probe = {**PROBE, "os": dict(zip(("id", "version", "name"), system, strict=True))}
    assert texts(platform.check_node(ROLES, values, probe)) == ([text] if text else [])
    assert platform.check_node(["temporal"], values, probe) == []


@pytest.mark.parametrize(
    ("version", "dpkg", "command", "found"),
    [
        ("12", "", ["/usr/bin/node", "w.js"], "Node.js 18, that of the distribution"),
        ("12", "nodejs\tamd64\tinstalled\t22.1.0-1nodesource1\tnpm\n", ["/usr/bin/node", "w.js"], ""),
        (
            "13",
            "nodejs\tamd64\tinstalled\t18.20.4-1nodesource1\tnpm\n",
            ["/usr/bin/node", "w.js"],
            "Node.js 18, that of the package nodejs on the host",
        ),
        ("12", "", ["bin/worker"], ""),
        ("12", "", ["/opt/node22/bin/node", "w.js"], ""),
        ("13", "", ["/usr/bin/node", "w.js"], ""),
    ],
)
def test_the_node_of_applications_under_systemd_is_that_of_the_host(
    version: str, dpkg: str, command: list[str], found: str
) -> None:
    one = {"name": "a", "runtime": "systemd", "processes": [{"name": "w", "command": command}]}
    probe = {**PROBE, "os": {"id": "debian", "version": version, "name": "Debian"}, "dpkg": dpkg}
    said = texts(platform.check_node(["systemd_worker"], {"topology_applications": [one]}, probe))
    assert said == (
        [
            f"the Node.js of the application a is {found}; expected 20 or newer. Install a package nodejs of 20 or newer on "
            "the host first, or set its runtime to pm2."
        ]
        if found
        else []
    )


def test_a_newer_package_nodejs_of_others_will_do() -> None:
    newer = "nodejs\tamd64\tinstalled\t22.1.0-1nodesource1\tnpm\n"
    probe = {**PROBE, "os": {"id": "debian", "version": "12", "name": "Debian 12"}, "dpkg": newer}
    values = {"pm2_worker_node_source": "distribution"}
    assert platform.check_node(["pm2_worker"], values, probe) == []
    assert len(platform.check_node(["pm2_worker"], values, {**probe, "dpkg": newer.replace("22.1.0", "18.1.0")})) == 1


def test_another_temporal_command_is_found_before_it_is_replaced() -> None:
    probe = {**PROBE, "temporal_command": "/usr/local/bin/temporal"}
    (text,) = texts(platform.check_temporal_command(["temporal_client"], {"temporal_client_command": True}, probe))
    assert "/usr/local/bin/temporal is somebody else's" in text
    assert "set temporal_client_command: false" in text
    for roles, wanted, seen in (
        (["temporal_client"], False, probe),
        (["temporal_client"], True, {**PROBE, "temporal_command": ""}),
        (["nginx"], True, probe),
    ):
        assert platform.check_temporal_command(roles, {"temporal_client_command": wanted}, seen) == []


@pytest.mark.parametrize(
    ("seen", "command", "texts_found"),
    [
        ({}, True, []),
        ({"command": "", "logs": []}, True, []),
        (
            {"command": "/usr/local/bin/pm2", "logs": []},
            True,
            ["npm uninstall --global pm2", "pm2_worker_command: false"],
        ),
        ({"command": "/usr/local/bin/pm2", "logs": []}, False, []),
        (
            {"command": "", "logs": ["api-out.log", "api-out.log.1", "old-out.log"]},
            True,
            ["/var/log/pm2/api-out.log is"],
        ),
        ({"command": "", "logs": ["worker-error.log"]}, True, []),  # of an application that systemd runs
    ],
)
def test_another_pm2_is_found_before_anything_is_replaced(
    seen: dict[str, t.Any], command: bool, texts_found: list[str]
) -> None:
    applications = [
        {"name": "orders", "processes": [{"name": "api"}]},
        {"name": "parcels", "runtime": "systemd", "processes": [{"name": "worker"}]},
    ]
    values = {"pm2_worker_command": command, "pm2_worker_applications": applications}
    found = texts(platform.check_pm2(["pm2_worker"], values, {**PROBE, "pm2": seen}))
    assert len(found) == (1 if texts_found else 0)
    assert all(text in found[0] for text in texts_found)
    assert platform.check_pm2(["systemd_worker"], values, {**PROBE, "pm2": seen}) == []


def test_a_directory_of_pm2_that_is_somebody_elses_is_found() -> None:
    probe = {**PROBE, "pm2": {"foreign": ["/opt/pm2/bin"]}}
    assert texts(platform.check_pm2(["pm2_worker"], {}, probe)) == [
        "/opt/pm2 is somebody else's: it has /opt/pm2/bin; expected none, or ours. Move it away: PM2 and Node.js of this "
        "collection lie there."
    ]


@pytest.mark.parametrize(
    ("roles", "runtime", "lost", "found"),
    [
        (["postgres"], "container", ["/srv/data/PG_VERSION"], 1),
        (["postgres"], "container", ["/srv/other/PG_VERSION"], 0),
        (["postgres"], "container", [], 0),
        (["postgres"], "external", ["/srv/data/PG_VERSION"], 0),
        (["temporal"], "container", ["/srv/data/PG_VERSION"], 0),
    ],
)
def test_data_that_is_gone_is_found(roles: list[str], runtime: str, lost: list[str], found: int) -> None:
    values = {"postgres_data_directory": "/srv//data/", "postgres_runtime": runtime}
    problems = platform.check_data(roles, values, {"lost_data": dict.fromkeys(lost, "/srv/mark")})
    assert [p.about for p in problems] == ["postgres_data_directory"] * found
    assert all("remove /srv/mark on the host." in p.text for p in problems)


@pytest.mark.parametrize(
    ("roles", "wanted", "there", "found"),
    [
        (["nginx"], True, False, 1),
        (["nginx"], False, False, 0),
        (["nginx"], True, True, 0),
        (["temporal"], True, False, 0),
    ],
)
def test_a_kernel_without_ipv6_is_found(roles: list[str], wanted: bool, there: bool, found: int) -> None:
    problems = platform.check_ipv6(roles, {"nginx_ipv6": wanted}, {"ipv6": there})
    assert [p.text for p in problems] == [
        "nginx_ipv6 is true, and the kernel has no IPv6; expected false. Set nginx_ipv6: false."
    ] * found


@pytest.mark.parametrize(
    ("accounts", "members", "found"),
    [({}, [], 0), ({"deploy": ""}, [], 1), ({"deploy": ""}, ["deploy"], 0)],
)
def test_an_account_of_others_that_is_to_use_the_engine_is_told(
    accounts: dict[str, str], members: list[str], found: int
) -> None:
    probe = {"accounts": accounts, "engine_users": members}
    problems = platform.check_engine_users(["docker"], {"docker_users": ["deploy"]}, probe)
    assert [p.level for p in problems] == ["warning"] * found
    assert all(p.text.startswith("the account deploy is on the host already, and becomes") for p in problems)
    assert platform.check_engine_users(["nginx"], {"docker_users": ["deploy"]}, probe) == []


def test_an_account_that_nobody_makes_does_not_get_the_engine() -> None:
    values = {"docker_users": ["deploy", "nobodyhere"], "host_deploy_user": "deploy"}
    probe = {"accounts": {"root": "x"}, "unknown": {"users": ["deploy", "nobodyhere"]}}
    (problem,) = platform.check_engine_users(["docker"], values, probe)
    assert problem.level == "error"
    assert problem.text == (
        "docker_users is a list with nobodyhere, and the host has no such account; expected accounts that are there, and the "
        "deploy user. Correct it, or make the account first: whoever is in it can do as much as root."
    )
    assert platform.check_engine_users(["nginx"], values, probe) == []
    # One of a company's directory is in no file.
    assert platform.check_engine_users(["docker"], values, {**probe, "unknown": {"users": ["deploy"]}}) == []


def test_a_group_that_the_host_does_not_have_is_told() -> None:
    values = {"host_deploy_groups": ["adm", "nosuchgroup"]}
    probe = {"unknown": {"groups": ["nosuchgroup"]}}
    (problem,) = platform.check_groups(["host"], values, probe)
    assert problem.text.startswith("host_deploy_groups is a list with nosuchgroup, and the host has no such group;")
    assert platform.check_groups(["host"], values, {}) == platform.check_groups([], values, probe) == []


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "Statement_Timeout", "idle_session_timeout"])
@pytest.mark.parametrize(
    ("value", "found"), [(5, 1), ("5", 1), (999, 1), (0, 0), ("0", 0), ("5s", 0), ("5ms", 0), (30000, 0), (None, 0)]
)
def test_a_limit_in_milliseconds_by_mistake_is_told(name: str, value: t.Any, found: int) -> None:
    problems = platform.check_settings(["postgres"], {"postgres_custom_config": {name: value, "work_mem": 5}})
    assert len(problems) == found
    assert platform.check_settings([], {"postgres_custom_config": {name: value}}) == []
    if found:
        assert problems[0].text == (
            f"postgres_custom_config: {name} is {value}, which is milliseconds; expected a time with its unit, such as "
            f"'{value}s', or 0 for none."
        )


def test_variables_of_the_ui_that_have_an_option_are_told() -> None:
    given = {"TEMPORAL_ADDRESS": "127.0.0.1:7233", "TEMPORAL_HIDE_LOGS": "true"}
    (problem,) = platform.check_ui_environment(["temporal_ui"], {"temporal_ui_environment": given})
    assert problem.text == (
        "temporal_ui_environment.TEMPORAL_ADDRESS is set; expected the option temporal_ui_temporal_address. Remove it, and set "
        "the option."
    )
    assert platform.check_ui_environment([], {"temporal_ui_environment": given}) == []
    # One is the role's own choice, which may be changed.
    role = Path(__file__).resolve().parents[4] / "roles" / "temporal_ui"
    written = yaml.safe_load((role / "vars/main.yml").read_text())["__temporal_ui_environment"]
    assert {*written} - {*platform.OF_THE_UI} == {"TEMPORAL_DISABLE_NEWS_FETCH"}
    assert {*platform.OF_THE_UI.values()} <= {*yaml.safe_load((role / "defaults/main.yml").read_text())}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:3100/health", 1),
        ("http://localhost:3100", 1),
        ("http://127.0.0.1:3200/health", 0),
        ("http://127.0.0.1:9000/health", 0),
        ("http://10.0.0.5:3100/health", 0),
        ("", 0),
    ],
)
def test_the_health_of_another_application_is_told(url: str, found: int) -> None:
    declared = [{"name": "approvals", "port": 3100}, {"name": "orders", "port": 3200, "health_url": url}]
    problems = [p.text for p in platform.check_applications(declared) if "health_url" in p.about]
    assert (
        problems
        == [
            f"topology_applications[1].health_url is {url}, which is the port of approvals; expected a URL of its own. Correct its "
            "port."
        ]
        * found
    )


def test_a_task_queue_that_is_there_twice_is_told() -> None:
    declared = [{"name": "orders", "task_queues": ["a", "b", "a"]}, {"name": "other", "task_queues": ["a"]}]
    problems = [p.text for p in platform.check_applications(declared) if "task_queues" in p.about]
    assert problems == [
        "topology_applications[0].task_queues is a list with a twice; expected each task queue once. Remove one of them."
    ]


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ({"processes": [{"name": "api"}]}, "exec_mode: cluster"),
        ({"processes": [{"name": "api", "exec_mode": "cluster"}, {"name": "worker"}]}, ""),
        ({"runtime": "systemd", "processes": [{"name": "api"}]}, "socket: true"),
        ({"runtime": "systemd", "processes": [{"name": "api", "socket": True}]}, ""),
        ({"port": None, "processes": [{"name": "api"}]}, ""),
        ({"processes": []}, ""),
    ],
)
def test_a_port_that_two_releases_cannot_share_is_told(application: dict[str, t.Any], expected: str) -> None:
    problems = platform._check_hand_over([{"name": "a", "port": 3000, **application}])
    assert [p.level for p in problems] == ["warning"] * bool(expected)
    assert all(f"expected one with {expected}." in p.text for p in problems)


def test_a_file_of_others_where_a_site_would_come_is_told() -> None:
    values = {"nginx_sites": [{"name": "orders"}, {"name": "shop"}]}
    probe = {"privileged": True, "foreign_files": ["/etc/nginx/conf.d/orders.conf", "/etc/nginx/conf.d/mine.conf"]}
    (problem,) = platform.check_foreign_sites(values, probe)
    assert problem.level == "error"
    assert "the nginx site orders is one whose /etc/nginx/conf.d/orders.conf is somebody else's" in problem.text
    assert platform.check_foreign_sites(values, {**probe, "privileged": False}) == []
    assert platform.check_foreign_sites({}, probe) == []


SITES = [{"name": "orders", "tls": {"certificate": "/c"}}, {"name": "ui", "kind": "ui"}]
FIREWALL = {"nginx_sites": SITES, "nginx_port": 80, "nginx_tls_port": 443, "nginx_ui_port": 8088}


@pytest.mark.parametrize(
    ("firewall", "values", "said"),
    [
        ({"name": ""}, {}, ""),
        ({"name": "ufw", "allowed": [[22, 22], [80, 80], [400, 500]]}, {}, ""),
        (
            {"name": "ufw", "allowed": [[22, 22], [80, 80]]},
            {},
            "the firewall ufw is active, and does not let in port 443; expected port 443 to be let in from where requests come. "
            "Let it in (such as ufw allow 443/tcp); this collection changes no firewall.",
        ),
        ({"name": "firewalld", "allowed": None}, {}, "its rules were not read; expected port 80 and 443 to be let in"),
        ({"name": "ufw", "allowed": [[80, 443]]}, {"topology_application_bind_address": "127.0.0.1"}, ""),
        (
            {"name": "ufw", "allowed": [[80, 443]]},
            {"topology_application_bind_address": "0.0.0.0"},
            "let in port 3000;",
        ),
    ],
)
def test_a_firewall_that_keeps_requests_away_is_told(
    firewall: dict[str, t.Any], values: dict[str, t.Any], said: str
) -> None:
    applications = [{"name": "orders", "port": 3000}]
    roles = ["nginx", "pm2_worker"]
    given = {**FIREWALL, "topology_applications": applications, **values}
    problems = platform.check_firewall(roles, given, {"firewall": firewall, "privileged": True})
    assert [p.level for p in problems] == (["warning"] if said else [])
    assert said in " ".join(texts(problems))
    assert platform.check_firewall(["postgres"], given, {"firewall": firewall, "privileged": True}) == []
    assert platform.check_firewall(roles, given, {"firewall": firewall, "privileged": False}) == []


HAS = {"addresses": ["10.0.0.5", "127.0.0.0/8", "127.0.0.1", "fd00::5", "fe80::1", "::1"]}
OTHER = (
    "temporal_bind_address is {}, which the host does not have; expected one of 127.0.0.1, 10.0.0.5, fd00::5. "
    "On several hosts, set topology_address to the one that the others reach."
)


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.3", "0.0.0.0", "[::]", "[fd00::5]", "[::1]", "localhost"])
def test_an_address_of_the_host_will_do(address: str) -> None:
    assert platform.check_addresses(["temporal"], {"temporal_bind_address": address}, HAS) == []


@pytest.mark.parametrize("address", ["10.99.99.99", "[fd00::6]"])
def test_an_address_that_the_host_does_not_have_is_told(address: str) -> None:
    values = {"temporal_bind_address": address}
    (problem,) = platform.check_addresses(["temporal"], values, HAS)
    assert problem.text == OTHER.format(address)
    for roles, more, probe in (
        (["temporal"], {}, {}),
        (["temporal"], {}, {"addresses": ["0.0.0.0/0", "::/0"]}),
        (["temporal"], {"temporal_runtime": "external"}, HAS),
        (["postgres"], {}, HAS),
    ):
        assert platform.check_addresses(roles, {**values, **more}, probe) == []


def test_an_address_family_that_was_not_read_is_not_judged() -> None:
    assert platform.check_addresses(["temporal"], {"temporal_bind_address": "10.9.9.9"}, {"addresses": ["::1"]}) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"docker_bind_address": "10.9.9.9"}, ["docker_bind_address"]),
        ({"systemd_worker_bind_address": "10.9.9.9"}, ["systemd_worker_bind_address"]),
        (
            {
                "topology_bind_address": "10.9.9.9",
                "postgres_bind_address": "10.9.9.9",
                "temporal_bind_address": "10.9.9.9",
            },
            ["topology_bind_address"],
        ),
        (
            {
                "topology_address": "10.9.9.9",
                "postgres_bind_address": "10.9.9.9",
                "temporal_ui_bind_address": "10.9.9.8",
            },
            ["topology_address", "temporal_ui_bind_address"],
        ),
    ],
    ids=str,
)
def test_an_address_is_told_where_it_is_set(values: dict[str, str], told: list[str]) -> None:
    roles = ["docker", "postgres", "temporal", "temporal_ui", "systemd_worker"]
    assert [p.about for p in platform.check_addresses(roles, values, HAS)] == told


ENGINE = {
    "program": True,
    "version": "28.3.0",
    "compose": "v2.38.1",
    "package": "",
    "own": False,
    "settings": {},
    "edited": False,
    "containers": [],
    "swarm": False,
}
DAEMON = {
    "docker_bind_address": "127.0.0.1",
    "docker_log_max_size": "10m",
    "docker_log_max_files": 3,
    "docker_daemon_options": {},
}


@pytest.mark.parametrize(
    ("roles", "source", "engine", "found"),
    [
        (["docker"], "none", {"version": "20.10.24", "package": "docker.io"}, 1),
        (["docker"], "distribution", {"package": "docker-ce"}, 1),
        (["docker"], "auto", {"package": "docker-ce"}, 0),
        (["docker"], "auto", None, 0),
        (["docker"], None, {"version": "20.10.24", "package": "docker.io"}, 0),
        (["nginx"], "none", {"version": "20.10.24", "package": "docker.io"}, 0),
    ],
)
def test_an_engine_that_will_not_do_is_found(
    roles: list[str], source: str | None, engine: dict[str, str] | None, found: int
) -> None:
    probe = {**PROBE, "engine": {**ENGINE, **engine} if engine else None}
    problems = platform.check_engine(roles, {**DAEMON, "docker_source": source}, probe)
    assert [p.about for p in problems] == ["docker_source"] * found


@pytest.mark.parametrize(
    ("declared", "there", "found"),
    [({}, {}, 0), ({"mtu": 1400}, {}, 1), ({"mtu": 1400}, {"mtu": 1500}, 1), ({"mtu": 1400}, {"mtu": 1400}, 0)],
)
def test_options_for_an_engine_that_is_left_as_it_is_are_named(
    declared: dict[str, int], there: dict[str, int], found: int
) -> None:
    probe = {**PROBE, "engine": {**ENGINE, "package": "docker-ce", "settings": digests(there)}}
    values = {**DAEMON, "docker_source": "auto", "docker_daemon_options": declared}
    problems = platform.check_engine(["docker"], values, probe)
    assert [(p.about, p.level) for p in problems] == [("docker_daemon_options", "warning")] * found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"disks": [{"path": "/opt/x", "at": "/", "total_mb": 9000, "free_mb": 3000}]}, ["warning"]),
        ({"disks": [{"path": "/opt/x", "at": "/", "total_mb": 9000, "free_mb": 100}]}, ["error"]),
        ({"memory_mb": 3900}, ["warning"]),
        ({"cpus": 1}, ["warning"]),
        ({"clock_ahead_seconds": -90}, ["warning"]),
        ({"clock_ahead_seconds": None}, []),
    ],
)
def test_too_little_room_is_found(changes: dict[str, t.Any], found: list[str]) -> None:
    assert [p.level for p in platform.check_room({**PROBE, **changes}, "small", True)] == found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("PORT", "4000", "port says; expected 3000. Take it out: it follows from port."),
        ("PORT", 3000, ""),
        ("PORT", None, ""),
        ("TEMPORAL_NAMESPACE", "default", "namespace says; expected orders. Take it out: it follows from namespace."),
        ("TEMPORAL_TASK_QUEUE", "c", "task_queues says; expected a or b. Take it out: it follows from task_queues."),
        ("TEMPORAL_TASK_QUEUE", "b", ""),
        ("TEMPORAL_TASK_QUEUE", "@keyvault/Queue", ""),
        ("OTHER", "1", ""),
    ],
)
def test_a_variable_that_contradicts_an_option_is_found(name: str, value: t.Any, found: str) -> None:
    one = {"name": "a", "port": 3000, "namespace": "orders", "task_queues": ["a", "b"], "environment": {name: value}}
    about = f"topology_applications[0].environment.{name} is another one than "
    assert texts(platform.check_applications([one])) == ([about + found] if found else [])
    assert platform.check_applications([{"name": "a", "environment": {name: value}}]) == []


def test_a_file_system_on_which_no_program_can_be_run_is_found() -> None:
    rows = [{"path": path, "at": "/", "noexec": True} for path in ("/opt/orders", "/var/lib", "/varied")]
    said = texts(platform.check_programs(["pm2_worker"], {"disks": rows}))
    assert [text.partition(";")[0] for text in said] == [
        f"the file system of {path} is mounted with noexec" for path in ("/opt/orders", "/varied")
    ]
    assert platform.check_programs(["postgres"], {"disks": rows}) == []
    assert platform.check_programs(["pm2_worker"], PROBE) == []


def test_sizes_are_about_hosts_that_store_data() -> None:
    assert len(platform.check_room(PROBE, "large", True)) == 1
    assert platform.check_room(PROBE, "large", False) == []


def test_paths_on_one_file_system_are_told_once() -> None:
    disks = [{"path": p, "at": "/", "total_mb": 9000, "free_mb": 100} for p in ("/opt/x", "/var/lib")]
    assert len(platform.check_room({**PROBE, "disks": disks}, "small", True)) == 1


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        ({}, []),
        ({"certificate": "/etc/ssl/a.pem", "key": "/etc/ssl/a.key"}, []),
        ({"certificate": "/etc/ssl/a.pem"}, ["key"]),
        ({"key": "/etc/ssl/a.key", "certificate": None}, ["certificate"]),
        ({"certificate_content": "x", "key_content": "y"}, ["certificate", "key"]),
        ({"certificate": "/etc/nginx/tls/a", "key": "/etc/nginx/tls/b", "certificate_content": "x"}, ["key_content"]),
        (
            {"certificate": "/etc/ssl/a", "key": "/etc/ssl/b", "certificate_content": "x", "key_content": "y"},
            ["certificate", "key"],
        ),
    ],
)
def test_a_certificate_without_its_key_is_found(tls: dict[str, str], named: list[str]) -> None:
    sites = [
        {"name": "a", "kind": "app", "tls": tls},
        {"name": "b", "kind": "app", "server_name": "b.example", "tls": tls},
    ]
    for about, values in (("topology_tls", {"topology_tls": tls}), ("nginx_sites[0].tls", {"topology_tls": {}})):
        problems = platform.check_sites({**VALUES, **values, "nginx_sites": sites})
        assert [p.about for p in problems if p.about.startswith(about)] == [f"{about}.{name}" for name in named]


def test_names_of_hosts_have_no_case() -> None:
    names = ("orders.example.com", "Orders.Example.com.")
    sites = [{"name": f"n{i}", "kind": "app", "server_name": name} for i, name in enumerate(names)]
    assert len(platform.check_sites({**VALUES, "nginx_sites": sites})) == 1


def test_an_edge_must_know_the_applications_that_it_publishes() -> None:
    declared = {"pm2_worker_applications": [{"name": "orders", "port": 3000}, {"name": "worker"}]}
    app = platform.Host("app1", ["pm2_worker"], platform.published(["pm2_worker"], declared, False))
    sites = [{"name": "temporal-ui"}]

    def edge(sites: list[dict[str, str]], own: bool = False) -> platform.Host:
        return platform.Host("edge1", ["nginx"], platform.published(["nginx"], {"nginx_sites": sites}, own))

    ((host, problem),) = platform.check_edges([app, edge(sites)])
    assert (host, problem.about) == ("edge1", "topology_applications")
    assert "without orders, which app1 has" in problem.text
    assert platform.check_edges([app, edge([*sites, {"name": "orders"}])]) == []
    assert platform.check_edges([app, edge(sites, own=True)]) == []
    assert platform.check_edges([edge(sites)]) == []


# applications and namespaces


def test_applications_that_would_overwrite_each_other_are_found() -> None:
    one = {"name": "a", "root": "/opt/a", "port": 3000, "artifact": "/a.tar.gz"}
    assert platform.check_applications([one, {"name": "b", "root": "/opt/b", "port": 3001}]) == []
    assert [p.about for p in platform.check_applications([one, {"name": "b", "root": "/opt/a", "port": 3000}])] == [
        "topology_applications[1].root",
        "topology_applications[1].port",
    ]
    assert [p.about for p in platform.check_applications([one, {"name": "a"}])] == ["topology_applications[1].name"]


def test_an_artifact_that_is_not_there_is_worth_knowing_and_stops_a_deployment() -> None:
    declared, missing = [{"name": "a", "artifact": "a.tar.gz"}, {"name": "b"}], {"a.tar.gz": "/home/me/a.tar.gz"}
    (warned,) = platform.check_artifacts(declared, missing)
    assert (warned.about, warned.level) == ("topology_applications[0].artifact", "warning")
    assert "'a.tar.gz', and there is no file /home/me/a.tar.gz on the controller" in warned.text
    missed, unset = platform.check_artifacts(declared, missing, ["a", "b"])
    assert (missed.level, missed.text) == ("error", warned.text)
    assert unset.level == "error"
    assert unset.text.startswith(
        "topology_applications[1].artifact is not set; expected a file made by the build of b."
    )
    assert platform.check_artifacts(declared, {}, ["a"]) == []
    (address,) = platform.check_artifacts([{"name": "a", "artifact": "https://ci.example.com/a.tar.gz"}], {"x": "y"})
    assert "is an address; expected a file made by the build of a, on the controller. Download it first" in address.text


def test_a_root_inside_of_another_one_is_found() -> None:
    inside = [{"name": "a", "root": "/opt/a"}, {"name": "b", "root": "/opt/a/b"}]
    (text,) = texts(platform.check_applications(inside))
    assert text.startswith("topology_applications[1].root is /opt/a/b, which lies in the root of a, /opt/a; expected a")
    (text,) = texts(platform.check_applications(inside[:1], {"temporal_directory": "/opt/a/temporal"}))
    assert "/opt/a, which holds temporal_directory, /opt/a/temporal; expected a" in text


def systemd(name: str, process: str) -> dict[str, t.Any]:
    processes = [{"name": process, "command": ["bin/x"]}]
    return {"name": name, "runtime": "systemd", "dependencies": "none", "processes": processes}


@pytest.mark.parametrize(
    ("other", "owner"),
    [
        (systemd("shop-a", "b"), "process b of the application shop-a"),
        ({"name": "shop-a-b"}, ""),
        (systemd("shop-a", "c"), ""),
    ],
)
def test_processes_whose_units_would_have_one_name_are_found(other: dict[str, t.Any], owner: str) -> None:
    for declared in ([other, systemd("shop", "a-b")], [systemd("shop", "a-b"), other]):
        found = texts(platform.check_applications(declared))
        assert len(found) == bool(owner)
        for text in found:
            assert "process a-b of the application shop" in text
            assert owner in text
            assert "shop-a-b" in text


def test_a_process_whose_units_are_called_as_that_of_pm2_is_found() -> None:
    declared = [{"name": "shop-a"}, systemd("shop", "a-pm2")]
    (text,) = texts(platform.check_applications(declared))
    assert "shop-a-pm2" in text
    assert "process a-pm2 of the application shop" in text
    assert "PM2 of the application shop-a" in text
    # Under systemd, shop-a has no such unit.
    assert platform.check_applications([systemd("shop-a", "b"), systemd("shop", "a-pm2")]) == []


def test_a_process_that_is_called_as_a_candidate_is_found() -> None:
    declared = [{"name": "shop", "processes": [{"name": "api-candidate", "script": "x.js"}]}]
    (text,) = texts(platform.check_applications(declared))
    assert "api-candidate of the application shop" in text
    assert platform.check_applications([systemd("shop", "api-candidate")]) == []


def test_namespaces_that_cannot_be_are_found() -> None:
    declared = [{"name": "a", "retention": "7d"}, {"name": "b"}]
    assert platform.check_namespaces("n", declared, {"orders": "a", "other": "b"}) == []
    assert platform.check_namespaces("n", None) == []
    problems = platform.check_namespaces("n", [*declared, {"name": "a", "retention": "5m"}], {"orders": "orders"})
    assert [(p.about, p.level) for p in problems] == [
        ("n[2].name", "error"),
        ("n[2].retention", "error"),
        ("the namespace of the application orders", "error"),
    ]
    (text,) = texts(platform.check_namespaces("n", [{"name": "a", "retention": "a week"}]))
    assert text.startswith("n[0].retention is 'a week'; expected a duration of one hour or more")
    (text,) = texts(platform.check_namespaces("n", [{"name": "temporal-system"}]))
    assert "which is the server's own" in text


def test_an_application_polls_the_namespace_of_the_sdk_when_it_names_none() -> None:
    declared = [{"name": "a", "task_queues": ["q"]}, {"name": "b", "namespace": "orders"}, {"name": "api"}]
    assert platform.namespaces_of(declared) == {"a": "", "b": "orders"}
    assert platform.namespaces_of([{"name": "c", "namespace": "theirs", "temporal_address": "cloud:7233"}]) == {}
    for wanted, ours, level in (("", True, "warning"), ("typo", False, "warning"), ("typo", True, "error")):
        (problem,) = platform.check_namespaces("n", [{"name": "a"}], {"x": wanted}, ours)
        assert problem.level == level
    assert platform.check_namespaces("n", [{"name": "default"}], {"x": ""}) == []


# several hosts


def host(name: str, roles: list[str], **changes: t.Any) -> platform.Host:
    return platform.Host(name, roles, {k: v for k, v in {**VALUES, **changes}.items() if k in platform.SHARED})


def test_hosts_that_fit_together_are_no_problem() -> None:
    assert platform.check_together([host("vm", ROLES)]) == []
    assert platform.check_together([]) == []
    assert platform.check_together([host("db", ["postgres"]), host("a", ["temporal"]), host("w", ["pm2_worker"])]) == []


def test_a_pair_on_different_hosts_is_found_and_the_database_named() -> None:
    problems = platform.check_together([host("db", ["postgres"], postgres_version="13"), host("a", ["temporal"])])
    assert [(name, p.about) for name, p in problems] == [("db", "postgres_version")]


def test_what_a_platform_has_once_is_refused_twice() -> None:
    groups = {"all": ["a", "b"], "postgres": ["a"], "temporal": ["a", "b"], "app": ["a", "b"]}
    ((name, problem),) = platform.check_members(groups)
    assert name == "b"
    assert problem.text == (
        "the group temporal is a and b; expected one host: the Temporal server on several hosts is not supported yet. "
        "Leave one of them in the group temporal."
    )
    assert [p.about for _name, p in platform.check_members({"postgres": ["a", "b"]})] == ["the group postgres"]
    assert platform.check_members({"temporal": ["a"], "temporal_ui": ["a", "b"], "edge": ["a", "b"]}) == []


def test_loopback_is_refused_where_others_need_it() -> None:
    server, app = host("t", ["temporal"], temporal_bind_address="10.0.0.2"), host("w", ["pm2_worker"])
    database = host("d", ["postgres"], postgres_bind_address="127.0.0.1")
    ((name, problem),) = platform.check_reach([database, server, app])
    assert name == "d"
    assert problem.text.startswith("postgres_bind_address is 127.0.0.1, and t must reach it; expected an address of")
    assert platform.check_reach([host("vm", ROLES, postgres_bind_address="127.0.0.1")]) == []
    assert platform.check_reach([host("d", ["postgres"], postgres_bind_address="10.0.0.1"), server, app]) == []


def test_servers_of_one_cluster_must_agree() -> None:
    problems = platform.check_together([host("a", ["temporal"]), host("b", ["temporal"], temporal_history_shards=4)])
    assert [(name, p.text) for name, p in problems] == [
        ("b", "temporal_history_shards is 4; expected 512 as on a. All hosts of a cluster need the same.")
    ]
    problems = platform.check_together([host("a", ["temporal"]), host("b", ["temporal"], temporal_version="1.31.2")])
    assert [(name, p.text) for name, p in problems] == [
        ("b", "temporal_version is 1.31.2; expected 1.32.2 as on a. All hosts of a cluster need the same.")
    ]


def test_pools_must_fit_into_the_connections_of_the_database() -> None:
    server = host("a", ["temporal"])
    assert platform.check_together([host("db", ["postgres"], postgres_max_connections=140), server]) == []
    problems = platform.check_together([host("db", ["postgres"], postgres_max_connections=139), server])
    ((name, problem),) = problems
    assert name == "db"
    assert "expected 140 or more: 1 Temporal server may open 120 connections" in problem.text
    two = platform.check_together([host("db", ["postgres"]), server, host("b", ["temporal"])])
    assert "2 Temporal servers may open 240" in two[0][1].text
    assert platform.check_budget({}, [VALUES]) == []


# the report


def test_the_summary_says_what_is_new_and_what_is_there() -> None:
    present = {
        **PROBE,
        "containers": [container("temporal-postgres", "local/postgres:17")],
        "listeners": [listener("0.0.0.0", 80, "nginx", "nginx.service")],
    }
    rows = platform.summary(ROLES, VALUES, present)
    assert [(r["component"], r["version"], r["ports"], r["present"]) for r in rows] == [
        ("PostgreSQL", "17", "127.0.0.1:5432", "postgres:17, running, healthy"),
        ("Temporal server", "1.32.2", "127.0.0.1:7233, 127.0.0.1:7243, 127.0.0.1:9090", "new"),
        ("Temporal UI", "2.56.0", "127.0.0.1:8080", "new"),
        ("nginx", "distribution", "80, 8088", "runs"),
        ("orders", "its artifact", "3000", "new"),
    ]
    assert platform.summary(["postgres"], {"postgres_runtime": "external"}, {})[0]["present"] == "used as it is"
    lines = platform.table([{"host": "vm", **row} for row in rows]).splitlines()
    assert len(lines) == 6
    assert (
        len({line.index(word) for line, word in zip(lines, ["component", "PostgreSQL", "Temporal", "Temporal"])}) == 1
    )


def test_the_same_problem_of_several_hosts_is_one_line() -> None:
    same, other = Problem("x", "x is 1; …"), Problem("y", "y is 2; …", "warning")
    found = [(name, same) for name in ("a", "b", "c", "d", "d")] + [("a", other)]
    assert platform.report(found, "error") == ["a, b, c and 1 more: x is 1; …"]
    assert platform.report(found, "warning") == ["a: y is 2; …"]


def test_the_socket_of_an_application_is_held_by_systemd() -> None:
    process = {"name": "api", "command": ["bin/api"], "socket": True}
    declared = {"name": "orders", "runtime": "systemd", "port": 3000, "processes": [process]}
    values = {"systemd_worker_applications": [declared]}
    ports = platform.ports(["systemd_worker"], values)
    for holder in (
        listener("127.0.0.1", 3000, "systemd", "init.scope"),
        listener("::", 3000, "x", "orders-api@r.1.service"),
    ):
        assert platform.check_foreign(ports, {**PROBE, "listeners": [holder]}) == []
        assert platform.summary(["systemd_worker"], values, {"listeners": [holder]})[0]["present"] == "runs"
    assert platform.check_foreign(ports, {**PROBE, "listeners": [listener("::", 3000, "x", "other.service")]})
    plain = {"systemd_worker_applications": [{**declared, "processes": [{**process, "socket": False}]}]}
    held = [listener("127.0.0.1", 3000, "systemd", "init.scope")]
    assert platform.check_foreign(platform.ports(["systemd_worker"], plain), {**PROBE, "listeners": held})


def test_options_of_an_application_that_cannot_work_together_are_found() -> None:
    found = texts(platform.check_applications([{"name": "orders", "dependencies": "wheels"}]))
    assert "dependencies is wheels and runtime pm2" in found[0]
