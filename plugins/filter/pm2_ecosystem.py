# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ecosystem file of PM2 from the declaration of an application."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import ecosystem
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import with_secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def pm2_ecosystem(
    context: Context, declared: t.Any, environment: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    """The content of an ecosystem file. It holds the secrets of the application.

    :param declared: one application.
    :param environment: variables that every process gets.
    """
    try:
        return ecosystem(*with_secrets(context, normalise(declared), environment))
    except (InvalidApplication, SecretError, ValueError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"pm2_ecosystem: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pm2_ecosystem": pm2_ecosystem}
