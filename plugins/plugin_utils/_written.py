# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where something was written, and how, as far as Ansible knows.

Private to this collection. No public interface of Ansible says it; without the private one, messages are just shorter and
some slips are not seen.
"""

from __future__ import annotations

import importlib
import linecache
import re
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A file, and line and column in it, which count from 1; 0 when they are not known."""

    path: str
    line: int
    column: int


def place_of(value: t.Any) -> Place | None:
    """Where a value, or the name of a variable, was written."""
    try:
        tag = importlib.import_module("ansible._internal._datatag._tags").Origin.get_tag(value)
    except (ImportError, AttributeError):
        return None
    return Place(str(tag.path), tag.line_num or 0, tag.col_num or 0) if tag is not None and tag.path else None


def written_after(name: str) -> str | None:
    """What stands in a file after the name of a variable, up to a blank or what ends a value of YAML.

    ``None`` when that is not known, or no plain number or truth: in quotes, on another line, a template, an alias.
    """
    place = place_of(name)
    if place is None or not place.line:
        return None
    line = linecache.getline(place.path, place.line)[max(place.column - 1, 0) :]
    found = re.match(rf"""(["']?){re.escape(name)}\1\s*:\s+([\w.:+-]+)\s*([,}}\]#]|$)""", line)
    return found[2] if found else None
