# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications with their place in a platform. Documented in placed.yml."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

# What a platform has in its directory besides applications, and the directory of the application named as it is.
PLATFORM = "temporal"
OWN = "workflow"


def placed(declared: t.Any, root: str, name: str, address: str) -> list[t.Any]:
    """Applications with a directory below that of the platform, and with the address of its Temporal.

    :param declared: the applications, as users write them; what they set themselves stays.
    :param root: directory of the platform.
    :param name: name of the platform. The application of that name lies in ``workflow``, others under their names.
    :param address: host and port of the frontend.
    """
    if not isinstance(declared, list):
        raise AnsibleFilterError(f"placed: found {type(declared).__name__}, expected a list of dictionaries")
    return [_placed(a, root, name, address) if isinstance(a, dict) and a.get("name") else a for a in declared]


def _placed(application: t.Mapping[str, t.Any], root: str, platform: str, address: str) -> dict[str, t.Any]:
    name, given = str(application["name"]), {k: v for k, v in application.items() if v is not None}
    if "root" not in given and name in (PLATFORM, OWN):
        raise AnsibleFilterError(
            f"application {name}: its directory would be {root}/{name}, which is another one's. Choose another name, or "
            "set its root"
        )
    place = OWN if name == platform else name
    return {"root": f"{root.rstrip('/')}/{place}", "temporal_address": address, **given}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"placed": placed}
