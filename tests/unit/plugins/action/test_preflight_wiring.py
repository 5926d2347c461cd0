# SPDX-License-Identifier: GPL-3.0-or-later
"""That every guard of preflight is asked, on the real specifications of the roles; and what the report makes of it."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.durable.temporal.plugins.action import host_probe, preflight, preflight_report

Json = dict[str, t.Any]
PROBE: Json = {
    "os": {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13 (trixie)"},
    "architecture": "x86_64",
    "python": "3.13.5",
    "systemd": True,
    "privileged": True,
    "memory_mb": 7800,
    "cpus": 2,
    "clock_ahead_seconds": 0.5,
    "disks": [{"path": "/opt", "at": "/opt", "total_mb": 50000, "free_mb": 40000}],
    "listeners": [],
    "containers": [],
}
SPECS = functools.cache(preflight.roles_.read_specs)
GROUPS = ("postgres", "temporal", "temporal_ui")
# One host of an inventory, which is what the wiring is made from.
HOST: Json = {
    "inventory_hostname": "vm1",
    "group_names": list(GROUPS),
    "groups": {"all": ["vm1"], **{group: ["vm1"] for group in GROUPS}},
    "hostvars": {"vm1": {}},
    # Made by filters of this collection, which Ansible does not find here.
    "topology_temporal_address": "127.0.0.1:7233",
    "topology_database_admin_host": "127.0.0.1",
    "topology_database_password": "Hq7-dgNx3kQ_v9Pz",
    "topology_postgres_superuser_password": "u8R_wLm2Tz-5cXyB",
}


@pytest.fixture(autouse=True)
def specs_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.roles_, "read_specs", SPECS)
    # Made by a filter, too.
    placed = {"topology_placed_applications": trust_as_template("{{ topology_applications }}")}
    read = preflight.roles_.read_variables
    monkeypatch.setattr(preflight.roles_, "read_variables", lambda *given: {**read(*given), **placed})


def action(kind: type, arguments: Json, variables: Json) -> Json:
    loader = DataLoader()
    task = mock.MagicMock(args=arguments, async_val=0, check_mode=False)
    made = kind(task, mock.MagicMock(), mock.MagicMock(), loader, Templar(loader), None)
    result: Json = made.run(task_vars=variables)
    return result


def judge(roles: t.Sequence[str] = ("postgres", "temporal"), probe: Json | None = None, **variables: t.Any) -> Json:
    given = {"roles": list(roles), "probe": PROBE if probe is None else probe, "ignored_variables": []}
    return action(preflight.ActionModule, given, {**HOST, **variables})


def about(judged: Json) -> list[str]:
    return [problem["about"] for problem in judged["problems"]]


def test_what_fits_is_no_problem() -> None:
    judged = judge()
    assert judged["problems"] == []
    assert judged["changed"] is False
    assert [row["component"] for row in judged["summary"]] == ["PostgreSQL", "Temporal server"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"temporal_grpc_prot": 7233}, "temporal_grpc_prot"),
        ({"temporal_grpc_port": "many"}, "temporal_grpc_port"),
        ({"temporal_user_interface": "{{ nosuch }}"}, "temporal_user_interface"),
        ({"temporal_http_port": 7233}, "temporal_http_port"),
        ({"temporal_version": "1.26.1"}, "temporal_version"),
        ({"topology_database_password": "changeme"}, "topology_database_password"),
        ({"keyvault_vualt": "company-prod"}, "keyvault_vualt"),
        ({"keyvault_auth_method": "magic"}, "keyvault_auth_method"),
        ({"topology_namespaces": [{"name": "a", "retention": "1m"}]}, "topology_namespaces[0].retention"),
        ({"topology_namespaces": [{"name": "a", "search_attributes": {}}]}, "topology_namespaces[0].search_attributes"),
        ({"topology_namespaces": [{"name": "a", "state": "gone"}]}, "topology_namespaces[0].state"),
        ({"temporal_namespaces": [{"nmae": "a"}]}, "temporal_namespaces[0].nmae"),
        ({"postgres_data_directory": "/srv"}, "postgres_data_directory"),
        ({"temporal_container": "temporal-postgres"}, "temporal_container"),
        ({"postgres_databases": [{"name": "a"}, {"name": "a"}]}, "postgres_databases[1].name"),
        (
            {"temporal_database_name": "a", "temporal_visibility_database_name": "a"},
            "temporal_visibility_database_name",
        ),
    ],
)
def test_what_is_declared_is_judged(variables: Json, named: str) -> None:
    assert named in about(judge(**variables))


@pytest.mark.parametrize("roles", [(), ("postgres", "temporal")])
@pytest.mark.parametrize(
    "variables",
    [
        {"topology_roles": []},
        {"topology_hosts": ["vm1"]},
        {"topology_single_host": True},
        {"topology_database": {}},
        {"__topology_checked": {}},
    ],
    ids=str,
)
def test_what_follows_from_the_groups_cannot_be_set(roles: t.Sequence[str], variables: Json) -> None:
    (problem,) = judge(roles, **variables)["problems"]
    (name,) = variables
    assert problem["level"] == "error"
    assert problem["text"].startswith(f"{name} is set; expected nothing: it follows from the groups"), problem


def test_what_follows_from_the_groups_may_be_there_as_it_is() -> None:
    defaults = preflight.roles_.read_variables(DataLoader(), ["topology"])
    as_it_is = {name: defaults[name] for name in ("topology_hosts", "topology_single_host", "__topology_checked")}
    others = {"topology_bind_address": "10.0.0.5", "topology_database_host": "db1.example.com"}
    assert judge(**as_it_is, **others)["problems"] == []


def test_roles_of_a_host_cannot_be_kept_from_judgement() -> None:
    defaults = preflight.roles_.read_variables(DataLoader(), ["topology"])
    (problem,) = judge(["host", "docker", "postgres"], topology_roles=defaults["topology_roles"])["problems"]
    assert problem["about"] == "preflight_roles"
    assert "with temporal_client, temporal, temporal_ui" in problem["text"]


def test_a_value_that_cannot_be_rendered_is_told() -> None:
    judged = judge(temporal_database_name=trust_as_template("{{ nosuch }}"))
    (problem,) = [p for p in judged["problems"] if p["about"] == "temporal_database_name"]
    assert problem["text"].startswith("temporal_database_name cannot be rendered; expected a value.")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architecture": "riscv64"}, "the processor"),
        ({"addresses": ["10.0.0.5"]}, "temporal_bind_address"),
        ({"disks": [{"path": "/opt", "at": "/", "total_mb": 9000, "free_mb": 90}]}, "the room at /opt"),
        (
            {"disks": [{"path": "/opt", "at": "/opt", "total_mb": 9000, "free_mb": 9000, "noexec": True}]},
            "the file system of /opt",
        ),
        (
            {
                "containers": [
                    {"name": "temporal-postgres", "image": "x", "directory": "/srv", "state": "exited", "health": ""}
                ]
            },
            "postgres_container",
        ),
        (
            {
                "listeners": [
                    {"address": "::", "port": 5432, "pid": 7, "process": "nc", "unit": "", "container": ""},
                ]
            },
            "postgres_port",
        ),
    ],
)
def test_what_the_host_has_is_judged(changes: Json, named: str) -> None:
    elsewhere = {"temporal_bind_address": "10.99.99.99"} if "addresses" in changes else {}
    roles = ("postgres", "temporal", *(["temporal_client"] if "file system" in named else []))
    assert about(judge(roles, probe={**PROBE, **changes}, **elsewhere)) == [named]


def test_applications_are_judged_and_their_artifacts_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").touch()
    one = {"name": "a", "root": "/opt/a", "user": "a", "namespace": "default", "artifact": str(tmp_path / "a.tar.gz")}
    two = {**one, "name": "b", "artifact": str(tmp_path / "b.tar.gz")}
    declared = preflight._platform(["app_release"], {"topology_applications": [one, two]}, PROBE)
    assert [p.about for p in declared] == ["topology_applications[1].root", "topology_applications[1].artifact"]
    ours = {"topology_applications": [one], "temporal_directory": "/opt/a/temporal"}
    both = preflight._platform(["app_release", "temporal"], ours, PROBE)
    assert [p.about for p in both] == ["topology_applications[0].root"]


OLD: Json = {
    "applications": [{"name": "old", "runtime": "pm2", "root": "/opt/old", "user": "old", "port": 3000}],
    "units": {"old": ["pm2"]},
    "listeners": [
        {"address": "::", "port": 3000, "pid": 7, "process": "node", "unit": "old-pm2.service", "container": ""}
    ],
}


def test_what_is_on_the_host_and_not_declared_is_told_wherever_it_is() -> None:
    assert about(judge(probe={**PROBE, **OLD})) == ["the application old"]


def test_a_rename_is_told_once_and_not_as_a_foreign_service_too() -> None:
    declared = [{"name": "new", "root": "/opt/old", "user": "old", "port": 3000}]
    found = preflight._platform(["app_release"], {"topology_applications": declared}, {**PROBE, **OLD})
    assert [(p.about, p.level) for p in found] == [("the application old", "warning"), ("the application new", "error")]
    # Another service on its port is told as before.
    elsewhere = [{**declared[0], "root": "/opt/new", "port": 3001}]
    listeners = [{**OLD["listeners"][0], "port": 3001, "unit": "theirs.service"}]
    probe = {**PROBE, **OLD, "listeners": listeners}
    found = preflight._platform(["app_release"], {"topology_applications": elsewhere}, probe)
    assert [p.about for p in found if p.level == "error"] == ["the port of the application new"]


API = {"name": "api", "script": "a.js", "exec_mode": "cluster"}


def test_a_port_that_nothing_publishes_is_told() -> None:
    application = {"name": "shop", "root": "/opt/shop", "port": 3000, "processes": [API]}
    groups = {"all": ["vm1"], "app": ["vm1"]}
    given = {"topology_applications": [application], "pm2_worker_node_source": "distribution"}
    judged = judge(["pm2_worker"], groups=groups, **given)
    assert about(judged) == ["the port of the application shop"]
    assert judge(["pm2_worker"], groups={**groups, "edge": []}, **given)["problems"] == []


def test_accounts_that_people_log_in_with_are_known() -> None:
    declared = [{"name": "a", "user": "admin"}, {"name": "b", "user": "ops"}]
    values = {"topology_applications": declared, "host_deploy_user": "ops"}
    found = preflight._platform(["app_release"], values, PROBE, {"ansible_user": "admin"})
    assert ["admin is that of ansible_user" in found[0].text, "ops is that of host_deploy_user" in found[1].text] == [
        True
    ] * 2


def test_node_is_judged() -> None:
    probe = {**PROBE, "os": {"id": "debian", "version": "12", "name": "Debian 12"}}
    found = preflight._platform(["pm2_worker"], {"pm2_worker_node_source": "distribution"}, probe)
    assert "pm2_worker_node_source" in [p.about for p in found]


def test_an_account_of_the_system_that_deploys_is_judged() -> None:
    assert "topology_deploy_user" in about(judge(["host"], topology_deploy_user="root"))


def test_data_that_is_gone_is_judged() -> None:
    probe = {**PROBE, "lost_data": {"/opt/order-processing/temporal/postgres-data/PG_VERSION": "/mark"}}
    assert about(judge(["postgres"], probe)) == ["postgres_data_directory"]


def test_the_engine_is_judged() -> None:
    engine = {
        "program": True,
        "version": "20.10.24",
        "package": "docker.io",
        "own": True,
        "edited": False,
        "settings": {},
    }
    judged = judge(["docker"], {**PROBE, "engine": engine}, docker_source="none")
    assert about(judged) == ["docker_source"]
    assert judge(["docker"], {**PROBE, "engine": {**engine, "version": "26.1.5"}})["problems"] == []


def test_a_host_out_of_reach_is_one_problem() -> None:
    (problem,) = judge(
        probe={"failed": True, "module_stderr": "", "msg": "Connection lost.\nsudo: a password is needed"}
    )["problems"]
    assert problem["text"].startswith("the host is out of reach (sudo: a password is needed); expected an answer.")


def test_a_role_that_is_none_of_ours_is_named() -> None:
    (problem,) = judge(roles=["postgres", "postgers"])["problems"]
    assert problem["text"].startswith("topology_roles is 'postgers'; expected roles of this collection: ")


def test_what_only_ansible_refuses_is_told() -> None:
    spec = {"web_key": {"type": "int", "choices": [1, 2]}, "web_mode": {"type": "nosuch"}}
    with mock.patch.object(preflight.options_, "check_options", return_value=[]):
        (problem,) = preflight._options("web", {"web_key": spec["web_key"]}, {"web_key": 3})
    assert problem.text.startswith("the role web will refuse its options: ")


# the report


def report(groups: Json | None = None, **hosts: Json) -> Json:
    variables = {"ansible_play_hosts_all": list(hosts), "hostvars": {n: {"__judged": r} for n, r in hosts.items()}}
    variables["groups"] = groups or {}
    return action(preflight_report.ActionModule, {"registered": "__judged"}, variables)


def judged(*problems: tuple[str, str], **values: t.Any) -> Json:
    return {
        "problems": [{"about": "x", "text": text, "level": level} for level, text in problems],
        "roles": ["temporal"],
        "values": values,
        "summary": [{"component": "Temporal server", "version": "1.32.2"}],
    }


def test_hosts_without_errors_are_summed_up() -> None:
    told = report(a=judged(("warning", "x is 1; …")), b=judged())
    assert not told.get("failed")
    assert told["cautions"] == ["a: x is 1; …"]
    assert [row["host"] for row in told["summary"]] == ["a", "b"]


def test_an_error_of_one_host_stops_all() -> None:
    told = report(a=judged(("error", "x is 1; …"), ("warning", "y is 2; …")), b=judged(("error", "x is 1; …")))
    assert told["failed"]
    assert told["msg"] == "1 problem; nothing was changed.\n- a, b: x is 1; …"


def test_a_host_that_was_not_examined_stops_all() -> None:
    told = report(a=judged(), b={"unreachable": True, "msg": "No route to host"})
    assert told["failed"]
    assert "b: the host is not examined (No route to host); expected an answer." in told["msg"]


def test_a_second_server_stops_all() -> None:
    told = report({"temporal": ["a", "b"]}, a=judged(), b=judged())
    assert told["failed"]
    assert "b: the group temporal is a and b; expected one host" in told["msg"]


def test_a_server_on_loopback_stops_all() -> None:
    told = report(a=judged(temporal_bind_address="127.0.0.1"), b={**judged(), "roles": ["pm2_worker"]})
    assert told["failed"]
    assert "a: temporal_bind_address is 127.0.0.1, and b must reach it" in told["msg"]


def test_an_edge_that_does_not_know_an_application_stops_all() -> None:
    edge = {**judged(), "roles": ["nginx"], "values": {"sites": []}}
    told = report(a=edge, b={**judged(), "roles": ["pm2_worker"], "values": {"serves": ["orders"]}})
    assert told["failed"]
    assert "a: topology_applications is without orders, which b has" in told["msg"]


def test_networks_are_judged() -> None:
    assert about(judge(temporal_docker_network="other")) == ["temporal_docker_network"]


def test_hosts_that_do_not_fit_together_stop_all() -> None:
    told = report(a=judged(temporal_history_shards=512), b=judged(temporal_history_shards=4))
    assert told["failed"]
    assert "b: temporal_history_shards is 4; expected 512 as on a." in told["msg"]


def test_sources_are_judged() -> None:
    (problem,) = judge(topology_artifact_source="go_module", postgres_version="16")["problems"]
    assert problem["text"].startswith(
        "postgres_version is '16'; expected 15 or 17: topology_artifact_source is go_module"
    )
    (problem,) = judge(topology_artifact_source="archive", topology_artifact_directory="/nosuch")["problems"]
    assert problem["about"] == "topology_artifact_directory"


@pytest.mark.parametrize("source", ["registry", "release", "go_module"])
def test_one_variable_decides_where_everything_comes_from(source: str) -> None:
    assert (
        judge(["postgres", "temporal", "temporal_ui", "temporal_client"], topology_artifact_source=source)["problems"]
        == []
    )


def test_options_of_the_wiring_are_judged_and_told_once() -> None:
    named = about(judge(topology_size="tiny"))
    assert "topology_size" in named
    assert not {"postgres_size", "temporal_size"} & set(named)
    (problem,) = judge(topology_artifact_source="regsitry")["problems"]
    assert problem["text"].startswith("topology_artifact_source is 'regsitry'; expected one of registry,")


APPLICATION: Json = {"name": "shop", "root": "/opt/shop", "processes": [{"name": "w", "script": "a.js"}]}
CONTROLLER: Json = {"pm2_worker_node_source": "controller", "app_release_temporal_address": "temporal:7233"}
PM2 = ("host", "pm2_worker", "temporal_client")


@pytest.mark.parametrize(
    ("roles", "variables", "said"),
    [
        (PM2, {"topology_temporal_address": ""}, "topology_temporal_address is empty; expected a host and a port"),
        (PM2, {"topology_temporal_address": None}, "topology_temporal_address is null; expected text."),
        (
            PM2,
            {"topology_temporal_address": "http://x:7233"},
            "topology_temporal_address is 'http://x:7233'; expected a",
        ),
        (GROUPS, {"topology_database_host": ""}, "topology_database_host is empty; expected a host name"),
        (GROUPS, {"topology_database_host": None}, "topology_database_host is not set; expected text."),
        (
            GROUPS,
            {"topology_bind_address": "localhost"},
            "topology_bind_address is 'localhost'; expected an IP address",
        ),
        (GROUPS, {"topology_database_password": ""}, "topology_database_password is empty; expected a password."),
        (GROUPS, {"topology_docker_network": "host"}, "topology_docker_network is 'host'; expected the name of a"),
        (GROUPS, {"topology_deploy_user": "a b"}, "topology_deploy_user is 'a b'; expected the name of an account"),
        ((*GROUPS, "host"), {"topology_name": "Order Processing"}, "topology_name is 'Order Processing'; expected"),
        ((*GROUPS, "host"), {"topology_root": "/opt/a b"}, "topology_root is '/opt/a b'; expected an absolute path"),
        (
            PM2,
            {"topology_namespaces": [{"name": "$(id)"}]},
            "topology_namespaces[0].name is '$(id)'; expected the name of",
        ),
        (PM2, {"topology_applications": None}, "topology_applications is null; expected a list of mappings."),
        (PM2, {"topology_applications": {"a": 1}}, "topology_applications is a mapping; expected a list of mappings."),
        (
            (*PM2, "systemd_worker"),
            {"topology_applications": [{**APPLICATION, "processes": {"w": {}}}]},
            "topology_applications[0].processes is a mapping; expected a list of mappings.",
        ),
        (
            (*PM2, "systemd_worker"),
            {"topology_applications": [{**APPLICATION, "server_name": "https://x/"}]},
            "topology_applications[0].server_name is 'https://x/'; expected a host name",
        ),
        (
            PM2,
            {"pm2_worker_applications": [{**APPLICATION, "server_name": "https://x/"}]},
            "pm2_worker_applications[0].server_name is 'https://x/'; expected a host name",
        ),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_told_once_where_users_set_it(roles: list[str], variables: Json, said: str) -> None:
    given = {**(CONTROLLER if "pm2_worker" in roles else {}), **variables}
    told = [problem["text"] for problem in judge(roles, **given)["problems"]]
    assert [text[: len(said)] for text in told] == [said], told


def test_environments_of_systemd_are_judged() -> None:
    application = {"name": "shop", "root": "/opt/shop", "runtime": "systemd", "environment": {"KEY": "a\rb"}}
    judged = judge(["systemd_worker"], topology_applications=[application])
    assert about(judged) == ["topology_applications[0].environment.KEY"]


def test_an_application_with_a_wrong_option_is_judged_with_the_others() -> None:
    applications = [{**APPLICATION, "processes": {}}, {**APPLICATION, "name": "b", "root": "/opt/shop", "user": "0"}]
    named = about(judge(PM2, **CONTROLLER, topology_applications=applications))
    assert named == ["topology_applications[0].processes", "topology_applications[1].root", "topology_applications[1]"]


# References to secrets

DECLARED = """\
topology_applications:
  - name: orders
    environment: "{{ orders_environment }}"
    processes:
      - name: worker
        script: dist/worker.js
        args: "--key @keyvault/Known"
        environment: {PLAIN: text}
orders_environment:
  GOOD: "db:@keyvault/Known@db"
  UNKNOWN: "@keyvault/Nobody"
  CASE: "@KeyVault/Known"
app_release_environment: {ALSO: "@keyvault/Nobody"}
temporal_ui_environment: {UI: "@keyvault:Known"}
host_ca_environment: {OPEN: "@keyvault/Known"}
topology_deploy_user: "@keyvault/Known"
"""


def declared(folder: Path, text: str = DECLARED) -> dict[str, t.Any]:
    (folder / "mine.yml").write_text(text)
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "Known").write_text("canary-value\n")
    read = DataLoader().load_from_file(str(folder / "mine.yml"), trusted_as_template=True)
    return {**read, "inventory_dir": str(folder), "secrets_directory": str(secrets), "topology_root": "/opt/orders"}


def test_references_are_judged_where_they_are_written(tmp_path: Path) -> None:
    judged = judge(("host", "temporal_ui", "pm2_worker"), **declared(tmp_path))
    told = {problem["about"]: problem["text"] for problem in judged["problems"]}
    application = "topology_applications[0].environment"
    expected = {
        f"{application}.UNKNOWN": f"{application}.UNKNOWN (mine.yml:11) refers to the secret Nobody, which is not known",
        f"{application}.CASE": f"{application}.CASE (mine.yml:12) cannot be resolved. Not a reference",
        "topology_applications[0].processes[0].args": (
            "topology_applications[0].processes[0].args (mine.yml:7) refers to a secret, which only the values of"
        ),
        "app_release_environment.ALSO": "app_release_environment.ALSO (mine.yml:13) refers to the secret Nobody",
        "temporal_ui_environment.UI": "temporal_ui_environment.UI (mine.yml:14) cannot be resolved. Not a reference",
        "host_ca_environment.OPEN": "host_ca_environment.OPEN (mine.yml:15) refers to a secret, and everybody may read",
        "topology_deploy_user": "topology_deploy_user (mine.yml:16) refers to a secret, which only the values of an environment do",
    }
    assert {place: told.get(place, "")[: len(text)] for place, text in expected.items()} == expected
    # Once each: pm2_worker_applications and so on take theirs from the wiring.
    assert not [place for place in about(judged) if place.startswith(("pm2_worker_applications", "app_release_app"))]
    assert "canary-value" not in str(judged)


SEVERAL = """\
our_applications:
  - name: orders
    port: 3000
    processes:
      - name: worker
        script: dist/worker.js

  - name: shop
    port: 3000
    prot: 1
    processes:
      - {name: worker, script: dist/worker.js}
      - name: api
        instances: many
  - {name: shop-two, namespace: nosuch, processes: []}
topology_applications: "{{ our_applications }}"
temporal_dynamic_config:
  frontend.rps: 100

  frontend.namespaceRPS:
    - value: many
"""


def test_the_line_of_an_application_is_told_and_not_that_of_the_list(tmp_path: Path) -> None:
    judged = judge(("temporal", "pm2_worker"), **declared(tmp_path, SEVERAL))
    told = {problem["about"]: problem["text"] for problem in judged["problems"]}
    places = {
        "topology_applications[1].port": 9,
        "topology_applications[1].prot": 10,
        "topology_applications[1].processes[1].instances": 14,
        "the port of the application shop": 8,
        "the namespace of the application shop-two": 15,
        "temporal_dynamic_config.frontend.namespaceRPS[0].value": 21,
    }
    assert {
        about: told[about].startswith(f"{about} (mine.yml:{line}) ") for about, line in places.items()
    } == dict.fromkeys(places, True), told
    assert told["topology_applications[1].prot"].endswith("Did you mean port?")


def test_a_provider_that_cannot_be_asked_is_one_problem(tmp_path: Path) -> None:
    wanted = {"pm2_worker_node_source": "controller", "topology_root": str(tmp_path), "topology_deploy_user": "x"}
    environment = {"A": "@keyvault/X", "B": "@keyvault/Y"}
    (problem,) = judge(("pm2_worker",), **wanted, app_release_environment=environment)["problems"]
    assert problem["about"] == "secrets_provider"
    assert "secrets_directory is not set" in problem["text"]


def test_certificates_and_owners_that_are_not_there_are_told_where_users_set_them(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    certificates = [str(tmp_path / "ca.pem"), str(tmp_path / "nosuch.pem")]
    databases = [{"name": "a", "owner": "nobody"}]
    judged = judge((*GROUPS, "host"), topology_ca_certificates=certificates, postgres_databases=databases)
    assert about(judged) == ["topology_ca_certificates[1]", "postgres_databases[0].owner"]


TLS = {"certificate": "/etc/ssl/orders.pem", "key": "/etc/ssl/orders.key"}
SITE = {"name": "orders", "kind": "app", "upstream_servers": ["127.0.0.1:3000"], "tls": TLS}


def test_the_files_that_the_roles_of_a_host_name_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        host_probe.ActionModule, "_execute_module", lambda _self, module_name, module_args, task_vars: module_args
    )
    variables = {**HOST, "nginx_sites": [SITE], "topology_tls": TLS, "postgres_ca_cert": "/etc/ssl/db.pem"}
    given = {"paths": ["/opt"], "pem_files": ["/etc/ssl/own.pem"]}
    for roles, files in (
        (["nginx", "postgres"], ["/etc/ssl/own.pem", TLS["certificate"], TLS["key"], "/etc/ssl/db.pem"]),
        (["postgres"], ["/etc/ssl/own.pem", "/etc/ssl/db.pem"]),
        (["temporal"], ["/etc/ssl/own.pem"]),
    ):
        asked = action(host_probe.ActionModule, given, {**variables, "preflight_roles": roles})
        assert (asked["paths"], asked["pem_files"]) == (["/opt"], files)
    unknown = {**variables, "preflight_roles": ["nginx"], "nginx_sites": trust_as_template("{{ nosuch }}")}
    assert action(host_probe.ActionModule, {}, unknown) == {}
    assert action(host_probe.ActionModule, {}, HOST) == {}


def test_the_places_that_the_roles_of_a_host_take_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        host_probe.ActionModule, "_execute_module", lambda _self, module_name, module_args, task_vars: module_args
    )
    variables = {**HOST, "topology_root": "/srv/t", "topology_applications": [{"name": "orders", "root": "/srv/o"}]}
    asked = action(host_probe.ActionModule, {}, {**variables, "preflight_roles": ["host", "postgres", "pm2_worker"]})
    data, own = "/srv/t/temporal/postgres-data", ["/srv/o/current", "/srv/o/releases", "/srv/o/shared"]
    assert asked == {"directories": ["/srv/t/temporal", data, *own]}
    named = {
        **HOST,
        "preflight_roles": ["host", "docker"],
        "host_deploy_groups": ["adm"],
        "docker_users": ["deploy", "anna"],
    }
    asked = action(host_probe.ActionModule, {}, named)
    assert (asked["groups"], asked["users"]) == (["adm"], ["deploy", "anna"])


def test_places_of_others_are_told() -> None:
    seen = {"owner": "erik", "is": "directory", "names": ["notes"], "ours": False}
    probe = {**PROBE, "directories": {"/opt/order-processing/temporal": seen}}
    (problem,) = judge(("host",), probe)["problems"]
    assert problem["text"].startswith("topology_root is /opt/order-processing/temporal, which belongs to erik;")


def test_files_that_are_not_on_the_host_are_told() -> None:
    probe = {**PROBE, "pem_files": {TLS["certificate"]: ["CERTIFICATE"], TLS["key"]: None}}
    (problem,) = judge(("nginx",), probe, nginx_sites=[SITE], topology_tls=TLS)["problems"]
    assert problem["text"].startswith(
        "topology_tls.key is '/etc/ssl/orders.key', and there is no such file on the host;"
    )


def test_variables_for_every_process_are_judged_by_who_runs_them() -> None:
    application = {"name": "orders", "processes": [{"name": "worker", "script": "dist/worker.js"}]}
    told = judge(
        ("pm2_worker",),
        topology_applications=[application],
        pm2_worker_environment={"status": "x"},
        app_release_environment={"unique_id": "x"},
    )["problems"]
    assert [problem["about"] for problem in told] == [
        "pm2_worker_environment.status",
        "app_release_environment.unique_id",
        "pm2_worker_environment",
    ]


def test_the_dynamic_configuration_of_the_server_is_judged() -> None:
    config = {"frontend.rsp": 5, "company.own": 1}
    given = {"roles": ["temporal"], "probe": PROBE, "ignored_variables": ["temporal_dynamic_config.company.*"]}
    judged = action(preflight.ActionModule, given, {**HOST, "temporal_dynamic_config": config})
    assert about(judged) == ["temporal_dynamic_config.frontend.rsp"]
    assert judge(("postgres",), temporal_dynamic_config=config)["problems"] == []
