# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment with its secrets. Documented in environment.yml."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._environment import text_of
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import source_of
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import resolve
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def environment(context: Context, declared: t.Any) -> dict[str, str]:
    """Names to values, sorted.

    :param declared: what users write as an environment.
    :raises AnsibleFilterError: it is no mapping, or not all of its references can be resolved.
    """
    if not isinstance(declared, t.Mapping):
        raise AnsibleFilterError(f"environment: found {type(declared).__name__}, expected a dictionary")
    try:
        resolved = resolve(declared, source_of(context))
    except SecretError as error:
        raise AnsibleFilterError(str(error)) from None
    return {name: text_of(value) for name, value in sorted(resolved.items()) if value is not None}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"environment": environment}
