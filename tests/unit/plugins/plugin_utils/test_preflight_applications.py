# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of applications that are on a host, of names and accounts of others, and what it lets pass."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._probe import parse_accounts
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_applications as applications

ORDERS: dict[str, t.Any] = {"name": "orders", "root": "/opt/orders", "user": "orders", "port": 3000}
RECORD = {**ORDERS, "runtime": "pm2"}
PROBE: dict[str, t.Any] = {"applications": [RECORD], "units": {"orders": ["pm2"]}, "accounts": {"orders": ""}}


def told(declared: list[dict[str, t.Any]], people: dict[str, str] | None = None, **probe: t.Any) -> list[str]:
    found = applications.check(declared, {**PROBE, **probe}, people or {})
    return [f"{problem.level}: {problem.text}" for problem in found]


@pytest.mark.parametrize(
    ("user", "found"), [("www-data", 1), ("root", 1), ("deploy", 0), ("ada", 0), ("nobody-yet", 0)]
)
def test_an_account_of_the_system_does_not_deploy(user: str, found: int) -> None:
    accounts = parse_accounts(
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
        "ada:x:1000:1000:Ada:/home/ada:/bin/bash\ndeploy:x:1001:1001::/home/deploy:/bin/bash\n"
    )
    assert [p.about for p in applications.check_deploy_user(user, {"accounts": accounts})] == [
        "topology_deploy_user"
    ] * found


def test_what_is_declared_and_there_is_no_problem() -> None:
    assert told([ORDERS]) == []
    assert told([ORDERS], applications=[], units={}, accounts={}) == []


def test_what_nobody_declares_is_a_warning_with_the_next_step() -> None:
    (text,) = told([])
    assert text.startswith("warning: the application orders is on this host and not declared for it; ")
    assert "remove_application=orders" in text
    assert told([], applications=[{**RECORD, "removed": "2026-01-01T00:00:00Z"}]) == []


@pytest.mark.parametrize("field", ["root", "port"])
def test_a_rename_is_refused_while_the_old_one_is_there(field: str) -> None:
    shop = {**ORDERS, "name": "shop", "root": "/opt/shop", "port": 3001, field: ORDERS[field]}
    warning, error = told([shop])
    assert warning.startswith("warning: the application orders")
    assert error.startswith(f"error: The application shop has the {field} {ORDERS[field]} of orders")
    assert "That looks like a rename of orders: remove it first" in error


def test_applications_that_exchange_their_ports_are_no_rename() -> None:
    shop = {**ORDERS, "name": "shop", "root": "/opt/shop"}
    assert (
        told([shop, {**ORDERS, "port": 3001}], applications=[RECORD, {**RECORD, "name": "shop", "root": "/opt/shop"}])
        == []
    )


def test_another_runtime_is_refused_while_units_of_the_old_one_are_there() -> None:
    (text,) = told([{**ORDERS, "runtime": "systemd", "dependencies": "none"}])
    assert text.startswith("error: The application orders is to run under systemd, and has units of pm2 on this host")


def test_files_of_others_are_never_replaced() -> None:
    path = "/usr/local/bin/orders-pm2"
    (text,) = told([ORDERS], foreign_files=[path, "/usr/local/bin/other-pm2"], privileged=True)
    assert text == (
        f"error: the application orders is one whose {path} is somebody else's; expected a name of its own. Choose another name."
    )
    api = {"name": "api", "command": ["bin/api"], "socket": True}
    systemd = {**ORDERS, "runtime": "systemd", "dependencies": "none", "processes": [api]}
    socket = "/usr/lib/systemd/system/orders-api.socket"
    (text,) = told([systemd], foreign_files=[socket, path], applications=[], units={}, privileged=True)
    assert socket in text


def test_an_account_that_cannot_read_a_file_does_not_know_whose_it_is() -> None:
    """The right of operators to use PM2 is readable by root only."""
    assert told([ORDERS], foreign_files=["/etc/sudoers.d/orders-pm2"], privileged=False) == []


@pytest.mark.parametrize(
    ("accounts", "people", "login", "said"),
    [
        ({"orders": "orders is an account that people log in with (/bin/bash)"}, {}, "", "people log in with"),
        ({}, {"orders": "that of ansible_user"}, "", "orders is that of ansible_user"),
        ({}, {}, "orders", "orders is the account that logs in here"),
    ],
)
def test_accounts_of_others_are_refused(accounts: t.Any, people: t.Any, login: str, said: str) -> None:
    (text,) = told([ORDERS], people, accounts=accounts, login=login)
    assert text.startswith("error: the user of the application orders: ")
    assert said in text


def test_one_user_has_one_group() -> None:
    other = {"name": "shop", "user": "orders", "group": "shop"}
    (text,) = told([ORDERS, other])
    assert text.startswith("error: the user of the application shop is orders with the group shop; expected orders")


def test_what_cannot_be_understood_is_told_elsewhere() -> None:
    assert told([{"name": "Not A Name", "user": "orders"}], applications=[]) == []
