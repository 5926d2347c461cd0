# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of a host: what is there, what is missing, and the commands that make it so.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._plan import Change, Item, Plan

USER: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "group": {"type": "str"},
    "groups": {"type": "list", "elements": "str", "default": []},
    "shell": {"type": "str"},
    "system": {"type": "bool", "default": False},
}

# In the comment of the accounts that we make: those of applications, and those of people.
MARKS = {True: "durable.temporal application", False: "durable.temporal"}
SYSTEM_NUMBERS = 1000
NO_LOGIN = ("nologin", "false")
# Processes of containers have numbers of their images: 999 is PostgreSQL's, 1000 the Temporal server's. An account of the host
# with one of them may read their files and end them. New accounts get others.
NUMBERS_OF_IMAGES = (999, 1000)


class ForeignAccount(Exception):
    """An account belongs to the system or to a person; the text is for the operator."""


# In the reason why an account must not run applications.
OF_THE_SYSTEM = "is an account of the system"


def complaint(name: str, number: int, shell: str, comment: str) -> str:
    """Why an account must not run applications; empty when it may.

    :param shell: its login shell, a path.
    :param comment: the field of its entry that says what it is.
    """
    if comment.partition(",")[0] == MARKS[True]:
        return ""
    if number < SYSTEM_NUMBERS or number > 65533:
        return f"{name} {OF_THE_SYSTEM} (number {number}), which was not made for applications"
    if shell.rpartition("/")[2] not in NO_LOGIN:
        return f"{name} is an account that people log in with ({shell or 'the default shell'})"
    return ""


def user_number(name: str) -> int | str:
    """The number of a user; the name itself when there is no such user yet."""
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return name


def group_number(name: str) -> int | str:
    """The number of a group; the name itself when there is no such group yet."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return name


def group_name(number: int) -> str:
    """The name of a group; its number as text when it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def present(name: str) -> dict[str, t.Any] | None:
    """A user as ``{"group", "groups", "shell"}``, with the groups that list it as a member, or ``None``."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    member = sorted(entry.gr_name for entry in grp.getgrall() if name in entry.gr_mem)
    return {"group": group_name(account.pw_gid), "groups": member, "shell": account.pw_shell}


def ours(name: str, system: bool) -> bool:
    """Whether we have made an account, of this kind."""
    return pwd.getpwnam(name).pw_gecos.partition(",")[0] == MARKS[system]


def plan_for(declared: t.Iterable[Item]) -> Plan:
    """Compare. Keys are ``group NAME`` and ``user NAME``; a user's own group comes before it.

    An account that we have not made keeps its shell and its primary group.

    :param declared: values of :data:`USER`; only fields that are set count.
    :raises ForeignAccount: an account of the system or of a person is to run an application.
    """
    plan = Plan()
    for user in declared:
        name, have = user["name"], present(user["name"])
        group = user["group"] or (None if have else name)
        if group and isinstance(group_number(group), str) and f"group {group}" not in {c.key for c in plan}:
            plan.add(f"group {group}", None, {"system": user["system"]})
        wanted = {field: value for field, value in (("group", group), ("shell", user["shell"])) if value}
        if have and not ours(name, user["system"]):
            account = pwd.getpwnam(name)
            reason = complaint(name, account.pw_uid, account.pw_shell, account.pw_gecos) if user["system"] else ""
            if reason:
                raise ForeignAccount(
                    f"{reason}; expected one that only runs applications. Choose another user for them."
                )
            wanted = {}
        after = {**(have or {"groups": [], "system": user["system"]}), **wanted}
        after["groups"] = sorted({*after["groups"], *user["groups"]} - ({after["group"]} - {*after["groups"]}))
        plan.add(f"user {name}", have, after)
    return plan


def command(change: Change) -> list[str]:
    """What makes one change true. Users that are not there yet get a home unless they are the system's."""
    kind, _blank, name = change.key.partition(" ")
    after = change.after or {}
    if kind == "group":
        return ["groupadd", *_numbers("GID", after["system"]), name]
    arguments: list[str] = []
    for field in change.fields:
        if field == "groups" and after["groups"]:
            joined = ",".join(sorted({*after["groups"]} - {*(change.before or {"groups": []})["groups"]}))
            arguments += ["--append"] if change.before else []
            arguments += ["--groups", joined]
        elif field in ("group", "shell"):
            arguments += [{"group": "--gid", "shell": "--shell"}[field], after[field]]
    if change.before:
        return ["usermod", *arguments, name]
    home = ["--home-dir", "/nonexistent", "--no-create-home"] if after["system"] else ["--create-home"]
    return ["useradd", *_numbers("UID", after["system"]), *home, "--comment", MARKS[after["system"]], *arguments, name]


# A program of the package passwd takes the lock of each file that it changes, and before that one for all of them, which ends
# with the process.
LOCK = ".pwd.lock"
LOCKED = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")


def remove_left_locks(warn: t.Callable[[str], object], etc: str = "/etc") -> None:
    """Remove the locks of a program that was ended, or whose host lost power, while it changed accounts.

    With such a lock useradd and groupadd refuse for good when it names no process, or one that runs after the next start.

    Nothing is removed while a program changes accounts.

    :param warn: is told of each that was removed.
    """
    left = [path for name in LOCKED if os.path.lexists(path := os.path.join(etc, f"{name}.lock"))]
    if not left:
        return
    descriptor = os.open(os.path.join(etc, LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in left:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                warn(
                    f"{path} was removed: a program that changed accounts had been cut off, and no account could be made."
                )
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _numbers(kind: str, system: bool) -> list[str]:
    """From which numbers the system chooses one; ``kind`` is ``UID`` or ``GID``. Those of the system are given from above."""
    if system:
        return ["--system", "--key", f"SYS_{kind}_MAX={min(NUMBERS_OF_IMAGES) - 1}"]
    return ["--key", f"{kind}_MIN={max(NUMBERS_OF_IMAGES) + 1}"]
