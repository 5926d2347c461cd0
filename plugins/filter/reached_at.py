# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where one host reaches what listens on another, or on itself. Documented in reached_at.yml."""

from __future__ import annotations

import typing as t

ANY = ("0.0.0.0", "::", "*")  # noqa: S104
LOOPBACK = "127.0.0.1"


def reached_at(
    host: str,
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    option: str,
    here: str,
    single: bool = False,
) -> str:
    """The address of a service, as a host sees it.

    :param host: the host that it runs on.
    :param hostvars: variables of all hosts.
    :param option: the variable that says where the service listens, when the user has set it.
    :param here: the host that asks.
    :param single: whether the platform is one host, so that all of it is on loopback.
    """
    variables = hostvars[host]
    internal = variables.get("topology_address") or variables.get("ansible_host") or host
    usual = variables.get("topology_bind_address") or (LOOPBACK if single else internal)
    listens = variables.get(option) or usual
    if listens in ANY:
        return LOOPBACK if host == here else str(internal)
    return str(listens)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"reached_at": reached_at}
