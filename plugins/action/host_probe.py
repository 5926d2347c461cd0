# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the module host_probe: finds out what on the host the options of its roles name."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_files as files
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_places as places
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_platform as platform
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_roles as roles_
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets as secrets

# Whose options are rendered, and by which the host says what it runs.
ROLES = "preflight_roles"
# Role → its option that names accounts or groups which must be there, by what they are.
ACCOUNTS = {"host": {"groups": "host_deploy_groups"}, "docker": {"users": "docker_users"}}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/host_probe.py``."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        for option, named in self._named(task_vars or {}).items():
            if named:
                given[option] = [*(given.get(option) or []), *named]
        done: dict[str, t.Any] = self._execute_module(
            module_name="durable.temporal.host_probe", module_args=given, task_vars=task_vars
        )
        return done

    def _named(self, variables: dict[str, t.Any]) -> dict[str, list[str]]:
        """Files, directories, accounts and groups, by option of the module. What cannot be rendered is left out, as the module preflight tells of it."""
        secrets.look_only()
        read = ("topology", *ACCOUNTS, *files.NAMED_BY, *platform.APPLICATION_ROLES)
        available = {**roles_.read_variables(self._loader, read), **variables}
        templar = self._templar.copy_with_new_env(available_variables=available)
        roles = roles_.render(templar, [ROLES])[0].get(ROLES) or []
        options = [option for role in files.NAMED_BY if role in roles for option in files.NAMED_BY[role]]
        accounts = {kind: option for role in ACCOUNTS if role in roles for kind, option in ACCOUNTS[role].items()}
        values, _failures = roles_.render(templar, [*options, *places.NAMED_BY, *accounts.values()])
        declared = platform.applications(values) if platform.APPLICATION_ROLES & set(roles) else []
        return {
            "pem_files": list(dict.fromkeys(file.path for file in files.declared(roles, values))),
            "directories": list(places.taken(roles, values, declared)),
            **{kind: listed for kind, option in accounts.items() if isinstance(listed := values.get(option), list)},
        }
