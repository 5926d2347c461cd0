# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the module packages: leaves to apt's module what only that can tell."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.plugin_utils._present import packages_present

FOR_APT = {"install_recommends": False, "cache_valid_time": 3600, "lock_timeout": 300}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Has the module install what is missing, and runs apt's own for files, patterns and target releases."""

    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        arguments = self._task.args
        if (seen := packages_present(arguments, task_vars or {})) is not None:
            return seen
        result = self._call("durable.temporal.packages", arguments, task_vars)
        unpredictable = result.pop("unpredictable", [])
        if result.get("failed") or not unpredictable:
            return result
        predicted = [name for name in result["missing"] if name not in unpredictable]
        if self._task.check_mode and predicted:
            return result
        options = {name: arguments.get(name, default) for name, default in FOR_APT.items()}
        done = self._call("ansible.builtin.apt", {"name": unpredictable, "state": "present", **options}, task_vars)
        changed = bool(predicted) or bool(done.get("changed"))
        return {**done, "changed": changed, "missing": result["missing"], "release": result["release"]}

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        return t.cast(
            "dict[str, t.Any]", self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        )
