# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which builds of which applications are to be rolled out."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise


def rollouts(
    declared: t.Any,
    live: t.Mapping[str, str],
    limits: t.Mapping[str, t.Any] | None = None,
    at_once: bool = False,
    only_without_current: bool = False,
) -> list[dict[str, t.Any]]:
    """Rollouts of the applications with ``versioning: worker_deployment``.

    :param declared: list of what users write in ``topology_applications``.
    :param live: application to release, which is the build id. Applications without a release are left out.
    :param limits: limits for all of them, by the names that the module worker_deployment_rollout gives them.
    :param at_once: without the declared steps, as on the way back to a build that has run before.
    :param only_without_current: for worker deployments of which no build is current yet; the others are left as they are.
    """
    if not isinstance(declared, list) or not all(isinstance(a, dict) for a in declared):
        raise AnsibleFilterError(f"rollouts: found {type(declared).__name__}, expected a list of dictionaries")
    try:
        applications = [normalise(a) for a in declared]
    except (InvalidApplication, ValueError, TypeError) as error:
        raise AnsibleFilterError(f"rollouts: {error}") from None
    return [
        {
            "name": application["name"],
            "namespace": application["namespace"] or "default",
            "build_id": live[application["name"]],
            "steps": [] if at_once else application.get("rollout_steps") or [],
            "connection": {"address": application["temporal_address"]} if application["temporal_address"] else {},
            "prune": True,
            "only_without_current": only_without_current,
            **(limits or {}),
        }
        for application in applications
        if application.get("versioning", "none") == "worker_deployment" and live.get(application["name"])
    ]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rollouts": rollouts}
