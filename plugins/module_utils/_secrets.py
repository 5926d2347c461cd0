# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the engine which strings are secrets, where it can be told.

Private to this collection. ansible-core masks registered secrets in everything that it prints from 2.22 on; before that
there is nothing to register with, and ``no_log`` on the task is the only protection.
"""

from __future__ import annotations

import typing as t

# Looked up by name: the module does not exist before 2.22.
try:
    from ansible.module_utils.secrets import register_secrets as _register
except ImportError:
    _register = None

# Shorter values (a port, "true") would also be masked wherever they occur by chance.
SHORTEST = 6


def register(values: t.Iterable[t.Any]) -> None:
    """Have these values masked in output from now on. Values that are no text, or shorter than 6, are left out."""
    if _register is not None:
        _register([str(v) for v in values if isinstance(v, str) and len(v) >= SHORTEST])
