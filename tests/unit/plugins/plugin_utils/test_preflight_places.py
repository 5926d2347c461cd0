# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are to lie on a host: what would touch the files of others is refused before anything is changed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_places import (
    check_directories,
    check_roots,
    check_taken,
    directories,
    taken,
)

ROLES = ("postgres", "temporal", "temporal_ui")
VALUES: dict[str, t.Any] = {
    "topology_root": "/opt/x",
    "postgres_directory": "/opt/x/temporal",
    "postgres_data_directory": "/opt/x/temporal/postgres-data",
    "temporal_directory": "/opt/x/temporal",
    "temporal_ui_directory": "/opt/x/temporal",
}
VARIABLES = list(VALUES)


def roots(*paths: str, taken: dict[str, str] | None = None) -> list[str]:
    declared = [{"name": f"app{index}", "root": path} for index, path in enumerate(paths)]
    return [problem.text for problem in check_roots(declared, taken or {})]


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_directory_of_the_system_is_refused(variable: str) -> None:
    assert check_directories(ROLES, VALUES) == []
    (problem,) = check_directories(ROLES, {**VALUES, variable: "/srv"})
    assert problem.text == (
        f"{variable} is '/srv'; expected the absolute path of a directory of its own. "
        "Choose one that nothing else uses, such as /srv/temporal."
    )


SYSTEM = (
    "/ // /etc /usr /usr/local /var /var/lib /var/log /var/log/x /var/spool/x /var/lib/docker /home /home/alice /srv/"
)
OTHERS = "/opt /root /root/x /tmp /tmp/x /boot /lib /bin /run/x /mnt /media //srv /./srv /srv/x/.."


@pytest.mark.parametrize("path", [*SYSTEM.split(), *OTHERS.split()])
def test_what_is_no_place_for_data_is_refused(path: str) -> None:
    found = check_directories(ROLES, {**VALUES, "postgres_data_directory": path})
    assert [problem.about for problem in found] == ["postgres_data_directory"]


@pytest.mark.parametrize("path", ["/srv/data", "/data", "/mnt/disk/", "/var/lib/temporal-data", "/home/disk/data"])
def test_a_directory_of_its_own_is_taken(path: str) -> None:
    assert check_directories(ROLES, {**VALUES, "postgres_data_directory": path}) == []


@pytest.mark.parametrize("path", ["", "srv/x", "~/x"])
def test_what_is_no_absolute_path_is_told_as_such_only(path: str) -> None:
    assert check_directories(ROLES, {**VALUES, "postgres_data_directory": path}) == []
    assert kinds.misfit("postgres_data_directory", path) is kinds.PATH


def test_only_what_a_host_uses_is_judged() -> None:
    bad = dict.fromkeys(VALUES, "/srv")
    assert check_directories(["pm2_worker"], bad) == []
    assert check_directories(["postgres"], {**bad, "postgres_runtime": "external"}) == []
    assert list(directories(["temporal", "postgres"], {**bad, "postgres_runtime": "systemd"})) == ["temporal_directory"]


@pytest.mark.parametrize(
    ("first", "second", "how"),
    [
        ("/opt/a", "/opt/a/", "is"),
        ("/opt/a", "/opt//a", "is"),
        ("/opt/a", "//opt/./a", "is"),
        ("/opt/a", "/opt/a/b", "lies in"),
        ("/opt/a", "/opt/a/shared/b", "lies in"),
        ("/opt/a/b", "/opt/a", "holds"),
    ],
)
def test_applications_in_each_other_are_found(first: str, second: str, how: str) -> None:
    (text,) = roots(first, second)
    assert text.startswith("topology_applications[1].root is /opt/a")
    assert f", which {how} the root of app0, {first}; expected a directory of its own." in text


def test_applications_beside_each_other_are_no_problem() -> None:
    assert roots("/opt/a", "/opt/ab", "/srv/a") == []


def test_a_root_that_the_system_empties_is_refused() -> None:
    (text,) = roots("/tmp/a")
    assert text.startswith("topology_applications[0].root is '/tmp/a'; expected a directory that stays, such as")
    assert roots("/opt/tmp/a") == []


def test_the_root_that_an_application_has_by_default_counts() -> None:
    (problem,) = check_roots([{"name": "a"}, {"name": "b", "root": "/opt/a/workflow/b"}], {})
    assert problem.about == "topology_applications[1].root"


def test_an_application_in_the_directory_of_the_platform_is_found() -> None:
    taken = {"temporal_directory": "/opt/x/temporal/"}
    assert roots("/opt/x/workflow", taken=taken) == []
    for path, how in (("/opt/x/temporal/app", "lies in"), ("/opt/x/temporal", "is"), ("/opt/x", "holds")):
        (text,) = roots(path, taken=taken)
        assert f"{path}, which {how} temporal_directory, /opt/x/temporal; expected" in text


TAKEN: dict[str, t.Any] = {
    **VALUES,
    "host_deploy_user": "deploy",
    "host_directories": ["/opt/x/temporal"],
    "postgres_runtime": "container",
}
ORDERS: dict[str, t.Any] = {"name": "orders", "root": "/srv/orders", "user": "orders", "entry": "server.js"}


def there(owner: str = "root", *names: str, ours: bool = False, kind: str = "directory") -> dict[str, t.Any]:
    return {"owner": owner, "is": kind, "names": list(names), "ours": ours}


def told(seen: dict[str, t.Any], known: t.Sequence[str] = (), **changed: t.Any) -> list[str]:
    probe = {"privileged": True, "directories": seen, "applications": [{"name": name} for name in known]}
    found = check_taken(("host", "postgres", "pm2_worker"), {**TAKEN, **changed}, [ORDERS], probe)
    assert check_taken((), {**TAKEN, **changed}, [ORDERS], {**probe, "privileged": False}) == []
    return [problem.text for problem in found]


def test_what_is_looked_at_is_where_owners_change() -> None:
    assert list(taken(("host", "postgres"), TAKEN, [ORDERS])) == [
        "/opt/x/temporal",
        "/opt/x/temporal/postgres-data",
        "/srv/orders/current",
        "/srv/orders/releases",
        "/srv/orders/shared",
    ]
    assert list(taken((), TAKEN, [])) == []
    assert list(taken(("postgres",), {**TAKEN, "postgres_runtime": "external"}, [])) == []


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"/opt/x/temporal": None},
        {"/opt/x/temporal": there("deploy", "whatever")},
        {"/opt/x/temporal": there("root")},
        {"/opt/x/temporal": there("root", "lost+found", "postgres-data")},
        {"/opt/x/temporal": there("former", "compose.yaml", ours=True)},
        {"/opt/x/temporal/postgres-data": there("999", "PG_VERSION", "base")},
        {"/opt/x/temporal/postgres-data": there("erik")},
        {"/srv/orders/current": there("orders", kind="link")},
        {"/srv/orders/releases": there("orders", "20260101T000000Z")},
    ],
)
def test_what_is_empty_or_ours_may_be_taken(seen: dict[str, t.Any]) -> None:
    assert told(seen) == []


def test_a_directory_of_somebody_else_keeps_its_owner() -> None:
    step = "Choose another one; or, if it is yours to give, do so: chown deploy."
    assert told({"/opt/x/temporal": there("erik", "notes")}) == [
        "topology_root is /opt/x/temporal, which belongs to erik; expected a directory of deploy, or none. "
        f"It would be given to deploy. {step}"
    ]
    assert told({"/opt/x/temporal": there("root", "a", "b", "c", "d")}) == [
        "topology_root is /opt/x/temporal, which holds a, b, c and more of root; expected a directory of deploy, or none. "
        f"It would be given to deploy. {step}"
    ]
    (text,) = told({"/srv/t": there("erik")}, host_directories=["/srv/t"])
    assert text.startswith("host_directories is /srv/t, which belongs to erik;")


def test_a_data_directory_that_holds_something_else_is_told() -> None:
    (text,) = told({"/opt/x/temporal/postgres-data": there("root", "lost+found")})
    assert text == (
        "postgres_data_directory is /opt/x/temporal/postgres-data, which holds lost+found and no database; expected a "
        "database, or an empty directory. Name a directory that nothing else uses. On a disk of its own, that is one below "
        "its mount point."
    )


def test_the_root_of_an_application_that_others_use_is_told() -> None:
    (text,) = told({"/srv/orders/current": there("orders", "server.js")}, known=["orders"])
    assert text == (
        "the root of the application orders is /srv/orders/current, a directory; expected a link to the live release, or "
        "nothing. Move it away, or set another root."
    )
    (text,) = told({"/srv/orders/shared": there("erik", "photos")})
    assert text.startswith("the root of the application orders is /srv/orders/shared, which belongs to erik;")
    # It has been here: a change of its user is told as such.
    assert told({"/srv/orders/shared": there("erik", "photos")}, known=["orders"]) == []
