# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are to lie on a host: what would touch the files of others is refused before anything is changed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_places import (
    check_directories,
    check_roots,
    directories,
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
