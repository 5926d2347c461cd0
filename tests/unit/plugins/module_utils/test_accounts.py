# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups on a pretended host that understands the commands of Debian's passwd package."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _accounts
from ansible_collections.durable.temporal.plugins.module_utils._accounts import ForeignAccount, command, plan_for
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("deploy", "workflow", "docker")
APPLICATION = {"name": "workflow", "group": "workflow", "shell": "/usr/sbin/nologin", "system": True}


class Host:
    """Groups (name to number) and users; ``call`` runs one command."""

    def __init__(self) -> None:
        self.groups = {"docker": 900}
        self.users: dict[str, dict[str, t.Any]] = {}

    def call(self, tool: str, *arguments: str) -> None:
        name, options = arguments[-1], dict(pairwise(arguments))
        if tool == "groupadd":
            assert name not in self.groups
            self.groups[name] = 1000 + len(self.groups)
            return
        if tool == "useradd":
            assert name not in self.users
            self.users[name] = {"shell": "/bin/sh", "groups": set(), "home": "--create-home" in arguments}
            self.users[name]["comment"] = options["--comment"]
        user = self.users[name]
        user["shell"] = options.get("--shell", user["shell"])
        if "--gid" in options:
            user["gid"] = self.groups[options["--gid"]]
        if "--groups" in options:
            joined = set(options["--groups"].split(","))
            assert joined <= set(self.groups)
            user["groups"] = joined | (user["groups"] if "--append" in arguments else set())

    def declare(self, *users: dict[str, t.Any]) -> list[list[str]]:
        """The commands that were run."""
        fields = {"group": None, "groups": [], "shell": None, "system": False}
        group_of = SimpleNamespace(getgrnam=self.group, getgrgid=self.group, getgrall=self.all_groups)
        with mock.patch.multiple(_accounts, pwd=SimpleNamespace(getpwnam=self.user), grp=group_of):
            commands = [command(change) for change in plan_for([{**fields, **user} for user in users])]
        for one in commands:
            self.call(*one)
        return commands

    def user(self, name: str) -> SimpleNamespace:
        user = self.users[name]
        return SimpleNamespace(
            pw_uid=user.get("uid", 999), pw_gid=user["gid"], pw_shell=user["shell"], pw_gecos=user.get("comment", "")
        )

    def group(self, wanted: str | int) -> SimpleNamespace:
        by_number = {number: name for name, number in self.groups.items()}
        name = by_number[wanted] if isinstance(wanted, int) else wanted
        members = [user for user, has in self.users.items() if name in has["groups"]]
        return SimpleNamespace(gr_name=name, gr_gid=self.groups[name], gr_mem=members)

    def all_groups(self) -> list[SimpleNamespace]:
        return [self.group(name) for name in self.groups]


def test_a_user_of_the_system_has_its_group_and_no_home() -> None:
    host = Host()
    done = host.declare({"name": "workflow", "shell": "/usr/sbin/nologin", "system": True})
    assert done == [
        ["groupadd", "--system", "--key", "SYS_GID_MAX=998", "workflow"],
        [
            *("useradd", "--system", "--key", "SYS_UID_MAX=998", "--home-dir", "/nonexistent", "--no-create-home"),
            *(
                "--comment",
                "durable.temporal application",
                "--gid",
                "workflow",
                "--shell",
                "/usr/sbin/nologin",
                "workflow",
            ),
        ],
    ]


def test_a_person_has_a_home_and_stays_in_other_groups() -> None:
    host = Host()
    host.groups["sudo"] = 27
    host.declare({"name": "deploy"})
    assert host.users["deploy"]["home"]
    host.users["deploy"]["groups"] = {"sudo"}
    assert host.declare({"name": "deploy", "groups": ["docker"]}) == [
        ["usermod", "--append", "--groups", "docker", "deploy"]
    ]
    assert host.users["deploy"]["groups"] == {"sudo", "docker"}
    assert host.declare({"name": "deploy"}) == []


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ({"uid": 0, "shell": "/bin/bash"}, "is an account of the system (number 0)"),
        ({"uid": 33, "shell": "/usr/sbin/nologin"}, "is an account of the system (number 33)"),
        ({"uid": 65534, "shell": "/usr/sbin/nologin"}, "is an account of the system (number 65534)"),
        ({"uid": 1000, "shell": "/bin/bash"}, "is an account that people log in with (/bin/bash)"),
        ({"uid": 1000, "shell": "", "comment": "Ann,,,"}, "is an account that people log in with (the default shell)"),
        # The deploy user, which we have made, too.
        ({"uid": 1000, "shell": "/bin/bash", "comment": "durable.temporal"}, "is an account that people log in with"),
    ],
)
def test_an_account_of_others_runs_no_application(account: dict[str, t.Any], said: str) -> None:
    host = Host()
    host.groups["workflow"] = 1000
    host.users["workflow"] = {"gid": 1000, "groups": set(), **account}
    with pytest.raises(ForeignAccount) as refused:
        host.declare(APPLICATION)
    assert f"workflow {said}" in str(refused.value)


def test_an_account_that_nobody_logs_in_with_is_used_as_it_is() -> None:
    host = Host()
    host.groups.update(users=100, workflow=101)
    host.users["workflow"] = {"gid": 100, "groups": set(), "uid": 1001, "shell": "/bin/false"}
    assert host.declare(APPLICATION) == []


def test_the_shell_and_group_of_a_person_stay() -> None:
    host = Host()
    host.groups.update(users=100)
    host.users["admin"] = {"gid": 100, "groups": set(), "uid": 1000, "shell": "/bin/zsh"}
    done = host.declare({"name": "admin", "shell": "/bin/bash", "group": "users", "groups": ["docker"]})
    assert done == [["usermod", "--append", "--groups", "docker", "admin"]]


def test_two_users_may_share_a_group_that_is_to_come() -> None:
    done = Host().declare({"name": "a", "group": "shop"}, {"name": "b", "group": "shop"})
    assert [one[0] for one in done] == ["groupadd", "useradd", "useradd"]


def test_a_group_that_nobody_makes_is_the_hosts_own_error() -> None:
    with pytest.raises(AssertionError):
        Host().declare({"name": "deploy", "groups": ["wheel"]})


USER = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES), "system": st.just(False)},
    optional={
        "group": st.sampled_from(NAMES),
        "groups": st.lists(st.just("docker"), max_size=1),
        "shell": st.sampled_from(["/bin/bash", "/usr/sbin/nologin"]),
    },
)


@given(st.lists(USER, max_size=6))
def test_what_was_declared_is_so_afterwards(users: list[dict[str, t.Any]]) -> None:
    host = Host()
    for user in users:
        host.declare(user)
        assert host.declare(user) == []


HOLD = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


def test_locks_that_a_program_has_left_are_removed_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    _accounts.remove_left_locks(told.append, str(tmp_path))
    assert (told, list(tmp_path.iterdir())) == ([], [])
    left = [tmp_path / "group.lock", tmp_path / "subuid.lock"]
    left[0].write_text("1")
    left[1].touch()
    (tmp_path / "own.lock").touch()
    _accounts.remove_left_locks(told.append, str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pwd.lock", "own.lock"]
    assert [text.partition(" was removed: ")[0] for text in told] == [str(path) for path in left]


def test_the_locks_of_a_program_that_works_stay(tmp_path: Path) -> None:
    (tmp_path / "group.lock").write_text("1")
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".pwd.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n"
        _accounts.remove_left_locks(told.append, str(tmp_path))
        assert (tmp_path / "group.lock").exists()
        assert program.stdin is not None
        program.stdin.close()
    assert told == []
    _accounts.remove_left_locks(told.append, str(tmp_path))
    assert not (tmp_path / "group.lock").exists()
