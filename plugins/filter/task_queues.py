# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task queues that the workers of applications must poll."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise

Processes = t.Union[t.Mapping[str, t.Sequence[int]], t.Sequence[int]]

# A poll is held for up to a minute, so that an idle worker may have polled last a minute ago.
POLLED_WITHIN_SECONDS = 90


def task_queues(
    declared: t.Any, processes: t.Mapping[str, Processes], address: str, just_started: bool = False
) -> list[dict[str, t.Any]]:
    """Task queues as the module task_queue_info takes them, one for each that an application declares.

    :param declared: list of what users write in ``topology_applications``.
    :param processes: application to the process ids of each of its programs, or of all of them. Applications without any
        are left out.
    :param address: the frontend that is asked. Applications of another one are left out: its login is not known here.
    :param just_started: whether the processes are so new that the server lists nothing old of them.
    """
    if not isinstance(declared, list) or not all(isinstance(a, dict) for a in declared):
        raise AnsibleFilterError(f"task_queues: found {type(declared).__name__}, expected a list of dictionaries")
    try:
        applications = [normalise(a) for a in declared]
    except (InvalidApplication, ValueError, TypeError) as error:
        raise AnsibleFilterError(f"task_queues: {error}") from None
    return [
        {
            "name": queue,
            "namespace": application["namespace"] or "default",
            "component": name,
            "processes": own if isinstance(own := processes[name], dict) else {name: own},
            **({"identity_pattern": application["poller_identity"]} if application["poller_identity"] else {}),
            **({} if just_started else {"polled_within_seconds": POLLED_WITHIN_SECONDS}),
        }
        for application in applications
        if processes.get(name := application["name"]) and application["temporal_address"] in ("", address)
        for queue in application["task_queues"]
    ]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"task_queues": task_queues}
