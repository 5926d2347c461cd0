# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories with the files that they should hold: what differs, and how it is written.

Private to this collection.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils import _accounts as accounts
from ansible_collections.durable.temporal.plugins.module_utils._plan import Change, Item, Plan

# Each file of configuration with the digest that its package has.
DPKG_STATUS = "/var/lib/dpkg/status"
# What a stamp says while contents are written that are not in use yet.
PENDING: t.Final = "not applied yet"
DIRECTORY = {
    "path": {"type": "path", "required": True},
    "create": {"type": "bool", "default": False},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str"},
    "files": {"type": "dict", "default": {}},
    "file_mode": {"type": "str", "default": "0644"},
    "prune": {"type": "list", "elements": "str", "default": []},
    "keep": {"type": "list", "elements": "str", "default": []},
    "links": {"type": "dict", "default": {}},
    "mark": {"type": "str", "default": ""},
    "edits": {"type": "dict", "default": {}},
    "apply": {"type": "bool", "default": True},
}
EXPECTED = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "explanation": {"type": "str", "required": True},
}
OPTIONS: dict[str, t.Any] = {
    "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "expected": {"type": "list", "elements": "dict", "default": [], "options": EXPECTED},
}


class Refused(Exception):
    """Something stands in the way; the text is for the operator."""


def present(path: Path) -> dict[str, t.Any] | None:
    """What lies at a path: ``{"type", "mode", "owner", "group", "content" or "target"}``, or ``None``."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    found: dict[str, t.Any] = {"owner": info.st_uid, "group": info.st_gid}
    if stat.S_ISLNK(info.st_mode):
        return {"type": "link", "target": str(path.readlink()), **found}
    found["mode"] = f"{stat.S_IMODE(info.st_mode):04o}"
    if stat.S_ISDIR(info.st_mode):
        return {"type": "directory", **found}
    if not stat.S_ISREG(info.st_mode):
        return {"type": "special", **found}
    return {"type": "file", "content": path.read_bytes().decode("utf-8", "surrogateescape"), **found}


@dataclass(frozen=True)
class Directory:
    """One declared directory."""

    path: Path
    create: bool
    ownership: dict[str, int | str]
    mode: str | None
    files: dict[str, str]
    file_mode: str
    prune: list[str]
    keep: list[str]
    links: dict[str, str]
    mark: str
    edited: set[str]
    apply: bool

    @classmethod
    def declared(cls, params: t.Mapping[str, t.Any], secrets: t.Mapping[str, str]) -> Directory:
        """The directory, with those secrets that lie in it."""
        within = {Path(path).name: content for path, content in secrets.items() if lies_in(path, params["path"])}
        edited = edits(Path(params["path"]), params["edits"])
        files = {**params["files"], **within, **edited}
        ownership: dict[str, int | str] = {}
        if params["owner"] is not None:
            ownership["owner"] = accounts.user_number(params["owner"])
        if params["group"] is not None:
            ownership["group"] = accounts.group_number(params["group"])
        for name in (*files, *params["links"]):
            if "/" in name or name in ("", ".", ".."):
                raise Refused(f"{params['path']}: '{name}' is not a file name; declare each directory by itself.")
        return cls(
            path=Path(params["path"]),
            create=params["create"],
            ownership=ownership,
            mode=octal(params["mode"]) if params["mode"] is not None else None,
            files={name: str(content) for name, content in files.items()},
            file_mode=octal(params["file_mode"]),
            prune=params["prune"],
            keep=params["keep"],
            links={name: str(target) for name, target in params["links"].items()},
            mark=params["mark"],
            edited=set(edited),
            apply=params["apply"],
        )

    def compare(self, plan: Plan) -> None:
        """Add what differs in this directory to the plan."""
        here = present(self.path)
        if here is not None and here["type"] == "link" and self.path.is_dir():
            here = present(self.path.resolve())
        if here is not None and here["type"] != "directory":
            raise Refused(f"{self.path} is a {here['type']}, expected a directory. Move it away and run again.")
        if self.create:
            wanted = {"type": "directory", **self.ownership, **({"mode": self.mode} if self.mode else {})}
            plan.add(str(self.path), here, {**(here or {}), **wanted})
        for name, content in self.files.items():
            path = self.path / name
            # A link of somebody's stays one.
            path = path.resolve() if name in self.edited else path
            have = present(path)
            if have is not None and have["type"] in ("directory", "special"):
                raise Refused(f"{path} is a {have['type']}, expected a file. Move it away and run again.")
            if have is not None and name not in self.edited and not self._may_go(path, have):
                raise Refused(
                    f"{path} is somebody else's (its first lines do not say {self.mark!r}); expected none, or one of ours. "
                    "Give it another name, or give ours one, and run again."
                )
            base = {k: v for k, v in (have or {}).items() if k in ("owner", "group")}
            mode = have["mode"] if have is not None and name in self.edited else self.file_mode
            plan.add(
                str(path),
                have,
                {**base, **self.ownership, "type": "file", "mode": mode, "content": content},
            )
        for name, target in self.links.items():
            path = self.path / name
            have = present(path)
            if have is not None and have["type"] != "link":
                raise Refused(f"{path} is a {have['type']}, expected a symbolic link. Move it away and run again.")
            plan.add(str(path), have, {**(have or {}), "type": "link", "target": target})
        if here is None or not self.prune:
            return
        for path in sorted(self.path.iterdir()):
            if (
                path.name in (*self.files, *self.links)
                or not matches(path.name, self.prune)
                or matches(path.name, self.keep)
            ):
                continue
            have = present(path)
            if have is not None and have["type"] in ("file", "link") and self._may_go(path, have):
                plan.add(str(path), have, None)

    def _may_go(self, path: Path, have: Item) -> bool:
        """Whether a file is ours, or a package's that nobody has touched."""
        if not self.mark:
            return True
        here = path.resolve()
        found = present(here) if have["type"] == "link" else have
        if found is None or found["type"] != "file":  # a link to nothing
            return found is None
        return self.mark in "".join(found["content"].splitlines(keepends=True)[:3]) or as_shipped(here, found)


def edits(directory: Path, wanted: t.Mapping[str, t.Mapping[str, str]]) -> dict[str, str]:
    """Name to content of the files that are there and get other values in some of their lines.

    :param wanted: name → regular expression, with what stays as its first group → what comes after that.
    """
    found = {}
    for name, replacements in wanted.items():
        have = present((directory / name).resolve())
        if have is not None and have["type"] == "file":
            found[name] = have["content"]
            for pattern, text in replacements.items():
                found[name] = _replaced(found[name], pattern, text)
    return found


def _replaced(content: str, pattern: str, text: str) -> str:
    return re.sub(pattern, lambda match: f"{match[1]}{text}", content, flags=re.MULTILINE)


def fingerprint(files: t.Mapping[str, str]) -> str:
    """What identifies the contents of some files, by their paths."""
    total = hashlib.sha256()
    for path, content in files.items():
        total.update(f"{path}\0{content}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def as_shipped(path: Path, have: Item) -> bool:
    """Whether a file of configuration is as its package of dpkg has it."""
    digest = hashlib.md5(have["content"].encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    try:
        known = Path(DPKG_STATUS).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return f"\n {path} {digest}\n" in known


def lies_in(file: str, directory: str) -> bool:
    return Path(file).parent == Path(directory)


def octal(text: str) -> str:
    """``"644"`` and ``"0644"`` as ``"0644"``."""
    try:
        return f"{int(text, 8):04o}"
    except ValueError:
        raise Refused(f"'{text}' is not an octal mode such as '0644'.") from None


def matches(name: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def put(path: Path, item: Item | None) -> None:
    """Make what lies at a path equal to an item, atomically for files."""
    if item is None:
        path.unlink(missing_ok=True)
        return
    # By name: the user was to come when it was compared.
    numbers: list[int] = []
    for field, kind, number_of in (("owner", "user", accounts.user_number), ("group", "group", accounts.group_number)):
        wanted = item.get(field, -1)
        number = number_of(wanted) if isinstance(wanted, str) else wanted
        if isinstance(number, str):
            raise Refused(f"{path}: there is no {kind} {number} on this host.")
        numbers.append(number)
    owner, group = numbers
    if item["type"] == "directory":
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, owner, group)
        if "mode" in item:
            path.chmod(int(item["mode"], 8))
        return
    # Under a temporary name first, so that a reader never sees half a file.
    if item["type"] == "link":
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(item["target"])
    else:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(item["content"].encode("utf-8", "surrogateescape"))
            os.fchown(descriptor, owner, group)
            os.fchmod(descriptor, int(item["mode"], 8))
            file.flush()
            os.fsync(descriptor)
    temporary.replace(path)


def compare(params: t.Mapping[str, t.Any]) -> tuple[list[Directory], Plan]:
    """The declared directories, and what differs in them.

    :param params: values of :data:`OPTIONS`.
    :raises Refused: something that is there is not as expected, or stands in the way.
    """
    for file in params["expected"]:
        have = present(Path(file["path"]))
        if have is not None and have.get("content") != file["content"]:
            raise Refused(file["explanation"])
    directories = [Directory.declared(directory, params["secrets"]) for directory in params["directories"]]
    paths = [directory["path"] for directory in params["directories"]]
    if stray := [path for path in params["secrets"] if not any(lies_in(path, directory) for directory in paths)]:
        raise Refused(f"{', '.join(stray)}: the directory of a secret must be one of directories.")
    plan = Plan()
    for directory in directories:
        directory.compare(plan)
    return directories, plan


def write(plan: Plan) -> None:
    for change in plan:
        try:
            put(Path(change.key), change.after)
        except FileNotFoundError as error:
            raise Refused(
                f"{Path(change.key).parent} is not there, so {change.key} cannot be written: "
                "install what owns the directory first, or set create."
            ) from error


def put_back(plan: Plan) -> None:
    for change in reversed(plan.changes):
        if change.before is None and change.after is not None and change.after["type"] == "directory":
            continue
        put(Path(change.key), change.before)


def without_secrets(plan: Plan, secrets: t.Collection[str]) -> Plan:
    """The same changes for everybody's eyes. What is removed beside secrets may have been one."""
    beside = {Path(path).parent for path in secrets}

    def shown(item: Item | None, text: str) -> Item | None:
        return {**item, "content": text} if item is not None and "content" in item else item

    def veiled(change: Change) -> Change:
        if change.key not in secrets and (change.after is not None or Path(change.key).parent not in beside):
            return change
        differs = "content" in change.fields
        return Change(
            change.key,
            shown(change.before, "a secret"),
            shown(change.after, "another secret" if differs else "a secret"),
        )

    return Plan([_as_text(veiled(change)) for change in plan])


def _as_text(change: Change) -> Change:
    """The same change, without what no text can hold: a program, or a file in another encoding, that is replaced."""
    before = change.before
    if before is None or "content" not in before:
        return change
    raw = str(before["content"]).encode("utf-8", "surrogateescape")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return Change(change.key, {**before, "content": f"{len(raw)} bytes that are not UTF-8"}, change.after)
    return change
