# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications: defaults, paths and what is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.filter.applications import applications
from ansible_collections.durable.temporal.plugins.filter.pm2_ecosystem import pm2_ecosystem
from ansible_collections.durable.temporal.plugins.filter.systemd_environments import systemd_environments
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise

PROCESS = {"name": "worker", "script": "dist/worker.js"}
UNIT = {"name": "worker", "command": ["bin/worker"]}
VERSIONED = {"name": "a", "runtime": "systemd", "versioning": "worker_deployment"}


def test_paths_follow_from_the_name() -> None:
    application = normalise({"name": "order-processing"})
    assert application["root"] == "/opt/order-processing/workflow"
    assert application["ecosystem"] == "/etc/durable-temporal/order-processing/ecosystem.config.json"
    assert application["pm2_home"] == "/var/lib/durable-temporal/home/order-processing/.pm2"
    assert application["unit"] == "order-processing-pm2.service"
    assert (application["user"], application["group"]) == ("workflow", "workflow")


def test_what_is_declared_wins_and_null_means_unset() -> None:
    application = normalise({"name": "a", "root": "/srv/a/", "user": "app", "keep_releases": 2, "port": None})
    assert (application["root"], application["current"]) == ("/srv/a", "/srv/a/current")
    assert (application["user"], application["group"], application["keep_releases"]) == ("app", "app", 2)


@pytest.mark.parametrize("root", ["/opt/a", "/srv/a", "/var/lib/a", "/var/www/a", "/opt/durable-temporals/a"])
def test_a_directory_of_its_own_is_taken(root: str) -> None:
    assert normalise({"name": "a", "root": root})["root"] == root


def test_what_a_release_may_write_names_nothing_else() -> None:
    plain = normalise({"name": "orders", "processes": [PROCESS]})
    assert normalise({"name": "orders", "processes": [PROCESS], "writable": ["uploads"]}) == {
        **plain,
        "writable": ["uploads"],
    }


def test_normalising_again_changes_nothing() -> None:
    once = normalise({"name": "a", "processes": [PROCESS], "environment": {"A": 1}})
    assert normalise(once) == once


def test_the_kill_timeout_is_longer_than_what_pm2_gives() -> None:
    (process,) = normalise({"name": "a", "processes": [PROCESS]})["processes"]
    assert process["kill_timeout"] >= 30000
    assert process["wait_ready"] is True


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({}, "name is ''"),
        *(
            ({"name": "a", "writable": [name]}, "writable is '.*'; expected names of directories of its own")
            for name in ("", "a/b", "..", "/srv", "dist", "node_modules", "deploys.log", ".env")
        ),
        (
            {"name": "a", "writable": ["src"], "processes": [{"name": "w", "script": "./src/w.js"}]},
            "writable names the directory of ./src/w.js, which process w starts",
        ),
        (
            {"name": "a", "runtime": "systemd", "dependencies": "none", "npm_environment": {"A": "b"}},
            "npm_environment is for npm, and dependencies is none",
        ),
        (
            {"name": "a", "runtime": "systemd", "dependencies": "wheels", "install_scripts": ["a"]},
            "install_scripts is for npm, and dependencies is wheels",
        ),
        (
            {"name": "a", "npm_environment": {"PATH": "/x", "TOKEN": "b"}},
            "npm_environment has PATH, with which npm would run",
        ),
        ({"name": "a", "processes": [{"name": "w" * 179, "script": "w.js"}]}, "it has 181 characters"),
        ({"name": "Order Processing"}, "lower-case"),
        ({"name": "../etc"}, "lower-case"),
        ({"name": "a", "root": "relative"}, "root is 'relative'"),
        ({"name": "a", "root": "/"}, "root is ''"),
        *(
            ({"name": "a", "root": root}, "directory of its own")
            for root in (
                *("/opt/../etc", "/opt//a", "/opt", "/etc/a", "/usr/local/a", "/home/a", "/root/a", "/var/a", "/run/a"),
                *(
                    "/var/lib/docker/a",
                    "/var/lib/durable-temporal/applications",
                    "/opt/pm2/a",
                    "/opt/durable-temporal/a",
                ),
                *("/opt/durable-temporal", "/opt/containerd/a", "/var/tmp/a", "/var/spool/a", "/var/log/a"),
                *("/var/cache/a/b", "/opt/./a", "/opt/a/./b", "/opt/a/.."),
            )
        ),
        *(({"name": name}, "which the system or this collection uses") for name in ("nginx", "systemd", "temporal-ui")),
        *(({"name": "a", "group": group}, f"group is {group}") for group in ("root", "docker", "sudo")),
        ({"name": "a", "user": "root"}, "user is root"),
        ({"name": "a", "user": "app,root"}, "user is 'app,root'; expected up to 32 lower-case"),
        *(
            ({"name": "a", "user": user}, "expected up to 32 lower-case")
            for user in ("0", "Work Flow", "a" * 33, "a\n")
        ),
        ({"name": "a", "group": "#0"}, "group is '#0'; expected up to 32 lower-case"),
        ({"name": "a", "processes": [{"name": "w"}]}, "script is missing"),
        ({"name": "a", "processes": [{"script": "x"}]}, "a name"),
        ({"name": "a", "processes": [{**PROCESS, "instances": 0}]}, "at least 1"),
        ({"name": "a", "processes": [{**PROCESS, "exec_mode": "clustre"}]}, "fork or cluster"),
        ({"name": "a", "processes": [{**PROCESS, "instanses": 2}]}, "unknown option instanses"),
        ({"name": "a", "processes": [PROCESS, PROCESS]}, "declared twice"),
        ({"name": "a", "runtime": "docker"}, "runtime is 'docker'; expected pm2 or systemd"),
        ({"name": "a", "dependencies": "pip"}, "expected npm or wheels or none"),
        ({"name": "a", "dependencies": "wheels"}, "set runtime to systemd"),
        ({"name": "a", "versioning": "worker_deployment"}, "only systemd keeps the builds"),
        ({"name": "a", "rollout_steps": [{"percentage": 5}]}, "rollout_steps without versioning"),
        ({**VERSIONED, "rollout_steps": [{"percentage": 50}, {"percentage": 25}]}, r"\[50, 25\]; they rise"),
        ({**VERSIONED, "rollout_steps": [{"percentage": 101}]}, "they rise from 1 up to 100"),
        ({"name": "a", "processes": [{**PROCESS, "command": ["x"]}]}, "command is for the runtime systemd"),
        ({**VERSIONED, "processes": [{**PROCESS, **UNIT}]}, "script is for the runtime pm2, and this one is systemd"),
        ({**VERSIONED, "processes": [{"name": "w"}]}, "command is missing; write a list"),
        ({**VERSIONED, "processes": [{**UNIT, "command": "bin/worker -x"}]}, "write a list"),
        *(
            (
                {**VERSIONED, "processes": [{**UNIT, "command": [program, "-x"]}]},
                "expected the path of a program without",
            )
            for program in ("bin/worker -x", "bin/wörk er", "bin/%n", "bin/a\nUser=root", "")
        ),
        ({**VERSIONED, "processes": [{**UNIT, "memory_max": "1 GB"}]}, "expected a size with its unit, such as 512M"),
        ({**VERSIONED, "processes": [{**UNIT, "memory_max": "512"}]}, "expected a size with its unit, such as 512M"),
        ({**VERSIONED, "processes": [{**UNIT, "socket": True}]}, "the application no port; set port"),
        (
            {**VERSIONED, "port": 1, "processes": [{**UNIT, "socket": True}, {**UNIT, "name": "b", "socket": True}]},
            "can be that of one",
        ),
    ],
)
def test_what_cannot_work_is_refused(declared: dict[str, t.Any], says: str) -> None:
    with pytest.raises(InvalidApplication, match=says):
        normalise(declared)


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        *(
            (name, "which PM2 has for its own")
            for name in ("status", "name", "unique_id", "restart_time", "watch", "cron_restart", "NODE_APP_INSTANCE")
        ),
        ("DURABLE_DEFINITION", "which this collection sets"),
        ("api", "which is the name of a process"),
    ],
)
def test_a_variable_that_pm2_has_for_something_else_is_refused(variable: str, says: str) -> None:
    process = {**PROCESS, "name": "api"}
    said = f"environment has the variable {variable}, {says}.*; expected another name"
    for declared in (
        {"environment": {variable: "x"}, "processes": [process]},
        {"processes": [{**process, "environment": {variable: "x"}}]},
        {"temporal_address_variables": [variable], "processes": [process]},
    ):
        with pytest.raises(InvalidApplication, match=said):
            normalise({"name": "a", **declared})
    other = {**PROCESS, "name": "other", "environment": {"api": "x"}}
    normalise({"name": "a", "processes": [process, other]})
    units = [{"name": "api", "command": ["api"], "environment": {variable: "x"}}]
    normalise({"name": "a", "runtime": "systemd", "dependencies": "none", "processes": units})
    normalise({"name": "a", "environment": {variable: None}, "processes": [process]})


SYSTEMD_UNIT = {"name": "a", "runtime": "systemd", "dependencies": "none", "processes": [UNIT]}


@pytest.mark.parametrize("variable", ["NOTIFY_SOCKET", "LISTEN_FDS", "WATCHDOG_USEC"])
def test_a_variable_that_systemd_has_for_something_else_is_refused(variable: str) -> None:
    for declared in (
        {**SYSTEMD_UNIT, "environment": {variable: "x"}},
        {**SYSTEMD_UNIT, "processes": [{**UNIT, "environment": {variable: "x"}}]},
    ):
        with pytest.raises(
            InvalidApplication, match=f"has the variable {variable}, which systemd has for its own.* variable.$"
        ):
            normalise(declared)
    normalise({**SYSTEMD_UNIT, "environment": {variable: None}})
    normalise({"name": "a", "environment": {variable: "x"}, "processes": [PROCESS]})


def test_the_build_of_a_versioned_worker_cannot_be_declared() -> None:
    environment = {"TEMPORAL_BUILD_ID": "x"}
    with pytest.raises(InvalidApplication, match="TEMPORAL_BUILD_ID, which this collection sets"):
        normalise({**VERSIONED, "processes": [UNIT], "environment": environment})
    normalise({**SYSTEMD_UNIT, "environment": environment})


def test_variables_for_every_process_that_the_runtime_has_for_something_else_are_refused() -> None:
    pm2 = {"name": "a", "processes": [PROCESS]}
    said = "pm2_worker_environment or app_release_environment has the variable status, which PM2 has for its own"
    with pytest.raises(AnsibleFilterError, match=said):
        pm2_ecosystem({}, pm2, {"status": "x"})
    with pytest.raises(AnsibleFilterError, match=said):
        applications({}, [pm2], "pm2", {"status": "x"})
    with pytest.raises(AnsibleFilterError, match="has the variable worker, which is the name of a process"):
        pm2_ecosystem({}, pm2, {"worker": "x"})
    said = "systemd_worker_environment or app_release_environment has the variable NOTIFY_SOCKET, which systemd has"
    with pytest.raises(AnsibleFilterError, match=said):
        systemd_environments({}, [SYSTEMD_UNIT], {"NOTIFY_SOCKET": "x"})
    pm2_ecosystem({}, pm2, {"status": None, "NOTIFY_SOCKET": "x"})
    systemd_environments({}, [SYSTEMD_UNIT], {"status": "x"})


@pytest.mark.parametrize(
    ("programs", "dependencies"),
    [
        (["bin/worker"], "none"),
        (["/usr/bin/python3"], "none"),
        (["venv/bin/python"], "wheels"),
        (["./venv/bin/python"], "wheels"),
        (["./node_modules/.bin/tsx"], "npm"),
        (["bin/api", "venv/bin/python"], "wheels"),
        (["/usr/bin/node"], "npm"),
        (["node_modules/.bin/tsx"], "npm"),
        ([], "npm"),
    ],
)
def test_what_systemd_runs_tells_how_its_dependencies_are_installed(programs: list[str], dependencies: str) -> None:
    processes = [{"name": f"p{number}", "command": [program, "-v"]} for number, program in enumerate(programs)]
    declared = {"name": "a", "runtime": "systemd", "processes": processes}
    assert normalise(declared)["dependencies"] == dependencies
    assert normalise({**declared, "dependencies": "npm"})["dependencies"] == "npm"
    (view,) = applications({}, [declared], "release")
    assert view["dependencies"] == dependencies
    assert view["programs"] == {f"p{number}": program for number, program in enumerate(programs)}
    assert view["executed"]


def test_what_pm2_starts_is_looked_for_in_the_release_unless_it_is_a_program_of_the_system() -> None:
    scripts = {"w": "lib/w.js", "one-word": "npm start"}
    processes = [
        {"name": "api", "script": "npm", "args": "start"},
        *({"name": n, "script": s} for n, s in scripts.items()),
    ]
    (view,) = applications({}, [{"name": "a", "processes": processes}], "release")
    assert (view["dependencies"], view["programs"], view["executed"]) == ("npm", scripts, False)


def test_views_hold_what_the_modules_take_and_no_values_of_variables() -> None:
    declared = [{"name": "a", "artifact": "a.tar.gz", "processes": [PROCESS], "environment": {"KEY": "canary"}}]
    (release,) = applications({}, declared, "release")
    assert release["artifact"] == "a.tar.gz"
    assert release["sha256"] is None
    assert release["record"] == "/var/lib/durable-temporal/applications/a.json"
    (pm2,) = applications({}, declared, "pm2")
    assert "canary" not in str(pm2)
    assert set(pm2["processes"][0]) == {"name", "instances", "definition"}
    (host,) = applications({}, declared, "host")
    assert "canary" not in str(host)
    (status,) = applications({}, declared, "status")
    assert "canary" not in str(status)
    assert status["processes"] == [{"name": PROCESS["name"], "instances": 1}]


def test_a_view_of_a_runtime_leaves_out_the_others_and_holds_no_secret() -> None:
    environment = {"KEY": "canary", "PORT": 8080}
    declared = [
        {"name": "a", "processes": [PROCESS]},
        {"name": "b", "runtime": "systemd", "dependencies": "none", "processes": [UNIT], "environment": environment},
    ]
    assert [a["name"] for a in applications({}, declared, "pm2")] == ["a"]
    (systemd,) = applications({}, declared, "systemd")
    assert systemd["name"] == "b"
    assert systemd["processes"][0]["port"] == "8080"
    assert "canary" not in str(systemd)
    (path,) = systemd_environments({}, declared)
    assert path == f"/etc/durable-temporal/b/worker.{systemd['processes'][0]['definition']}.env"
    assert systemd_environments({}, declared)[path] == 'KEY="canary"\nPORT="8080"\n'


def test_a_change_of_a_variable_of_the_command_or_of_the_sandbox_is_another_definition() -> None:
    def definition(base: dict[str, str] | None = None, **process: t.Any) -> str:
        declared = {"name": "b", "runtime": "systemd", "dependencies": "none", "processes": [{**UNIT, **process}]}
        return str(applications({}, [declared], "systemd", base)[0]["processes"][0]["definition"])

    found = [
        definition(),
        definition({"A": "1"}),
        definition(environment={"A": "2"}),
        definition(command=["bin/worker", "-v"]),
        definition(memory_max="2G"),
        definition(memory_deny_write_execute=False),
    ]
    assert len(set(found)) == len(found)
    assert definition(instances=3) == found[0]


def test_filters_agree_on_digests() -> None:
    declared = {"name": "a", "processes": [PROCESS], "environment": {"A": "1"}}
    (pm2,) = applications({}, [declared], "pm2", {"NODE_EXTRA_CA_CERTS": "/x"})
    (entry,) = pm2_ecosystem({}, declared, {"NODE_EXTRA_CA_CERTS": "/x"})["apps"]
    assert pm2["processes"][0]["definition"] == entry["env"]["DURABLE_DEFINITION"]
    (other,) = applications({}, [declared], "pm2")
    assert other["processes"][0]["definition"] != entry["env"]["DURABLE_DEFINITION"]


@pytest.mark.parametrize("wrong", ["text", {"name": "a"}, [1], None])
def test_other_shapes_are_named(wrong: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a list"):
        applications({}, wrong)
    with pytest.raises(AnsibleFilterError, match="there is no view"):
        applications({}, [], "pm3")
    with pytest.raises(AnsibleFilterError, match="pm2_ecosystem"):
        pm2_ecosystem({}, {"name": "A"})


def test_each_log_has_one_link_also_when_two_applications_have_a_process_of_that_name() -> None:
    declared = [
        {"name": "orders", "processes": [PROCESS]},
        {"name": "engine", "runtime": "systemd", "processes": [UNIT]},
        {"name": "parcels", "processes": [PROCESS, {"name": "api", "script": "dist/api.js"}]},
    ]
    links = [row["log_links"] for row in applications({}, declared, "host")]
    assert links == [
        {"worker-out.log": "orders/worker-out.log", "worker-error.log": "orders/worker-error.log"},
        {},
        {"api-out.log": "parcels/api-out.log", "api-error.log": "parcels/api-error.log"},
    ]
