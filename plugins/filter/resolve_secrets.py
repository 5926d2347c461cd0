# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References to secrets in any structure, resolved. Documented in resolve_secrets.yml."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import from_variables
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Provider, SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import (
    SPEC,
    VARIABLES,
    provider,
    resolve,
    settings,
)
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def resolve_secrets(
    context: Context,
    structure: t.Any,
    provider_names: t.Any = None,
    *,
    directory: str | None = None,
    generate: bool | None = None,
    **kwargs: t.Any,
) -> t.Any:
    given = {"provider": kwargs.pop("provider", provider_names), "directory": directory, "generate": generate}
    if kwargs:
        raise AnsibleFilterError(f"resolve_secrets takes provider, directory and generate; found {', '.join(kwargs)}.")

    def source() -> Provider:
        # Only now, so that a structure without references needs no provider.
        variables = {name: context[name] for name in (*VARIABLES.values(), "inventory_dir") if name in context}
        names, options = settings({k: v for k, v in given.items() if v is not None}, variables, os.environ)
        vault = dataclasses.replace(
            options, vault=lambda: from_variables({name: context[name] for name in SPEC if name in context})
        )
        return provider(names, vault)

    try:
        return resolve(structure, source)
    except SecretError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"resolve_secrets": resolve_secrets}
