# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module namespace takes for one namespace. Private to this collection."""

from __future__ import annotations

import typing as t

NAMESPACE: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "retention": {"type": "str"},
    "description": {"type": "str"},
    "owner_email": {"type": "str"},
    "data": {"type": "dict"},
    "history_archival_state": {"type": "str", "choices": ["enabled", "disabled"]},
    "history_archival_uri": {"type": "str"},
    "visibility_archival_state": {"type": "str", "choices": ["enabled", "disabled"]},
    "visibility_archival_uri": {"type": "str"},
}
