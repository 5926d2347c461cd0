# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values: what fits and what does not, and that every option of every role has one."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import check_options
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_roles import read_specs

Json = dict[str, t.Any]

# Kind → (what fits, what does not).
TEXTS: dict[kinds.Kind, tuple[list[str], list[str]]] = {
    kinds.ADDRESS: (
        ["temporal-server:7233", "127.0.0.1:7233", "[::1]:7233", "payments.a1b2c.tmprl.cloud:7233", "a_b:1"],
        [
            "",
            " ",
            "temporal",
            "temporal:",
            ":7233",
            "http://temporal:7233",
            "temporal:7233/",
            "temporal:0",
            "t:70000",
            "::1:7233",
            "10.0.0.300:7233",
            "a b:7233",
            "temporal:72e3",
            "a:7233,b:7233",
            "temporal:7233\n",
        ],
    ),
    kinds.HOST: (
        [
            "db1",
            "temporal-postgres",
            "temporal_postgres",
            "db1.example.com",
            "db1.example.com.",
            "10.0.0.5",
            "::1",
            "fe80::1%eth0",
            "[fd00::5]",
            "a" * 63 + ".example",
            "3com.example",
        ],
        [
            "",
            "db1:5432",
            "http://db1",
            "db 1",
            "db1/",
            "-db1",
            "db1-",
            "a..b",
            "10.0.0.300",
            "1234",
            "a" * 64,
            "db1\n",
        ],
    ),
    kinds.BIND: (
        ["127.0.0.1", "0.0.0.0", "10.0.0.5", "[::1]", "[fd00::5]", "[::]"],
        ["", "localhost", "vm1.example.com", "::1", "10.0.0.5:80", "10.0.0.0/8", "*", "eth0"],
    ),
    kinds.NETWORKS: (["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8", "all", "10.1.2.3/8"], ["", "10.0.0.0/40", "vm1"]),
    kinds.SERVER_NAME: (
        [
            "orders.example.com",
            "_",
            "a.example b.example",
            "*.example.com",
            ".example.com",
            "www.*",
            "10.0.0.5",
            r"~^(www\.)?a\.example$",
            "vm1",
            "a_b.example",
            "xn--bcher-kva.example",
        ],
        [
            "",
            " ",
            "https://orders.example.com/",
            "orders.example.com/",
            "orders.example.com:443",
            "a;b {",
            "a, b",
            "a.example;",
            "a.example\nb.example",
            "a.example #",
            "~a{2}",
            "$host",
            "'a'",
        ],
    ),
    kinds.URL: (
        ["http://127.0.0.1:3000/health", "https://a.example", "http://[::1]:80/x?a=b&c=d%20e"],
        [
            "",
            "127.0.0.1:3000/health",
            "/health",
            "ftp://a",
            "http://",
            "http:///health",
            "http://a:99999",
            "http://a/ b",
        ],
    ),
    kinds.ORIGIN: (
        ["https://temporal.example.com", "http://localhost:8080", "*", "https://*.example.com"],
        ["", "https://a.example/", "https://a.example/ui", "a.example", "https://a.example https://b.example"],
    ),
    kinds.URL_PATH: (
        ["/health", "/", "/api/v1/health?deep=1&x=y", "/~x"],
        ["", "health", "/a b", "/a;", "/a {", "/$x"],
    ),
    kinds.NGINX_SIZE: (["4m", "0", "100M", "1G", "512k"], ["", "4 m", "4mb", "-1", "1.5m", "4m;"]),
    kinds.SITE: (["shop", "temporal-ui", "a_b"], ["", "a b", "../a", "a;"]),
    kinds.DOCKER_SIZE: (["10m", "1g", "-1", "100"], ["", "10 m", "ten", "10mb"]),
    kinds.TASK_QUEUE: (["orders", "Orders / EU: 1", "ä"], ["", "orders ", " orders", "a\tb\n", "a\x00b"]),
    kinds.PM2_SIZE: (["1G", "300M", "314572800", "5K"], ["", "512", "1 G", "1g", "1GB", "1.5G"]),
    kinds.PM2_TIME: (["10s", "1000", "1m", "1h"], ["", "10 s", "10sec", "soon"]),
    kinds.ACCOUNT: (
        ["deploy", "_ops", "Ops", "first.last", "work-flow_1", "a" * 32],
        ["", "0", "1000", "a b", "Work Flow", "a:b", "a/b", "-a", "a" * 33, "root\n", "$USER", "über"],
    ),
    kinds.OPERATOR: (["deploy", "%operators"], ["", "%", "a b", "%a b", "ALL=(root)", "a,b"]),
    kinds.ENVIRONMENT_NAME: (
        ["A", "_a1", "LOG_LEVEL", "http_proxy"],
        ["", "A B", "A=B", "1A", "A-B", "A.B", "Ä", "A\n"],
    ),
    kinds.PROJECT: (["order-processing", "shop2", "a.b_c"], ["", "Order Processing", "a/b", "../a", "-a", "a:b"]),
    kinds.CONTAINER: (["temporal-server", "a_b.c"], ["", "a", "a b", "/a", "-ab"]),
    kinds.DOCKER_NETWORK: (["temporal-network", "host-network", "n"], ["", "host", "none", "bridge", "default", "a b"]),
    kinds.IMAGE: (
        ["postgres:17", "local/postgres:17", "registry.example.com:5000/a/b_c:1.2-x", "a@sha256:" + "0" * 64],
        ["", "postgres :17", "postgres:", "http://a/b", "a:b:c"],
    ),
    kinds.VERSION: (["1.32.2", "24", "2.56.0-rc.1", "v1.2", "1.35.0+x"], ["", "latest", "1.5 ", "1;2", "x1"]),
    kinds.DIGEST: (["0" * 64, "aF" * 32], ["", "0" * 63, "sha256:" + "0" * 64, "g" * 64]),
    kinds.PACKAGE: (["jq", "libc6:amd64", "g++", "nginx=1.22.*", "a/stable"], ["", "a b", "-y", "a;b", "jq "]),
    kinds.PATH: (
        ["/opt/order-processing", "/srv/a_b.c/d+e@f~g=h", "/srv/größe", "/"],
        [
            "",
            "certs/a.pem",
            "~/acme",
            "./a",
            "/opt/a b",
            "/opt/a:b",
            "/opt/$HOME",
            "/opt/100%",
            "/opt/'a'",
            "/opt/a;b",
            "/opt/a\nb",
            "/opt/*",
        ],
    ),
    kinds.NAMESPACE: (
        ["order-processing", "default", "payments.a1b2c", "a_b"],
        ["", "a b", "$(id)", 'a"b', "a}", "a/b"],
    ),
    kinds.LINE: (["a", "--max-old-space-size=512 x", "ä ö"], ["", " ", "a\nb", "a\0", "\t"]),
    kinds.EXPRESSION: (["worker-.*@app[0-9]"], ["", "(", "*"]),
    kinds.DATABASE_USER: (["temporal", "my-app", "postgres", "A1"], ["", "a b", "pg_read", "1a", "a" * 64, "a'b"]),
    kinds.DATABASE: (
        ["temporal", "temporal-visibility", "postgres2"],
        ["", "postgres", "template0", "template1", "a b"],
    ),
    kinds.TEMPORAL_USER: (["temporal", "postgres_temporal"], ["", "postgres", "pg_x", "a-b", "a b"]),
    kinds.LOGIN: (["postgres", "admin@db1", "a-b"], ["", " ", "a b", "a\n"]),
}
EACH = [
    (kind, text, fits) for kind, both in TEXTS.items() for fits, texts in zip((True, False), both) for text in texts
]


@pytest.mark.parametrize(("kind", "text", "fits"), EACH, ids=[f"{k.expected[:24]}-{x[:24]!r}" for k, x, _f in EACH])
def test_what_fits_a_kind_and_what_does_not(kind: kinds.Kind, text: str, fits: bool) -> None:
    assert kind.fits(text) is fits


def test_every_kind_has_texts() -> None:
    assert set(kinds.KINDS.values()) - set(TEXTS) == {kinds.JUDGED_ELSEWHERE}


def options(spec: Json, path: str = "") -> t.Iterator[tuple[str, Json]]:
    for name, option in spec.items():
        label = f"{path}.{name}" if path else name
        yield kinds.plain_name(label), option
        yield from options(option.get("options") or {}, label)


ALL = [one for entries in read_specs().values() for spec in entries.values() for one in options(spec)]


def test_every_text_of_every_role_has_a_kind() -> None:
    texts = {
        name
        for name, option in ALL
        if "choices" not in option
        and (option.get("type", "str") in ("str", "path") or option.get("elements") in ("str", "path"))
    }
    assert texts - set(kinds.KINDS) == set()
    derived = {name for name in kinds.KINDS if name.startswith("topology_")}
    assert set(kinds.KINDS) - texts - derived == set()


def test_numbers_that_are_at_least_one_are_options() -> None:
    numbers = {name for name, option in ALL if option.get("type") == "int"}
    assert numbers >= kinds._AT_LEAST_ONE
    assert numbers >= set(kinds._AT_LEAST)


@pytest.mark.parametrize("role", ["postgres", "temporal", "temporal_ui"])
def test_memory_with_which_nothing_starts_is_told(role: str) -> None:
    name, least = f"{role}_memory_limit_mb", 64 if role == "temporal_ui" else 256
    spec = {name: read_specs()[role]["main"][name]}
    assert check_options(spec, {name: least}) == []
    for little in (0, 1, least - 1):
        (problem,) = check_options(spec, {name: little})
        assert problem.text == f"{name} is {little}; expected {least} or more."


def test_defaults_fit() -> None:
    for name, option in ALL:
        default = option.get("default")
        for value in default if isinstance(default, list) else [default]:
            if isinstance(value, str) and "{{" not in value:
                assert kinds.misfit(name, value) is None, (name, value)


APPLICATIONS = read_specs()["pm2_worker"]["main"]["pm2_worker_applications"]
APPLICATION = {"name": "shop"}


def told(**of_application: t.Any) -> list[str]:
    values = {"pm2_worker_applications": [{**APPLICATION, **of_application}]}
    problems = check_options({"pm2_worker_applications": APPLICATIONS}, values)
    return [p.text.removeprefix("pm2_worker_applications[0].") for p in problems]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"temporal_address": "http://x"}, "temporal_address is 'http://x'; expected a host and a port"),
        ({"server_name": "a;b"}, "server_name is 'a;b'; expected a host name"),
        ({"temporal_address_variables": ["1A"]}, "temporal_address_variables[0] is '1A'; expected the name of an"),
        ({"task_queues": [None]}, "task_queues[0] is not set; expected text. Take it out"),
        ({"keep_releases": -1}, "keep_releases is -1; expected 0 or more."),
        ({"processes": [{"name": "a", "instances": 0}]}, "processes[0].instances is 0; expected 1 or more."),
        ({"environment": None}, "environment is null; expected a mapping. Write a value, or take it out"),
        ({"environment": {"A B": "x"}}, "environment has the variable 'A B'; expected the name of an environment"),
        ({"environment": {"": "x"}}, "environment has the variable ''; expected the name of an environment"),
        ({"environment": {1: "x"}}, "environment has the variable 1; expected the name of an environment"),
        ({"environment": {"A": "x\0"}}, "environment.A is a text with a NUL; expected text without one."),
        ({"environment": {"A": {"b": 1}}}, "environment.A is a mapping; expected text."),
        ({"environment": {"A": [1]}}, "environment.A is a list; expected text."),
        (
            {"environment": {"A": datetime.date(2026, 1, 2)}},
            "environment.A is a date; expected text. Put it in quotes.",
        ),
        (
            {"processes": [{"name": "a", "environment": {"A=B": "x"}}]},
            "processes[0].environment has the variable 'A=B'; expected the name of an environment variable",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told(given: Json, text: str) -> None:
    (found,) = told(**given)
    assert found.startswith(text)


@pytest.mark.parametrize(
    "given",
    [
        # Lines, numbers, truth and nothing are values, and what nobody gives is left to its default.
        {"environment": {"KEY": "-----BEGIN\nabc\n", "N": 1, "T": True, "GONE": None, "EMPTY": "", "F": 1.5}},
        {"user": None, "server_name": None, "port": None, "health_url": "", "namespace": "", "artifact": ""},
        {"temporal_address": "", "keep_releases": 0, "poller_identity": "", "artifact_sha256": ""},
        {"processes": [{"name": "a", "restart_delay": 0, "args": "", "node_args": None, "max_memory_restart": ""}]},
    ],
    ids=str,
)
def test_what_fits_is_not_told(given: Json) -> None:
    assert told(**given) == []


def test_a_file_of_lines_holds_lines() -> None:
    spec = {"host_ca_environment": {"type": "dict"}, "temporal_ui_environment": {"type": "dict"}}
    values = {name: {"A": "x\ny"} for name in spec}
    (problem,) = check_options(spec, values)
    assert problem.text.startswith("host_ca_environment.A is a text of several lines; expected one line.")


def test_null_is_no_value_where_there_is_a_default() -> None:
    spec: Json = {"web_list": {"type": "list", "default": []}, "web_name": {"type": "str", "default": "x"}, "web_a": {}}
    problems = check_options(spec, dict.fromkeys(spec))
    assert [p.text for p in problems] == [
        "web_list is null; expected a list. Write a value, or take it out to have the default.",
        "web_name is null; expected text. Write a value, or take it out to have the default.",
    ]
    assert check_options(spec, {}) == []


def test_an_empty_password_is_told_at_any_depth() -> None:
    spec: Json = {
        "web_password": {"no_log": True},
        "web_users": {"type": "list", "elements": "dict", "options": {"password": {"no_log": True}}},
    }
    problems = check_options(spec, {"web_password": "", "web_users": [{"password": ""}, {"password": "x"}]})
    assert [p.about for p in problems] == ["web_password", "web_users[0].password"]
    assert problems[0].text.startswith("web_password is empty; expected a password. Take it out to have one generated")


@pytest.mark.parametrize("option", ["kill_timeout", "listen_timeout"])
def test_seconds_where_milliseconds_are_meant_are_found(option: str) -> None:
    spec = {"pm2_worker_applications": read_specs()["pm2_worker"]["main"]["pm2_worker_applications"]}
    for number, found in ((30, 1), (1000, 0)):
        value = [{"name": "a", "processes": [{"name": "w", "script": "w.js", option: number}]}]
        said = [problem.text for problem in check_options(spec, {"pm2_worker_applications": value})]
        about = f"pm2_worker_applications[0].processes[0].{option}"
        assert said == [f"{about} is 30; expected 1000 or more. These are milliseconds."] * found


@pytest.mark.parametrize("option", ["status_node", "status_paths", "preflight_paths"])
def test_paths_of_a_host_are_absolute(option: str) -> None:
    role = option.partition("_")[0]
    spec = {option: read_specs()[role]["main"][option]}
    several = option.endswith("s")
    for path, found in (("opt", 1), ("node --version", 1), ("/usr/bin/node", 0)):
        assert len(check_options(spec, {option: [path] if several else path})) == found
