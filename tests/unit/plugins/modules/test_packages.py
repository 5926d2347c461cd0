# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as installed, and what apt is asked for."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.durable.temporal.plugins.action.packages import ActionModule
from ansible_collections.durable.temporal.plugins.modules.packages import Installed
from hypothesis import given
from hypothesis import strategies as st

DPKG = """\
nginx\tamd64\tinstalled\t1.26.3-3+deb13u1\thttpd, httpd-cgi, nginx-abi (= 1.26)
libc6\tamd64\tinstalled\t2.41-12\tlibc6-2.41
libc6\ti386\tinstalled\t2.41-12\tlibc6-2.41
tzdata\tall\tinstalled\t2025b-4\ttzdata-trixie
removed\tamd64\tconfig-files\t1.0\tmail-transport-agent
broken\tamd64\thalf-configured\t1.0\t
"""


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("nginx", True),
        ("nginx:amd64", True),
        ("nginx:arm64", False),
        ("libc6:i386", True),
        ("tzdata:amd64", False),
        ("nginx=1.26.3-3+deb13u1", True),
        ("nginx=1.26*", True),
        ("nginx=1.27*", False),
        ("httpd", True),
        ("nginx-abi", True),
        ("httpd=1", False),
        ("removed", False),
        ("mail-transport-agent", False),
        ("broken", False),
        ("unheard-of", False),
        # Only apt can tell.
        ("nginx/trixie-backports", False),
        ("ngin*", False),
        ("/root/nginx.deb", False),
    ],
)
def test_what_counts_as_installed(wanted: str, there: bool) -> None:
    assert Installed.parse(DPKG).has(wanted) is there


@given(st.sets(st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,12}", fullmatch=True)))
def test_what_dpkg_lists_as_installed_is_never_asked_for(names: set[str]) -> None:
    installed = Installed.parse("".join(f"{name}\tall\tinstalled\t1\t\n" for name in names))
    assert all(installed.has(name) for name in names)


def run(
    missing: list[str], *, check: bool = False, unpredictable: t.Sequence[str] = (), **arguments: t.Any
) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
    """Result of the action for a host that lacks packages, and the options that apt was called with."""
    asked: list[dict[str, t.Any]] = []

    def call(module: str, options: dict[str, t.Any], _variables: t.Any) -> dict[str, t.Any]:
        if module == "ansible.builtin.apt":
            asked.append(options)
            return {"changed": True, "stdout": "Setting up"}
        release = {"name": "debian-13"}
        return {"changed": bool(missing), "missing": missing, "unpredictable": [*unpredictable], "release": release}

    task = SimpleNamespace(args=arguments, check_mode=check, async_val=0, diff=False, action="packages")
    action = ActionModule.__new__(ActionModule)
    action.__dict__.update(_task=task, _call=call, _connection=SimpleNamespace(), _cleanup_remote_tmp=False)
    action.validate_argument_spec = lambda *_a, **_k: ({}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible.plugins.action.ActionBase.run", lambda *_a, **_k: {})
        return action.run(None, {}), asked


def test_apt_is_not_run_when_nothing_is_missing() -> None:
    result, asked = run([])
    assert not result["changed"]
    assert asked == []


def test_apt_installs_what_is_missing() -> None:
    result, asked = run(["nginx"], name=["nginx", "tar"], cache_valid_time=0)
    assert result["changed"]
    assert result["missing"] == ["nginx"]
    assert result["release"]["name"] == "debian-13"
    assert asked == [
        {
            "name": ["nginx"],
            "state": "present",
            "install_recommends": False,
            "cache_valid_time": 0,
            "lock_timeout": 300,
        }
    ]


def test_a_check_predicts_without_apt() -> None:
    result, asked = run(["nginx"], check=True)
    assert result["changed"]
    assert asked == []


def test_a_check_asks_apt_for_what_only_apt_can_tell() -> None:
    _result, asked = run(["./own.deb"], check=True, unpredictable=["./own.deb"])
    assert [options["name"] for options in asked] == [["./own.deb"]]
