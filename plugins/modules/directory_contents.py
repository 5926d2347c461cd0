#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares whole directories with the files that they should hold."""

from __future__ import annotations

DOCUMENTATION = r"""
module: directory_contents
short_description: Keep whole directories as declared
version_added: 0.1.0
description:
  - Makes directories, writes the files that they should hold and removes those that nothing owns, in one pass over
    all directories, with one comparison.
  - With O(test_command), files that the command refuses are put back as they were, so that a bad configuration never
    stays on disk for the next reboot to find.
  - With O(apply_command), a program is told about new contents, and a run that was interrupted before it was told is
    made good by the next run.
  - With O(users), the users that own the directories are made first, and with O(services), units of systemd run with
    what was written.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  directories:
    description: The directories, in the order in which they are worked on (parents first).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the directory.
        type: path
        required: true
      create:
        description:
          - Whether to make the directory, and its parents, when it is missing.
          - When V(false), a missing directory is an error only if O(directories[].files) has something to put there.
        type: bool
        default: false
      owner:
        description: User name or number that owns the directory and its files. Left as it is when unset.
        type: str
      group:
        description: Group name or number of the directory and its files. Left as it is when unset.
        type: str
      mode:
        description: Octal permissions of the directory, as a string. Left as they are when unset.
        type: str
      files:
        description: File name to content, for the files that must be there.
        type: dict
        default: {}
      file_mode:
        description: Octal permissions of the files, as a string.
        type: str
        default: "0644"
      prune:
        description:
          - Shell patterns of names that nothing but O(directories[].files) may own; files and symbolic links that match
            are removed. Directories are never removed.
        type: list
        elements: str
        default: []
      keep:
        description: Shell patterns of names that are not removed although O(directories[].prune) matches them.
        type: list
        elements: str
        default: []
      links:
        description: Name to target, for the symbolic links that must be there.
        type: dict
        default: {}
      apply:
        description: Whether O(apply_command) is about this directory. Its other changes do not run the command.
        type: bool
        default: true
  users:
    description: Users that must be there, made before anything is written. Fields that are not set are left as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      group:
        description: Its primary group, made when it is missing. A new user has one of its own name when this is unset.
        type: str
      groups:
        description: Existing groups that it is in too. It stays in all others.
        type: list
        elements: str
        default: []
      shell:
        description: Its login shell.
        type: str
      system:
        description: Whether a new user is one of the system, without a home directory.
        type: bool
        default: false
  secrets:
    description:
      - Path to content, for files in O(directories) that hold secrets. They have the owner and O(directories[].file_mode)
        of their directory. Their contents are never logged, returned or shown in a diff.
    type: dict
    default: {}
  expected:
    description: Files that, where they exist, must hold exactly this; otherwise the module fails and changes nothing.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      content:
        description: What it must hold.
        type: str
        required: true
      explanation:
        description: What to tell the operator when it holds something else.
        type: str
        required: true
  test_command:
    description:
      - Command, as a list, that must succeed with the new files in place. Run only when something differs.
      - When it fails, the files are put back and the module fails with what the command said.
    type: list
    elements: str
  apply_command:
    description:
      - Command, as a list, that makes a program use the new files. Run when something differs, after O(test_command),
        and also when O(stamp) shows that an earlier run was interrupted before it.
    type: list
    elements: str
  stamp:
    description: File that records which contents O(apply_command) was last run for.
    type: path
  watch:
    description: Further files, owned by somebody else, whose change needs O(apply_command) too, such as certificates.
    type: list
    elements: path
    default: []
  services:
    description:
      - Units of systemd that are enabled and running once everything else is done. In check mode, one that is not
        installed yet is predicted to be.
      - A unit that its own conditions keep from starting is left so.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the sites of nginx, and nothing else
  durable.temporal.directory_contents:
    directories:
      - path: /etc/nginx/conf.d
        files:
          app.conf: "{{ lookup('ansible.builtin.template', 'app.conf.j2') }}"
        prune: ["*"]
      - path: /etc/nginx/sites-enabled
        prune: [default]
    test_command: [nginx, -t]
    apply_command: [systemctl, try-reload-or-restart, nginx]
    stamp: /var/lib/durable-temporal/nginx

- name: Write a configuration that only one user may read
  durable.temporal.directory_contents:
    directories:
      - path: /opt/order-processing/temporal/config
        create: true
        owner: root
        group: "1000"
        mode: "0750"
        file_mode: "0640"
        files:
          temporal.yaml: "{{ lookup('ansible.builtin.template', 'temporal.yaml.j2') }}"

- name: Write a password, and run the program that reads it
  durable.temporal.directory_contents:
    directories:
      - {path: /etc/example, create: true, mode: "0700", file_mode: "0600"}
    secrets:
      /etc/example/password: "{{ example_password }}"
    services: [example]
"""

RETURN = r"""
changes:
  description: What differed, one row a file, directory, user, group or unit.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Path, C(user NAME), C(group NAME) or unit.
      type: str
    action:
      description: What was done, or would be done in check mode.
      type: str
    fields:
      description: What differed about it.
      type: list
      elements: str
applied:
  description: Whether O(apply_command) was run, or would be run in check mode.
  returned: always
  type: bool
"""

import fnmatch
import hashlib
import os
import stat
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.durable.temporal.plugins.module_utils import _accounts as accounts
from ansible_collections.durable.temporal.plugins.module_utils._plan import Change, Item, Plan

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
    "apply": {"type": "bool", "default": True},
}
EXPECTED = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "explanation": {"type": "str", "required": True},
}
# What systemd calls a unit that starts, or needs no enabling, at boot.
ENABLED = ("enabled", "enabled-runtime", "alias", "static", "indirect", "generated", "linked")
RUNNING = ("active", "activating", "reloading", "refreshing")
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "ConditionResult", "ConditionTimestampMonotonic")


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
    apply: bool

    @classmethod
    def declared(cls, params: t.Mapping[str, t.Any], secrets: t.Mapping[str, str]) -> Directory:
        """The directory, with those secrets that lie in it."""
        within = {Path(path).name: content for path, content in secrets.items() if lies_in(path, params["path"])}
        files = {**params["files"], **within}
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
            have = present(path)
            if have is not None and have["type"] in ("directory", "special"):
                raise Refused(f"{path} is a {have['type']}, expected a file. Move it away and run again.")
            base = {k: v for k, v in (have or {}).items() if k in ("owner", "group")}
            plan.add(
                str(path),
                have,
                {**base, **self.ownership, "type": "file", "mode": self.file_mode, "content": content},
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
            if have is not None and have["type"] in ("file", "link"):
                plan.add(str(path), have, None)


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


def digest(directories: t.Sequence[Directory], watch: t.Sequence[str]) -> str:
    """Fingerprint of everything that the apply command is about."""
    total = hashlib.sha256()
    for directory in (d for d in directories if d.apply):
        for name, content in sorted(directory.files.items()):
            total.update(f"{directory.path / name}\0{content}\0".encode("utf-8", "surrogateescape"))
    for name in watch:
        found = present(Path(name).resolve())
        content = hashlib.sha256(str((found or {}).get("content")).encode("utf-8", "surrogateescape")).hexdigest()
        total.update(f"{name}\0{content}\0".encode())
    return total.hexdigest()


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


def run(module: AnsibleModule, command: t.Sequence[str], failed: str) -> str | None:
    """Run a command; ``None`` when it succeeded, otherwise a message that ends with what the command said."""
    code, out, err = module.run_command(list(command), check_rc=False, handle_exceptions=False)
    if code == 0:
        return None
    return f"{failed} ({' '.join(command)}: exit code {code}):\n{(err or out).strip()}"


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
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
    users = accounts.plan_for(params["users"])
    if not module.check_mode:
        make_users(module, users)
    result = contents(module, directories, plan)
    services = Plan()
    for unit, have in units(module, params["services"]).items():
        services.add(unit, have, {**have, "enabled": True, "running": True})
    if not module.check_mode:
        run_units(module, services)
    parts = [users.as_diff(), result["diff"], services.as_diff()]
    return {
        **result,
        "changed": bool(users or result["changed"] or services),
        "changes": [*users.summary(), *result["changes"], *services.summary()],
        "diff": {side: {k: v for part in parts for k, v in part[side].items()} for side in ("before", "after")},
    }


def contents(module: AnsibleModule, directories: t.Sequence[Directory], plan: Plan) -> dict[str, t.Any]:
    """Write what differs and put it to use; the result without the services."""
    params = module.params
    result: dict[str, t.Any] = {"changed": bool(plan), "changes": plan.summary(), "applied": False}
    result["diff"] = without_secrets(plan, params["secrets"]).as_diff()
    if not params["apply_command"]:
        if plan and not module.check_mode:
            write_and_test(module, plan)
        return result

    stamp, wanted = Path(params["stamp"]), digest(directories, params["watch"])
    recorded = present(stamp)
    in_use = recorded is not None and recorded.get("content", "").strip() == wanted
    aside = {d.path for d in directories if not d.apply}
    if in_use and all(not aside.isdisjoint((Path(change.key), Path(change.key).parent)) for change in plan):
        if plan and not module.check_mode:
            write_and_test(module, plan)
        return result
    result.update(changed=True, applied=True)
    if not plan:
        result["diff"] = {"before": {"in use": "an earlier state"}, "after": {"in use": "what is on disk"}}
    if module.check_mode:
        return result
    # Without a stamp the next run applies again, however this one ends.
    stamp.unlink(missing_ok=True)
    try:
        write_and_test(module, plan)
    except Refused:
        if recorded is not None and plan:
            put(stamp, recorded)
        raise
    problem = run(module, params["apply_command"], "The files are in place, but could not be put to use")
    if problem:
        raise Refused(problem)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    put(stamp, {"type": "file", "mode": "0644", "content": wanted + "\n"})
    return result


def without_secrets(plan: Plan, secrets: t.Container[str]) -> Plan:
    """The same changes for everybody's eyes."""

    def shown(item: Item | None, text: str) -> Item | None:
        return {**item, "content": text} if item is not None and "content" in item else item

    def veiled(change: Change) -> Change:
        if change.key not in secrets:
            return change
        differs = "content" in change.fields
        return Change(
            change.key,
            shown(change.before, "a secret"),
            shown(change.after, "another secret" if differs else "a secret"),
        )

    return Plan([veiled(change) for change in plan])


def units(module: AnsibleModule, names: t.Sequence[str]) -> dict[str, dict[str, bool]]:
    """Unit to ``{"enabled", "running"}``, for all units with one question to systemd."""
    if not names:
        return {}
    tool = module.get_bin_path("systemctl")
    if tool is None:
        if module.check_mode:
            return {name: {"enabled": False, "running": False} for name in names}
        raise Refused(f"systemctl was not found; expected a host that is run by systemd, to run {', '.join(names)}.")
    command = [tool, "show", f"--property={','.join(PROPERTIES)}", "--", *names]
    code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
    if code != 0:
        raise Refused(f"systemd did not answer ({' '.join(command)}): {(err or out).strip()}")
    found = {}
    for name, block in zip(names, out.strip().split("\n\n")):
        have = dict(line.partition("=")[::2] for line in block.splitlines())
        unwilling = have["ConditionResult"] == "no" and have["ConditionTimestampMonotonic"] != "0"
        found[name] = {
            "enabled": have["UnitFileState"] in ENABLED,
            "running": have["ActiveState"] in RUNNING or unwilling,
        }
    return found


def make_users(module: AnsibleModule, plan: Plan) -> None:
    for change in plan:
        tool, *arguments = accounts.command(change)
        command = [module.get_bin_path(tool, required=True), *arguments]
        if problem := run(module, command, f"The {change.key} could not be made as declared"):
            raise Refused(problem)


def run_units(module: AnsibleModule, plan: Plan) -> None:
    for change in plan:
        for verb, done in (("enable", "enabled"), ("start", "running")):
            if done in change.fields and (
                problem := run(module, ["systemctl", verb, change.key], f"{change.key} could not be made {done}")
            ):
                raise Refused(f"{problem}\nLook at: journalctl -u {change.key}")


def write_and_test(module: AnsibleModule, plan: Plan) -> None:
    write(plan)
    if not module.params["test_command"]:
        return
    outcome = "the files are as they were before" if plan else "nothing was changed"
    problem = run(module, module.params["test_command"], f"The new contents were refused; {outcome}")
    if problem:
        put_back(plan)
        raise Refused(problem)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
            "test_command": {"type": "list", "elements": "str"},
            "apply_command": {"type": "list", "elements": "str"},
            "stamp": {"type": "path"},
            "watch": {"type": "list", "elements": "path", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "users": {"type": "list", "elements": "dict", "default": [], "options": accounts.USER},
            "expected": {"type": "list", "elements": "dict", "default": [], "options": EXPECTED},
            "services": {"type": "list", "elements": "str", "default": []},
        },
        required_by={"apply_command": "stamp"},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**work(module))
    except (Refused, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
