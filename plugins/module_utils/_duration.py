# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as Temporal's users write them: ``7d``, ``72h``, ``30m``, ``168h0m0s``.

Private to this collection.
"""

from __future__ import annotations

import re
import typing as t

_UNITS: t.Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_WHOLE = re.compile(r"^(?:\d+[dhms])+$", re.ASCII)
_PART = re.compile(r"(\d+)([dhms])", re.ASCII)


def parse_duration(text: str) -> int:
    """Seconds of a duration.

    :raises ValueError: with a sentence when it is none.
    """
    written = str(text).strip()
    if not _WHOLE.match(written):
        raise ValueError(f"'{written}' is not a duration: expected one such as 7d, 72h, 30m or 168h0m0s")
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(written))


def format_duration(seconds: int) -> str:
    """The shortest way to write some seconds: ``604800`` is ``7d``, ``5400`` is ``1h30m``, ``0`` is ``0s``."""
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
