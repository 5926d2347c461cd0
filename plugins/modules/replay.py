#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays histories of workflows against releases before they go live."""

from __future__ import annotations

DOCUMENTATION = r"""
module: replay
short_description: Replay histories of workflows against releases before they go live
version_added: 0.1.0
description:
  - Runs the command with which each application replays recent and open histories against its code, in the directory of
    a release, as the application's user. A workflow that is open goes on in the new code, which must make the same
    decisions again; where it would not, this module fails before anything is switched.
  - The command ends with 0 when all histories can be replayed, and with 3 when one cannot. The last line that it prints
    is JSON with C(replayed), a number, and C(failed), a list of C(workflow_type), C(workflow_id) and C(error).
  - A release that is live already is not asked again.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  applications:
    description: The applications. P(durable.temporal.applications#filter) makes this list from their declarations.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      root:
        description: Directory that holds C(releases) and C(current).
        type: path
        required: true
      user:
        description: User that runs the command.
        type: str
        required: true
      group:
        description: Group of the command. The primary group of O(applications[].user) when unset.
        type: str
      replay_command:
        description: The program, relative to the release or by its whole path or name, and its arguments.
        type: list
        elements: str
        required: true
  environments:
    description: Application to the variables of its processes. P(durable.temporal.replay_environments#filter) makes them.
    type: dict
    default: {}
  releases:
    description: Application to the release that is to go live.
    type: dict
    required: true
  timeout_seconds:
    description: How long the replay of one application may take.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Replay histories against new releases
  durable.temporal.replay:
    applications: "{{ topology_applications | durable.temporal.applications('replay') }}"
    environments: "{{ topology_applications | durable.temporal.replay_environments }}"
    releases: {orders: 20261121034500-1a2b3c4d}
"""

RETURN = r"""
replayed:
  description: Application to the number of histories that were replayed.
  returned: success
  type: dict
"""

import json
import shutil
import socket
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._run_as import PATH, Account, give_way, run_as

INCOMPATIBLE = 3
SHOWN = 5
APPLICATION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "user": {"type": "str", "required": True},
    "group": {"type": "str"},
    "replay_command": {"type": "list", "elements": "str", "required": True},
}


class ReplayError(Exception):
    """Why a release must not go live; the text is for the operator."""


def program(command: t.Sequence[str], directory: Path) -> list[str]:
    """The command with its program where it really is: in the release, or in the usual places."""
    own = directory / command[0]
    found = str(own) if "/" in command[0] and own.is_file() else shutil.which(command[0], path=PATH)
    return [found or command[0], *command[1:]]


def summary(stdout: str) -> dict[str, t.Any]:
    """The JSON of the last line, or nothing."""
    lines = stdout.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def verdict(release: str, code: int, stdout: str, stderr: str) -> int:
    """How many histories a release can replay.

    :raises ReplayError: it cannot replay all, or nothing is known because the command itself failed.
    """
    found = summary(stdout)
    failed = [f for f in found.get("failed") or [] if isinstance(f, dict)]
    if code == INCOMPATIBLE or failed:
        shown = "".join(
            f"\n  {f.get('workflow_type', '?')} {f.get('workflow_id', '?')}: {str(f.get('error', '')).strip()[:400]}"
            for f in failed[:SHOWN]
        )
        more = f"\n  and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        raise ReplayError(
            f"release {release} cannot go on with {len(failed) or 'some'} of {found.get('replayed', '?')} replayed "
            f"workflows; they would stop where they are.{shown}{more}\nKeep the old order of commands for them "
            "(the SDK's patching, or versioning: worker_deployment), and deploy again."
        )
    if code != 0:
        said = " | ".join((stderr or stdout).strip().splitlines()[-5:])[-800:]
        raise ReplayError(f"the replay_command of release {release} ended with {code}, expected 0 or 3: {said}")
    return int(found.get("replayed") or 0)


def replay(application: dict[str, t.Any], release: str, environment: t.Mapping[str, str], timeout: int) -> int:
    """Replay the histories of one application; 0 when its release is live already.

    :raises ReplayError: the release must not go live.
    """
    root = Path(application["root"])
    directory = root / "releases" / release
    current = root / "current"
    if not release or (current.is_dir() and current.resolve() == directory.resolve()):
        return 0
    account = Account.find(application["user"], application["group"] or "")
    command = program(application["replay_command"], directory)
    try:
        done = run_as(account, command, environment, directory=str(directory), timeout_seconds=timeout)
    except subprocess.TimeoutExpired:
        raise ReplayError(f"the replay_command of release {release} did not end within {timeout} s") from None
    except OSError as error:
        raise ReplayError(f"the replay_command of release {release} cannot be run: {error}") from None
    return verdict(release, done.returncode, done.stdout, done.stderr)


def main() -> None:
    module = Module(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": APPLICATION},
            "environments": {"type": "dict", "default": {}, "no_log": True},
            "releases": {"type": "dict", "required": True},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    give_way()
    replayed: dict[str, int] = {}
    for application in [] if module.check_mode else module.params["applications"]:
        name = application["name"]
        environment = {k: str(v) for k, v in (module.params["environments"].get(name) or {}).items()}
        try:
            release = str(module.params["releases"].get(name) or "")
            replayed[name] = replay(application, release, environment, module.params["timeout_seconds"])
        except (ReplayError, KeyError) as error:
            module.fail_json(msg=f"{socket.gethostname()}: {name}: {error}")
    module.exit_json(changed=False, replayed=replayed)


if __name__ == "__main__":
    main()
