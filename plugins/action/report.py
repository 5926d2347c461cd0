# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the checks that the hosts have reported, writes them as JSON, and fails when one of them failed."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.plugin_utils._report import build, checks_of, render


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/report.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "registered": {"type": "list", "elements": "str", "required": True},
                "checks": {"type": "dict", "default": {}},
                "path": {"type": "str", "default": ""},
            }
        )
        variables: dict[str, t.Any] = task_vars or {}
        checks: dict[str, list[dict[str, t.Any]]] = {}
        for host in variables["ansible_play_hosts_all"]:
            of_host = variables["hostvars"][host]
            checks[host] = [check for name in options["registered"] for check in checks_of(of_host.get(name) or {})]
            checks[host] += options["checks"].get(host, [])
            if host not in variables["ansible_play_hosts"]:
                checks[host].append(
                    {
                        "component": "host",
                        "name": "reachable",
                        "status": "failed",
                        "found": "no answer",
                        "expected": "an answer",
                        "message": f"Try: ansible -m ansible.builtin.ping {host}",
                    }
                )
        report = build(checks)
        if options["path"]:
            try:
                Path(options["path"]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise AnsibleActionFail(
                    f"path is {options['path']}; the report could not be written: {error}"
                ) from error
        Display().display(render(report))
        if report["status"] == "failed":
            # Ansible shows all that a failed task returns, which would be the report once more.
            told = f"{report['counts']['failed']} checks failed; the table above says which and what to do."
            return {**result, "changed": False, "failed": True, "msg": told}
        return {**result, "changed": False, "report": report}
