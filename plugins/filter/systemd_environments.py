# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment files of processes that systemd runs, from the declarations of applications."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise
from ansible_collections.durable.temporal.plugins.module_utils._systemd import environments
from ansible_collections.durable.temporal.plugins.plugin_utils._environments import with_secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def systemd_environments(
    context: Context, declared: t.Any, environment: t.Mapping[str, t.Any] | None = None
) -> dict[str, str]:
    """Path to content of the environment files. They hold the secrets of the applications.

    :param declared: the applications; those of another runtime have none.
    :param environment: variables that every process gets.
    """
    try:
        found = [with_secrets(context, a, environment) for a in map(normalise, declared) if a["runtime"] == "systemd"]
        return {path: text for application, base in found for path, text in environments(application, base).items()}
    except (InvalidApplication, SecretError, ValueError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"systemd_environments: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"systemd_environments": systemd_environments}
