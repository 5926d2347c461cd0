# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison of what is wanted with what is present, and the one source of diff, check mode and result.

Private to this collection. A module reads the present once, builds a :class:`Plan` with :func:`compare` (or by hand),
applies it unless in check mode, and reports the same plan.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

Action = t.Literal["create", "update", "delete"]
Item = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Change:
    """One item that differs. ``before`` is ``None`` when it is absent, ``after`` is ``None`` when it is to go."""

    key: str
    before: Item | None
    after: Item | None

    @property
    def action(self) -> Action:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def fields(self) -> list[str]:
        """Names of the fields that differ, sorted."""
        before, after = self.before or {}, self.after or {}
        return sorted(k for k in {*before, *after} if before.get(k) != after.get(k))


@dataclass
class Plan:
    """The changes of one comparison, in the order in which they are to be applied. Empty means nothing to do."""

    changes: list[Change] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __iter__(self) -> t.Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def add(self, key: str, before: Item | None, after: Item | None) -> None:
        """Append a change when ``before`` and ``after`` differ."""
        if before != after:
            self.changes.append(Change(key, before, after))

    def as_diff(self) -> dict[str, dict[str, t.Any]]:
        """Ansible's ``diff`` value: only the fields that differ, keyed by item."""
        before: dict[str, t.Any] = {}
        after: dict[str, t.Any] = {}
        for change in self.changes:
            if change.before is not None:
                before[change.key] = {k: change.before.get(k) for k in change.fields}
            if change.after is not None:
                after[change.key] = {k: change.after.get(k) for k in change.fields}
        return {"before": before, "after": after}

    def summary(self) -> list[dict[str, t.Any]]:
        """One row a change for a module's result: ``{"name", "action", "fields"}``."""
        return [{"name": c.key, "action": c.action, "fields": c.fields} for c in self.changes]


def compare(wanted: t.Mapping[str, Item | None], present: t.Mapping[str, Item]) -> Plan:
    """Compare items by key.

    :param wanted: key to wanted fields; ``None`` means the item must be absent. Only the fields named here count.
    :param present: key to present fields, possibly with more fields than are wanted.
    :returns: a plan whose ``update`` changes hold the present fields, and the present fields overlaid with the wanted.
    """
    plan = Plan()
    for key, want in wanted.items():
        have = present.get(key)
        if want is None:
            plan.add(key, have, None)
        elif have is None:
            plan.add(key, None, dict(want))
        else:
            plan.add(key, dict(have), {**have, **want})
    return plan
