# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules and templates need to know of applications."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.module_utils._application import InvalidApplication, normalise
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import ecosystem, processes

RELEASE = ("name", "root", "user", "group", "source", "keep_releases")
PM2 = ("name", "user", "group", "unit", "pm2_home", "current", "ecosystem", "health_url")
STATUS = ("name", "user", "health_url")


def _view(application: dict[str, t.Any], view: str, environment: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if view == "release":
        artifact = {"artifact": application["artifact"] or None, "sha256": application["artifact_sha256"] or None}
        return {**{k: application[k] for k in RELEASE}, **artifact}
    if view == "pm2":
        return {**{k: application[k] for k in PM2}, "processes": processes(ecosystem(application, environment))}
    if view == "status":
        wanted = [{k: process[k] for k in ("name", "instances")} for process in application["processes"]]
        return {**{k: application[k] for k in STATUS}, "processes": wanted}
    return application


def applications(
    declared: t.Any, view: str = "full", environment: t.Mapping[str, t.Any] | None = None
) -> list[dict[str, t.Any]]:
    """Applications with their defaults and paths, or the part of them that a module takes.

    :param declared: list of what users write in ``topology_applications``.
    :param view: ``full``, ``release``, ``pm2`` or ``status``. Only ``full`` holds secrets.
    :param environment: variables that every process gets; needed for ``pm2``, as it changes their digests.
    """
    if view not in ("full", "release", "pm2", "status"):
        raise AnsibleFilterError(f"applications: there is no view {view!r}; expected full, release, pm2 or status")
    if not isinstance(declared, list) or not all(isinstance(a, dict) for a in declared):
        raise AnsibleFilterError(f"applications: found {type(declared).__name__}, expected a list of dictionaries")
    try:
        return [_view(normalise(a), view, environment or {}) for a in declared]
    except (InvalidApplication, ValueError, TypeError) as error:
        raise AnsibleFilterError(f"applications: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"applications": applications}
