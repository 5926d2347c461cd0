# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says why an application is not removed, before anything is changed; or afterwards what became of it."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.plugin_utils._removal import check, outcome, silent


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/removal_report.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "found": {"type": "str", "required": True},
                "removed": {"type": "str", "default": ""},
                "declared": {"type": "list", "elements": "str", "default": []},
                "hosts": {"type": "list", "elements": "str", "default": []},
                "data": {"type": "bool", "default": False},
                "confirm": {"type": "str", "default": ""},
            }
        )
        variables: dict[str, t.Any] = task_vars or {}
        hosts = variables["ansible_play_hosts_all"]

        def registered(name: str) -> dict[str, t.Any]:
            of_hosts = {host: variables["hostvars"][host].get(name) or {} for host in hosts}
            return {host: one for host, one in of_hosts.items() if "state" in one}

        before = registered(given["found"])
        if given["removed"]:
            dry = bool(self._task.check_mode)
            lines = outcome(given["name"], before, registered(given["removed"]), given["data"], dry)
            for line in lines:
                Display().display(line)
            return {**result, "changed": False, "outcome": lines}
        asked = {host: variables["hostvars"][host].get(given["found"]) or {} for host in hosts}
        problems = silent(given["name"], asked, given["hosts"])
        for problem in (one for one in problems if one.level == "warning"):
            Display().warning(problem.text)
        problems = [one for one in problems if one.level == "error"]
        # What those that could not be asked would say may change the rest.
        problems = problems or check(given["name"], before, given["declared"], given["data"], given["confirm"])
        if problems:
            message = "\n".join(problem.text for problem in problems)
            return {**result, "changed": False, "failed": True, "msg": f"{message} Nothing was changed."}
        return {**result, "changed": False}
