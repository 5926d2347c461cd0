# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets secrets of an Azure Key Vault that are missing."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.module_utils._secrets import register
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault import AzureKeyVault
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import SPEC, from_variables
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import SHORTEST_LENGTH, password
from ansible_collections.durable.temporal.plugins.plugin_utils._variables import rendered


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/keyvault_secret.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        secret = {
            "name": {"type": "str", "required": True, "no_log": False},
            "value": {"type": "str", "no_log": True},
        }
        _validation, given = self.validate_argument_spec(
            argument_spec={
                "vault": {"type": "str"},
                "secrets": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": secret,
                    "no_log": False,
                },
                "length": {"type": "int", "default": 32},
            }
        )
        if given["length"] < SHORTEST_LENGTH:
            raise AnsibleActionFail(f"length is {given['length']}; expected {SHORTEST_LENGTH} or more.")
        variables = rendered(self._templar, task_vars or {}, SPEC)
        wanted = {each["name"]: _maker(each["value"], given["length"]) for each in given["secrets"]}
        try:
            settings = from_variables(variables, {"vault": given["vault"]} if given["vault"] else {})
            created = AzureKeyVault(settings).seed(wanted, write=not self._task.check_mode)
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        present = [name for name in wanted if name not in created]
        result.update(
            changed=bool(created),
            created=created,
            present=present,
            diff={"before": _listed(present), "after": _listed(list(wanted))},
        )
        return result


def _maker(value: str | None, length: int) -> Callable[[], str]:
    def make() -> str:
        made = value if value is not None else password(length)
        register([made])
        return made

    return make


def _listed(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))
