# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the module ca_certificates: leaves out a host that preflight has seen to trust them all."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.plugin_utils._present import certificates_present


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/ca_certificates.py``."""

    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        if certificates_present(self._task.args, task_vars or {}):
            return {**result, "changed": False, "actions": []}
        done: dict[str, t.Any] = self._execute_module(
            module_name="durable.temporal.ca_certificates", task_vars=task_vars
        )
        return done
