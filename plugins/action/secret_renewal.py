# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the provider of secrets make new values, and forget the former ones once everybody uses the new."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import from_variables
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import (
    RENEWED,
    SPEC,
    VARIABLES,
    provider,
    renewable,
    settings,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._variables import rendered


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/secret_renewal.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "names": {"type": "list", "elements": "str", "required": True},
                "known": {"type": "list", "elements": "str", "required": True},
                "state": {"type": "str", "choices": ["renewed", "settled"], "required": True},
            }
        )
        begin = options["state"] == "renewed"
        unknown = [name for name in options["names"] if name not in options["known"]]
        if unknown:
            raise AnsibleActionFail(
                f"Not a secret that can be renewed here: {', '.join(unknown)}; expected one of "
                f"{', '.join(options['known'])}. A secret of an application is changed in its provider, and deploy.yml "
                "hands it out."
            )
        variables = rendered(self._templar, task_vars or {}, (*VARIABLES.values(), *SPEC, "inventory_dir", RENEWED))
        try:
            names, made = settings({"generate": True}, variables, os.environ)
            source = provider(names, dataclasses.replace(made, vault=lambda: from_variables(variables)))
            givers = renewable(source, options["names"], strict=begin)
            # What check mode has only told to be renewed.
            told = variables.get(RENEWED) or [] if self._task.check_mode else []
            waiting = [name for name, giver in givers.items() if name in told or giver.renewing(name)]
            changing = [name for name in givers if (name in waiting) != begin]
            if not self._task.check_mode:
                for name, giver in givers.items():
                    (giver.renew if begin else giver.settle)(name)
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=bool(changing),
            names=changing,
            unfinished=waiting if begin else [],
            diff={"before": "", "after": "".join(f"{name}: {options['state']}\n" for name in changing)},
        )
        return result
