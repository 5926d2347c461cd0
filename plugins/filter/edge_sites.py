# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of an edge host from the applications of a platform. Documented in edge_sites.yml."""

from __future__ import annotations

import typing as t


def edge_sites(
    applications: t.Sequence[t.Mapping[str, t.Any]],
    app_addresses: t.Sequence[str],
    ui_servers: t.Sequence[str],
    tls: t.Mapping[str, str] | None = None,
) -> list[dict[str, t.Any]]:
    """Sites for the role nginx.

    :param applications: those with a ``port`` get a site; ``server_name`` is theirs, or any name.
    :param app_addresses: addresses of the hosts that run the applications.
    :param ui_servers: address and port of each Temporal UI; none means no site for it.
    :param tls: ``certificate`` and ``key`` paths on the edge; empty means plain HTTP.
    """
    secure = dict(tls or {})
    sites: list[dict[str, t.Any]] = [
        {
            "name": str(application["name"]),
            "kind": "app",
            "server_name": str(application.get("server_name", "_")),
            "upstream_servers": [f"{address}:{application['port']}" for address in app_addresses],
            **({"tls": secure} if secure else {}),
        }
        for application in applications
        if application.get("port")
    ]
    if ui_servers:
        sites.append({"name": "temporal-ui", "kind": "ui", "upstream_servers": list(ui_servers)})
    return sites


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"edge_sites": edge_sites}
