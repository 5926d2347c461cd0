# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the directory that a user starts with."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.plugin_utils import _starter as starter
from ansible_collections.durable.temporal.plugins.plugin_utils._controller import controller_path

COLLECTION = Path(__file__).resolve().parents[2]
ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "directory": {"type": "str", "default": "."},
    "topology": {"type": "str", "default": "single_vm"},
    "name": {"type": "str", "default": "order-processing"},
    "hosts": {"type": "raw", "default": {}},
    "user": {"type": "str"},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/starter.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        directory = Path(controller_path(options["directory"]))
        known = {f"init_{name}" for name in ARGUMENT_SPEC}
        try:
            if problems := starter.check_names(task_vars or {}, known):
                raise starter.StarterError(problems)
            if not options["directory"]:
                raise starter.StarterError(["init_directory is empty; expected the path of a directory."])
            hosts = starter.addresses(options["hosts"], options["topology"])
            wanted = starter.Wanted(options["topology"], options["name"], hosts, options["user"])
            made = starter.files(COLLECTION, wanted)
            found = starter.compare(directory, made)
            if found.different:
                raise starter.StarterError([_in_the_way(directory, found)])
            if not self._task.check_mode:
                starter.write(directory, made, found.new)
        except starter.StarterError as error:
            raise AnsibleActionFail(f"{error}\nNothing was written.") from None
        except OSError as error:
            raise AnsibleActionFail(
                f"init_directory is {directory}; {error.filename} could not be written: {error.strerror}. "
                "Correct that, or name another directory, and run this again; what is complete is kept."
            ) from error
        result.update(changed=bool(found.new), directory=str(directory), created=found.new, unchanged=found.same)
        if self._task.diff:
            result["diff"] = [
                {"before": "", "after": made[path], "before_header": path, "after_header": path} for path in found.new
            ]
        Display().display(_next(directory, found, self._task.check_mode))
        return result


def _in_the_way(directory: Path, found: starter.Comparison) -> str:
    listed = "".join(f"\n  {path}" for path in found.different)
    return (
        f"init_directory is {directory}, where files differ from what would be written:{listed}\n"
        "Expected none of them, or the same. Move them away, or name another directory: -e init_directory=…"
    )


def _next(directory: Path, found: starter.Comparison, check_mode: bool) -> str:
    if not found.new:
        return f"{directory} has all of its files already."
    done = "would be written" if check_mode else "written"
    listed = "".join(f"\n  {path}" for path in found.new)
    return f"{len(found.new)} files {done} in {directory}:{listed}\nThe README.md says what to do next."
