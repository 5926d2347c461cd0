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
    resolve,
    settings,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import provider as provider_of
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def resolve_secrets(
    context: Context,
    structure: t.Any,
    *,
    provider: t.Any = None,
    directory: str | None = None,
    generate: bool | None = None,
    **unknown: t.Any,
) -> t.Any:
    """The structure with the values in the places of its references.

    :param provider: names of providers, a list or separated by commas. It and the others: ``None`` means not given.
    :raises AnsibleFilterError: a reference cannot be read or resolved; names all of them.
    """
    if unknown:
        raise AnsibleFilterError(f"resolve_secrets takes provider, directory and generate; found {', '.join(unknown)}.")
    given = {"provider": provider, "directory": directory, "generate": generate}

    def source() -> Provider:
        # Only now, so that a structure without references needs no provider.
        variables = {name: context[name] for name in (*VARIABLES.values(), "inventory_dir") if name in context}
        names, options = settings({k: v for k, v in given.items() if v is not None}, variables, os.environ)
        vault = dataclasses.replace(
            options, vault=lambda: from_variables({name: context[name] for name in SPEC if name in context})
        )
        return provider_of(names, vault)

    try:
        return resolve(structure, source)
    except SecretError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"resolve_secrets": resolve_secrets}
