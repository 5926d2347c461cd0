# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments in which applications replay histories. Documented in replay_environments.yml."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise
from ansible_collections.durable.temporal.plugins.module_utils._environment import environment_of
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import with_secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def replay_environments(
    context: Context, declared: t.Any, environment: t.Mapping[str, t.Any] | None = None
) -> dict[str, dict[str, str]]:
    """Application to variables, of those that have a ``replay_command``. They hold the secrets of the applications.

    :param declared: the applications.
    :param environment: variables that every process gets.
    """
    try:
        # Without the processes, whose own variables it does not get.
        found = [{**a, "processes": []} for a in map(normalise, declared) if a["replay_command"]]
        resolved = [with_secrets(context, application, environment) for application in found]
        return {a["name"]: environment_of(a, {"environment": {}}, base) for a, base in resolved}
    except (InvalidApplication, SecretError, ValueError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"replay_environments: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"replay_environments": replay_environments}
