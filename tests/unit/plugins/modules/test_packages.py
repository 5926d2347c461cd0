# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as installed, and what apt is asked for."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.durable.temporal.plugins.action.packages import ActionModule
from ansible_collections.durable.temporal.plugins.module_utils import _packages
from ansible_collections.durable.temporal.plugins.modules.packages import (
    Apt,
    AptError,
    Installed,
    bring,
    candidate,
    reasons,
    too_old,
)
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


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """dpkg's comparison, for a machine without dpkg: numbers up to the first hyphen."""

    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.partition("-")[0].partition("+")[0].split(".")]

    monkeypatch.setattr(_packages, "at_least", lambda one, other: numbers(one) >= numbers(other))


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
        ("nginx>=1.26", True),
        ("nginx>=1.27", False),
        ("httpd>=1", False),
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
        ("/srv/nginx.deb", False),
    ],
)
def test_what_counts_as_installed(wanted: str, there: bool) -> None:
    assert Installed.parse(DPKG).has(wanted) is there


@given(st.sets(st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,12}", fullmatch=True)))
def test_what_dpkg_lists_as_installed_is_never_asked_for(names: set[str]) -> None:
    installed = Installed.parse("".join(f"{name}\tall\tinstalled\t1\t\n" for name in names))
    assert all(installed.has(name) for name in names)


POLICY = """\
nodejs:
  Installed: (none)
  Candidate: 18.20.4+dfsg-1
  Version table:
     18.20.4+dfsg-1 500
"""
TRIXIE = POLICY.replace("18.20.4", "20.19.2")
NOTHING = POLICY.replace("18.20.4+dfsg-1", "(none)")
RELEASE = {"name": "debian-12"}
OPTIONS = {"cache_valid_time": 3600, "lock_timeout": 300, "install_recommends": False}


class Host:
    """Answers apt's commands and remembers them."""

    def __init__(self, tmp_path: Path, policy: str = TRIXIE, failures: t.Sequence[str] = (), age: float = 60) -> None:
        self.lists, self.policy, self.failures = tmp_path / "lists", policy, list(failures)
        self.calls: list[list[str]] = []
        self.lists.mkdir()
        if age >= 0:
            (self.lists / "mirror_Packages").touch()
            now = self.lists.stat().st_mtime
            os.utime(self.lists, (now - age, now - age))

    def run(self, command: list[str]) -> tuple[int, str, str]:
        self.calls.append(command)
        if command[:2] == ["apt-cache", "policy"]:
            return 0, self.policy, ""
        if self.failures and self.failures[0] in command:
            self.failures.pop(0)
            return 100, "Reading package lists...", "E: Unable to fetch some archives\nmore"
        return 0, "", ""

    def apt(self, **options: t.Any) -> Apt:
        return Apt(self.run, {**OPTIONS, **options}, str(self.lists))

    @property
    def verbs(self) -> list[str]:
        return [
            next(w for w in call if w in ("update", "install", "policy"))
            for call in self.calls
            if call[0] != "dpkg-query"
        ]


def test_apt_installs_with_lists_that_are_good_enough(tmp_path: Path) -> None:
    host = Host(tmp_path)
    bring(host.apt(), ["nodejs>=20", "logrotate"], RELEASE, "")
    assert host.verbs == ["policy", "install"]
    assert host.calls[-1][-2:] == ["nodejs", "logrotate"]
    assert "APT::Install-Recommends=no" in host.calls[-1]
    assert "DPkg::Lock::Timeout=300" in host.calls[-1]
    assert "Dpkg::Options::=--force-confold" in host.calls[-1]


@pytest.mark.parametrize(("age", "valid"), [(-1, 3600), (4000, 3600), (60, 0)])
def test_lists_that_are_missing_or_old_are_read_once(tmp_path: Path, age: float, valid: int) -> None:
    host = Host(tmp_path, age=age)
    apt = host.apt(cache_valid_time=valid)
    bring(apt, ["nginx"], RELEASE, "")
    bring(apt, ["tar"], RELEASE, "")
    assert host.verbs == ["update", "install", "install"]


def test_the_next_task_does_not_read_the_lists_again(tmp_path: Path) -> None:
    host = Host(tmp_path, age=4000)
    for name in ("nginx", "tar"):
        bring(host.apt(), [name], RELEASE, "")
    assert host.verbs == ["update", "install", "install"]


def test_an_installation_that_fails_is_tried_again_with_new_lists(tmp_path: Path) -> None:
    host = Host(tmp_path, failures=["install"])
    bring(host.apt(), ["nginx"], RELEASE, "")
    assert host.verbs == ["install", "update", "install"]


def test_packages_on_hold_are_named(tmp_path: Path) -> None:
    def run(command: list[str]) -> tuple[int, str, str]:
        if command == ["apt-mark", "showhold"]:
            return 0, "nginx\nnodejs\n", ""
        return 100, "", "E: Held packages were changed and -y was used without --allow-change-held-packages."

    (tmp_path / "lists").mkdir()
    with pytest.raises(AptError, match=r"On hold: nginx nodejs\. Release what is needed \(apt-mark unhold\)"):
        Apt(run, OPTIONS, str(tmp_path / "lists")).install(["nginx"])


def test_what_apt_says_is_passed_on(tmp_path: Path) -> None:
    host = Host(tmp_path, failures=["install", "install"])
    with pytest.raises(AptError, match=r"apt-get install failed: E: Unable to fetch some archives$"):
        bring(host.apt(), ["nginx"], RELEASE, "")
    with pytest.raises(AptError, match="apt-get update failed"):
        Apt(Host(tmp_path / "lists", failures=["update"]).run, {**OPTIONS, "cache_valid_time": 0}, "/nowhere").prepare()


@pytest.mark.parametrize("repairs", [True, False])
def test_what_dpkg_had_begun_is_finished_first(tmp_path: Path, repairs: bool) -> None:
    host = Host(tmp_path)
    said = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."
    calls: list[str] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        calls.append(command[0])
        healed = repairs and "dpkg" in calls
        return (0, "", "") if command[0] != "apt-get" or healed else (100, "", said)

    apt = Apt(run, OPTIONS, str(host.lists))
    if repairs:
        bring(apt, ["nginx"], RELEASE, "")
        assert calls == ["apt-get", "dpkg", "apt-get"]
    else:
        with pytest.raises(AptError, match="dpkg was interrupted"):
            bring(apt, ["nginx"], RELEASE, "")


@pytest.mark.parametrize("half", ["libglib2.0-0t64:amd64", ""])
def test_a_package_whose_unpacking_was_cut_off_is_unpacked_again(tmp_path: Path, half: str) -> None:
    calls: list[list[str]] = []
    listing = "ii \tadduser\n" + (f"iUR\t{half}\n" if half else "") + "iU \tpython3-dbus\nrc \tnano\n"

    def run(command: list[str]) -> tuple[int, str, str]:
        calls.append(command)
        if command[0] == "dpkg-query":
            return 0, listing, ""
        if "install" in command and "--reinstall" not in command and not any("--reinstall" in call for call in calls):
            return 100, "", "E: Sub-process /usr/bin/dpkg returned an error code (1)"
        return 0, "", ""

    apt = Apt(run, OPTIONS, str(Host(tmp_path).lists))
    if not half:
        with pytest.raises(AptError, match="returned an error code"):
            bring(apt, ["nginx"], RELEASE, "")
        return
    bring(apt, ["nginx"], RELEASE, "")
    again = next(call for call in calls if "--reinstall" in call)
    assert again[0] == "apt-get"
    assert again[-1] == half
    assert {"-y", "DPkg::Lock::Timeout=300", "Dpkg::Options::=--force-confold"} <= {*again}
    assert calls[-1][-1] == "nginx"


def test_what_dpkg_says_is_told_with_its_reason() -> None:
    said = (
        "dpkg: error processing package nginx (--configure):\n"
        " installed nginx package post-installation script subprocess returned error exit status 1\n"
        "Errors were encountered while processing:\n"
        " nginx\n"
        "E: Sub-process /usr/bin/dpkg returned an error code (1)\n"
    )
    assert reasons(said) == [
        "dpkg: error processing package nginx (--configure):",
        "installed nginx package post-installation script subprocess returned error exit status 1",
        "E: Sub-process /usr/bin/dpkg returned an error code (1)",
    ]
    assert reasons("Reading package lists...") == []


def test_what_is_too_old_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    host = Host(tmp_path, policy=POLICY)
    with pytest.raises(AptError) as error:
        bring(host.apt(), ["nodejs>=20", "logrotate"], RELEASE, "Use NodeSource.")
    assert str(error.value) == (
        "nodejs: the package sources of this host (debian-12) have 18.20.4+dfsg-1; expected 20 or newer. "
        "Nothing was installed. Use NodeSource."
    )
    assert host.verbs == ["policy"]


def test_what_apt_does_not_know_yet_is_not_too_old() -> None:
    assert candidate(NOTHING) == candidate("") == ""
    assert too_old({"nodejs>=20": ""}, RELEASE, "") == ""
    assert candidate(TRIXIE) == "20.19.2+dfsg-1"


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


def test_apts_own_module_is_not_run_for_names() -> None:
    result, asked = run(["nginx"], name=["nginx", "tar"])
    assert result["changed"]
    assert result["missing"] == ["nginx"]
    assert asked == []


def test_apts_own_module_installs_what_only_it_can_tell() -> None:
    result, asked = run(["nginx", "./own.deb"], unpredictable=["./own.deb"], cache_valid_time=0)
    assert result["changed"]
    assert result["missing"] == ["nginx", "./own.deb"]
    assert result["release"]["name"] == "debian-13"
    assert asked == [
        {
            "name": ["./own.deb"],
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
