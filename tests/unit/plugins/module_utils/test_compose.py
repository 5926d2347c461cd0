# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about the services of a Compose project."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._compose import (
    ABSENT,
    Container,
    Record,
    decide,
    digest,
    digest_text,
    env_text,
    explain,
    fragments_in,
    judge,
    ordered_fragments,
    parse_containers,
    taken_port,
    telling,
)
from hypothesis import given
from hypothesis import strategies as st

INPUTS = {"/p/temporal.yaml": "1"}
CONFIG = {"/p/config/temporal.yaml": ("a", ["server"])}
RECORD = Record(
    dict(INPUTS),
    {"/p/config/temporal.yaml": "a"},
    {"server": {"config_hash": "h", "image": "i:1"}, "tools": {"config_hash": "t", "image": "i:1"}},
)


def container(service: str = "server", **fields: str) -> Container:
    values = {"state": "running", "health": "healthy", "image": "i:1", "config_hash": "h", **fields}
    return Container(
        id=fields.get("id", service),
        name=service,
        service=service,
        **{key: value for key, value in values.items() if key != "id"},
    )


def running() -> dict[str, list[Container]]:
    return {"server": [container()], "tools": [container("tools", config_hash="t")]}


def test_nothing_differs() -> None:
    assert decide(["server", "tools"], running(), INPUTS, CONFIG, RECORD) == []


@pytest.mark.parametrize(
    ("containers", "inputs", "config", "record", "action", "why"),
    [
        ({}, INPUTS, CONFIG, RECORD, "up", "does not exist"),
        ({"server": [container(state="exited", health="")]}, INPUTS, CONFIG, RECORD, "up", "it is exited"),
        ({"server": [container(state="created", health="")]}, INPUTS, CONFIG, RECORD, "up", "it is created"),
        ({"server": [container(), container()]}, INPUTS, CONFIG, RECORD, "up", "interrupted"),
        ({"server": [container()]}, {"/p/temporal.yaml": "2"}, CONFIG, RECORD, "up", "/p/temporal.yaml changed"),
        ({"server": [container()]}, {**INPUTS, "/p/server.env": "1"}, CONFIG, RECORD, "up", "/p/server.env changed"),
        ({"server": [container()]}, INPUTS, CONFIG, Record(), "up", "/p/temporal.yaml changed"),
        ({"server": [container(config_hash="x")]}, INPUTS, CONFIG, RECORD, "up", "another definition"),
        ({"server": [container(image="sha256:f")]}, INPUTS, CONFIG, RECORD, "up", "image was replaced"),
        (
            {"server": [container()]},
            INPUTS,
            {"/p/config/temporal.yaml": ("b", ["server"])},
            RECORD,
            "restart",
            "/p/config/temporal.yaml changed",
        ),
        ({"server": [container(health="unhealthy")]}, INPUTS, CONFIG, RECORD, "restart", "unhealthy"),
        ({"server": [container(state="restarting", health="")]}, INPUTS, CONFIG, RECORD, "restart", "restarting"),
        ({"server": [container(health="starting")]}, INPUTS, CONFIG, RECORD, "wait", "starting"),
    ],
)
def test_one_service_differs(containers, inputs, config, record, action, why) -> None:
    (step,) = decide(
        ["server"],
        containers,
        inputs,
        config,
        Record(record.inputs, record.config, {k: v for k, v in record.services.items() if k == "server"}),
    )
    assert (step.service, step.action) == ("server", action)
    assert any(why in reason for reason in step.why)


def test_a_changed_file_restarts_only_its_readers() -> None:
    config = {"/p/config/temporal.yaml": ("b", ["server"])}
    steps = decide(["server", "tools"], running(), INPUTS, config, RECORD)
    assert [(s.service, s.action) for s in steps] == [("server", "restart")]


def test_a_service_that_left_the_fragment_is_removed() -> None:
    steps = decide(["server"], running(), INPUTS, CONFIG, RECORD)
    assert [(s.service, s.action) for s in steps] == [("tools", "remove")]


def test_a_restart_that_was_asked_for_leaves_new_containers_alone() -> None:
    steps = decide(["server", "tools"], {"server": [container()]}, INPUTS, CONFIG, RECORD, restart=True)
    assert [(s.service, s.action) for s in steps] == [("server", "restart"), ("tools", "up")]


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True),
    st.dictionaries(st.sampled_from(["/x", "/y"]), st.text("01", max_size=2)),
    st.dictionaries(st.sampled_from(["/m", "/n"]), st.tuples(st.text("01", max_size=2), st.just(["a", "b"]))),
)
def test_what_was_recorded_after_success_needs_nothing(services, inputs, config) -> None:
    containers = {service: [container(service, config_hash=service)] for service in services}
    record = Record(
        inputs,
        {path: now for path, (now, _services) in config.items()},
        {service: {"config_hash": service, "image": "i:1"} for service in services},
    )
    assert decide(services, containers, inputs, config, Record.from_json(record.as_json())) == []


@pytest.mark.parametrize("broken", [None, [], {}, {"inputs": {}}, {"inputs": 1, "config": {}, "services": {}}])
def test_an_unreadable_record_counts_as_none(broken: object) -> None:
    assert Record.from_json(broken) == Record()


def test_containers_are_read_from_one_listing() -> None:
    listing = (
        "1\ttemporal-server\trunning\tUp 2 hours (healthy)\ttemporalio/server:1\ttemporal-server\tabc\tFalse\n"
        "2\ttemporal-ui\trunning\tUp 1 second (health: starting)\tui:1\ttemporal-ui\tdef\tFalse\n"
        "3\tplain\trunning\tUp 3 days\tp:1\tplain\t\t\n"
        "4\tschema-run\texited\tExited (0) 1 second ago\tt:1\ttemporal-server\tabc\tTrue\n"
        "5\told\texited\tExited (137) 1 second ago\to:1\told\tx\tFalse\n"
    )
    found = parse_containers(listing)
    assert {s: [(c.state, c.health) for c in cs] for s, cs in found.items()} == {
        "temporal-server": [("running", "healthy")],
        "temporal-ui": [("running", "starting")],
        "plain": [("running", "")],
        "old": [("exited", "")],
    }


@given(st.permutations(["b.yaml", "postgres.yaml", "temporal-ui.yaml", "a.yml", "temporal.yaml"]))
def test_fragments_have_one_order(names: list[str]) -> None:
    assert ordered_fragments(names) == ["postgres.yaml", "temporal.yaml", "temporal-ui.yaml", "a.yml", "b.yaml"]


def test_fragments_are_the_yaml_files_of_the_directory(tmp_path: Path) -> None:
    for name in ("temporal.yaml", "x.yml", ".hidden.yaml", "README.md"):
        (tmp_path / name).write_text("")
    (tmp_path / "config.yaml").mkdir()
    assert sorted(fragments_in(tmp_path)) == ["temporal.yaml", "x.yml"]
    assert fragments_in(tmp_path / "missing") == []


def test_env_keeps_lines_of_operators() -> None:
    before = "# mine\nCOMPOSE_FILE=old\nTZ=UTC\nCOMPOSE_FILE=again\n"
    wanted = {"COMPOSE_PROJECT_NAME": "temporal", "COMPOSE_FILE": "a:b"}
    assert env_text(before, wanted) == "# mine\nCOMPOSE_FILE=a:b\nTZ=UTC\nCOMPOSE_PROJECT_NAME=temporal\n"


@given(st.lists(st.sampled_from(["# x", "A=1", "COMPOSE_FILE=q", "B=", ""])))
def test_env_is_stable(lines: list[str]) -> None:
    wanted = {"COMPOSE_PROJECT_NAME": "p", "COMPOSE_FILE": "f"}
    once = env_text("\n".join(lines), wanted)
    assert env_text(once, wanted) == once


def test_digests_follow_content_and_names(tmp_path: Path) -> None:
    assert digest(tmp_path / "missing") == ABSENT
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    before = digest(tmp_path / "d")
    assert digest(tmp_path / "d" / "a") == digest_text("1")
    (tmp_path / "d" / "a").write_text("2")
    changed = digest(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert len({before, changed, digest(tmp_path / "d")}) == 3


def inspected(status: str, health: str | None = None, restarts: int = 0, **state: object) -> dict[str, object]:
    body: dict[str, object] = {"Status": status, "ExitCode": 1, **state}
    if health:
        body["Health"] = {"Status": health, "Log": [{"Output": "no answer\n"}]}
    return {"id": "1", "name": "/temporal-server", "restarts": restarts, "state": body}


@pytest.mark.parametrize(
    ("row", "before", "verdict", "found"),
    [
        (inspected("running", "healthy"), 0, "ready", "running, healthy"),
        (inspected("running"), 0, "ready", "running"),
        (inspected("running", "starting"), 0, "waiting", "running, starting"),
        (inspected("running", "unhealthy"), 0, "waiting", "running, unhealthy"),
        (inspected("restarting", restarts=2), 0, "waiting", "restarted 2 times"),
        (inspected("restarting", restarts=5), 0, "failed", "exit code 1"),
        (inspected("running", "starting", restarts=7), 0, "failed", "restarted 7 times"),
        (inspected("running", "starting", restarts=7), 5, "waiting", "restarted 2 times"),
        (inspected("exited", OOMKilled=True), 0, "failed", "memory limit"),
        (inspected("created", Error="port is taken"), 0, "failed", "port is taken"),
    ],
)
def test_progress(row: dict[str, object], before: int, verdict: str, found: str) -> None:
    progress = judge(row, before)
    assert progress.name == "temporal-server"
    assert progress.verdict == verdict
    assert found in progress.found


USERLAND = (
    "Error response from daemon: driver failed programming external connectivity on endpoint temporal-postgres (a1): "
    "Error starting userland proxy: listen tcp4 127.0.0.1:5432: bind: address already in use"
)
BIND = (
    "Error response from daemon: driver failed programming external connectivity on endpoint x: "
    "Bind for 0.0.0.0:7233 failed: port is already allocated"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (USERLAND, ("127.0.0.1", 5432)),
        (BIND, ("0.0.0.0", 7233)),
        (
            "failed to bind host port for 127.0.0.1:8080:172.18.0.2:8080/tcp: address already in use",
            ("127.0.0.1", 8080),
        ),
        ("dial tcp 127.0.0.1:5432: connection refused", None),
    ],
)
def test_a_taken_port_is_named(error: str, expected: tuple[str, int] | None) -> None:
    assert taken_port(error) == expected


@pytest.mark.parametrize(
    ("error", "holder", "words"),
    [
        (USERLAND, '"nginx" (process 7)', ["127.0.0.1:5432 is already taken", 'by "nginx" (process 7)', "choose"]),
        (
            'Conflict. The container name "/temporal-ui" is already in use by container "ab"',
            "",
            ["temporal-ui", "left"],
        ),
        ("Error response from daemon: No such image: local/temporal-server:9.9.9", "", ["local/temporal-server:9.9.9"]),
        ("pull access denied for local/ui, repository does not exist", "", ["The image local/ui is not"]),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "", ["systemctl status docker"]),
        ("docker: 'compose' is not a docker command.", "", ["Compose v2"]),
        ("unknown flag: --ansi\nUsage:  docker [OPTIONS] COMMAND", "", ["Compose v2"]),
        ("one\ntwo\nvery odd", "", ["very odd"]),
    ],
)
def test_failures_become_sentences(error: str, holder: str, words: list[str]) -> None:
    sentence = explain(error, holder)
    assert all(word in sentence for word in words)


def test_every_combination_of_container_states_has_a_defined_step() -> None:
    for state, health in itertools.product(
        ("created", "running", "restarting", "exited", "paused", "dead", "removing"),
        ("", "healthy", "unhealthy", "starting"),
    ):
        steps = decide(
            ["server"],
            {"server": [container(state=state, health=health)]},
            INPUTS,
            CONFIG,
            Record(RECORD.inputs, RECORD.config, {"server": RECORD.services["server"]}),
        )
        assert bool(steps) is not (state == "running" and health in ("", "healthy"))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("one\ntwo", "one\ntwo"),
        ("start\nFATAL: no memory\nstop", "FATAL: no memory"),
        (
            '{"level":"info","msg":"no error"}\n{"level":"fatal","msg":"no database","error":"refused"}',
            "no database: refused",
        ),
        ('{"level":"error","msg":"a"}\n{"level":"error","msg":"b"}\n{"level":"error","msg":"a"}', "b\na"),
        ("\n".join(f"error {n}" for n in range(9)), "\n".join(f"error {n}" for n in range(4, 9))),
        ("", ""),
        ("[1]\nerror", "error"),
    ],
)
def test_a_log_tells_its_last_errors(log: str, expected: str) -> None:
    assert telling(log) == expected


def test_each_stream_of_a_log_tells_its_last_errors() -> None:
    noise = "\n".join(f"ERROR {n}" for n in range(9))
    assert telling("error: no such host", noise).splitlines() == ["error: no such host", *noise.splitlines()[-5:]]
    assert telling("one", "two") == "one\ntwo"
