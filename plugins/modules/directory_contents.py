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
    what was written. Accounts that this collection has made say so in their comment; others keep their shell and their
    primary group.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.directories
options:
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
        description:
          - Whether a new user is one of the system, without a home directory, that runs applications.
          - One of that name that is there already must be made by this collection, or one that nobody logs in with and
            that has a number of 1000 or more.
        type: bool
        default: false
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
  apply_environment:
    description:
      - Variables for O(apply_command), as JSON, beside those that the task has.
      - Unlike the task's C(environment), it is not seen in a command line, so it may hold secrets.
    type: json
    default: "{}"
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
      - Units of systemd that are enabled and running once everything else is done. Failures of theirs are forgotten before
        O(apply_command), so that systemd starts again what failed too often. In check mode, one that is not
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

import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils import _accounts as accounts
from ansible_collections.durable.temporal.plugins.module_utils._directories import (
    OPTIONS,
    PENDING,
    Directory,
    Refused,
    compare,
    fingerprint,
    present,
    put,
    put_back,
    without_secrets,
    write,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan

# What systemd calls a unit that starts, or needs no enabling, at boot.
ENABLED = ("enabled", "enabled-runtime", "alias", "static", "indirect", "generated", "linked")
RUNNING = ("active", "activating", "reloading", "refreshing")
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "ConditionResult", "ConditionTimestampMonotonic")


def digest(directories: t.Sequence[Directory], watch: t.Sequence[str]) -> str:
    """Fingerprint of everything that the apply command is about."""
    files = {f"{d.path / name}": content for d in directories if d.apply for name, content in sorted(d.files.items())}
    for name in watch:
        found = present(Path(name).resolve())
        content = str((found or {}).get("content"))
        files[name] = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
    return fingerprint(files)


def run(
    module: Module, command: t.Sequence[str], failed: str, environment: t.Mapping[str, str] | None = None
) -> str | None:
    """Run a command; ``None`` when it succeeded, otherwise a message that ends with what the command said."""
    code, out, err = module.run_command(
        list(command), check_rc=False, handle_exceptions=False, environ_update=dict(environment or {})
    )
    if code == 0:
        return None
    return f"{failed} ({' '.join(command)}: exit code {code}):\n{(err or out).strip()}"


def work(module: Module) -> dict[str, t.Any]:
    params = module.params
    directories, plan = compare(params)
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


def contents(module: Module, directories: t.Sequence[Directory], plan: Plan) -> dict[str, t.Any]:
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
    # With this stamp the next run applies again, however this one ends.
    stamp.parent.mkdir(parents=True, exist_ok=True)
    put(stamp, {"type": "file", "mode": "0644", "content": f"{PENDING}\n"})
    try:
        write_and_test(module, plan)
    except Refused:
        if recorded is None:
            stamp.unlink()
        elif plan:
            put(stamp, recorded)
        raise
    forget_failures(module, params["services"])
    environment = json.loads(params["apply_environment"])
    problem = run(module, params["apply_command"], "The files are in place, but could not be put to use", environment)
    if problem:
        raise Refused(problem)
    put(stamp, {"type": "file", "mode": "0644", "content": f"{wanted}\n"})
    return result


def forget_failures(module: Module, names: t.Sequence[str]) -> None:
    """Have systemd start units that failed too often a moment ago: what they failed with is replaced by now."""
    if names:
        # Of a unit that it has not loaded, systemd knows no failures.
        module.run_command(["systemctl", "reset-failed", *names], handle_exceptions=False)


def units(module: Module, names: t.Sequence[str]) -> dict[str, dict[str, bool]]:
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


def make_users(module: Module, plan: Plan) -> None:
    if plan:
        accounts.remove_left_locks(module.warn)
    for change in plan:
        tool, *arguments = accounts.command(change)
        command = [module.get_bin_path(tool, required=True), *arguments]
        if problem := run(module, command, f"The {change.key} could not be made as declared"):
            raise Refused(problem)


def run_units(module: Module, plan: Plan) -> None:
    for change in plan:
        for verb, done in (("enable", "enabled"), ("start", "running")):
            if done in change.fields and (
                problem := run(module, ["systemctl", verb, change.key], f"{change.key} could not be made {done}")
            ):
                raise Refused(f"{problem}\nLook at: journalctl -u {change.key}")


def write_and_test(module: Module, plan: Plan) -> None:
    write(plan)
    if not module.params["test_command"]:
        return
    outcome = "the files are as they were before" if plan else "nothing was changed"
    problem = run(module, module.params["test_command"], f"The new contents were refused; {outcome}")
    if problem:
        put_back(plan)
        raise Refused(problem)


def main() -> None:
    module = Module(
        argument_spec={
            **OPTIONS,
            "test_command": {"type": "list", "elements": "str"},
            "apply_command": {"type": "list", "elements": "str"},
            "apply_environment": {"type": "json", "default": "{}", "no_log": True},
            "stamp": {"type": "path"},
            "watch": {"type": "list", "elements": "path", "default": []},
            "users": {"type": "list", "elements": "dict", "default": [], "options": accounts.USER},
            "services": {"type": "list", "elements": "str", "default": []},
        },
        required_by={"apply_command": "stamp"},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**work(module))
    except (Refused, accounts.ForeignAccount, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
