# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells of everything that ``preflight`` found wrong on any host, at once; or what will be deployed."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_platform as platform
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, wrong


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/preflight_report.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={"registered": {"type": "str", "required": True}}
        )
        variables: dict[str, t.Any] = task_vars or {}
        problems: list[tuple[str, Problem]] = []
        hosts: list[platform.Host] = []
        rows: list[dict[str, str]] = []
        for name in variables["ansible_play_hosts_all"]:
            judged = variables["hostvars"][name].get(given["registered"]) or {}
            if "problems" not in judged:
                reason = str(judged.get("msg") or "no answer").strip()
                step = f"Try: ansible -m ansible.builtin.ping {name}"
                problems.append((name, wrong("the host", f"not examined ({reason})", "an answer", step)))
                continue
            problems += [(name, Problem(p["about"], p["text"], p["level"])) for p in judged["problems"]]
            hosts.append(platform.Host(name, judged["roles"], judged["values"]))
            rows += [{"host": name, **row} for row in judged["summary"]]
        problems += platform.check_members(variables.get("groups") or {})
        problems += platform.check_reach(hosts) + platform.check_together(hosts) + platform.check_edges(hosts)

        errors, warnings = platform.report(problems, "error"), platform.report(problems, "warning")
        display = Display()
        for line in warnings:
            display.warning(line)
        if errors:
            return {**result, "changed": False, "failed": True, "msg": platform.refusal(errors)}
        if rows:
            display.display(platform.table(rows))
        return {**result, "changed": False, "cautions": warnings, "summary": rows}
