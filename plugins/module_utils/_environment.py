# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that a process of an application gets, whatever runs it, and digests of declarations.

Private to this collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t


def digest(data: t.Any, length: int) -> str:
    """The first digits of the SHA-256 digest of something that JSON can hold."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:length]


def text_of(value: t.Any) -> str:
    """A value as an environment variable: ``true`` and not ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def environment_of(
    application: t.Mapping[str, t.Any], process: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]
) -> dict[str, str]:
    """The variables of a process. What is declared closest to it wins; a value of ``None`` takes a variable away."""
    derived = {
        "NODE_ENV": "production" if application["runtime"] == "pm2" or application["dependencies"] == "npm" else None,
        **dict.fromkeys(application["temporal_address_variables"], application["temporal_address"] or None),
        "TEMPORAL_NAMESPACE": application["namespace"] or None,
        "TEMPORAL_TASK_QUEUE": application["task_queues"][0] if application["task_queues"] else None,
        "PORT": application["port"],
    }
    merged = {**base, **derived, **application["environment"], **process["environment"]}
    return {k: text_of(v) for k, v in sorted(merged.items()) if v is not None}
