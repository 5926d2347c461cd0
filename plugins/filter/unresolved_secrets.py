# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which references to secrets cannot be resolved. Documented in unresolved_secrets.yml."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import judge
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def unresolved_secrets(context: Context, declared: t.Any) -> list[str]:
    """Sentences, in the order of what is declared; none when all is well.

    :param declared: names of options to their values, or of applications to their declarations.
    """
    if not isinstance(declared, t.Mapping):
        raise AnsibleFilterError(f"unresolved_secrets: found {type(declared).__name__}, expected a dictionary")
    try:
        return [f"{place} {text}" for place, text in judge(declared, context).items()]
    except SecretError as error:
        return [str(error)]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unresolved_secrets": unresolved_secrets}
