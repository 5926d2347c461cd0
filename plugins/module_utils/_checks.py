# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measured fact about health, and the worst of many.

Private to this collection. Modules collect checks as data; how they are shown is decided elsewhere.
"""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

Status = t.Literal["healthy", "degraded", "failed"]
STATUSES: tuple[Status, ...] = ("healthy", "degraded", "failed")


@dataclass(frozen=True)
class Check:
    """One measurement.

    ``healthy``: as expected. ``degraded``: works, but somebody should look. ``failed``: does not do its duty.
    ``message`` is one sentence with the next step, empty when healthy.
    """

    component: str
    name: str
    status: Status
    found: str
    expected: str
    message: str = ""

    def as_dict(self) -> dict[str, str]:
        """For a module's result: the fields by name."""
        return asdict(self)

    def sentence(self) -> str:
        """``temporal, version: found 1.31.2, expected 1.32.2. What to do.``"""
        text = f"{self.component}, {self.name}: found {self.found}, expected {self.expected}."
        return f"{text} {self.message}" if self.message else text


def worst(checks: t.Iterable[Check]) -> Status:
    """The worst status of some checks; no check at all is healthy."""
    return max((check.status for check in checks), key=STATUSES.index, default="healthy")


def complaints(checks: t.Iterable[Check], *statuses: Status) -> str:
    """The sentences of the checks that have one of the statuses, joined by spaces."""
    return " ".join(check.sentence() for check in checks if check.status in statuses)
