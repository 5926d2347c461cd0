# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report from the checks of many hosts: as data and as a table. Private to this collection."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

Check = t.Mapping[str, t.Any]

STATUSES = ("healthy", "degraded", "failed")
MARKS = {"healthy": "ok", "degraded": "DEGRADED", "failed": "FAILED"}


def checks_of(registered: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The checks in the result of a task; of one with a loop, those of all rounds."""
    return [dict(check) for one in (registered, *registered.get("results", ())) for check in one.get("checks") or ()]


def worst(statuses: t.Iterable[str]) -> str:
    """The worst of some statuses; no status at all is healthy."""
    return max(statuses, key=STATUSES.index, default="healthy")


def build(checks_by_host: t.Mapping[str, t.Sequence[Check]], now: datetime | None = None) -> dict[str, t.Any]:
    """The report as data.

    :param checks_by_host: host name to its checks.
    :returns: ``{"status", "generated_at", "counts", "hosts": {host: {"status", "checks"}}}``
    """
    every = [check for checks in checks_by_host.values() for check in checks]
    return {
        "status": worst(str(check["status"]) for check in every),
        "generated_at": (now or datetime.now(timezone.utc)).isoformat(timespec="seconds"),
        "counts": {status: sum(check["status"] == status for check in every) for status in STATUSES},
        "hosts": {
            host: {
                "status": worst(str(check["status"]) for check in checks),
                "checks": [dict(check) for check in checks],
            }
            for host, checks in checks_by_host.items()
        },
    }


def render(report: t.Mapping[str, t.Any]) -> str:
    """The report as a table for people; every line fits what it holds, the next steps come last."""
    lines: list[str] = []
    steps: list[str] = []
    for host, entry in report["hosts"].items():
        rows = [(MARKS[c["status"]], str(c["component"]), str(c["name"]), str(c["found"])) for c in entry["checks"]]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        lines.append(f"{host}: {entry['status']}")
        lines += [
            "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]).rstrip()
            for row in rows
        ]
        steps += [
            f"{host}: {c['component']} {c['name']} is {c['found']}; expected {c['expected']}. {c['message']}".rstrip()
            for c in entry["checks"]
            if c["status"] != "healthy"
        ]
        hints = {
            f"{c['component']}: {c['message']}" for c in entry["checks"] if c["status"] == "healthy" and c["message"]
        }
        lines += [f"  {hint}" for hint in sorted(hints)]
    counts = ", ".join(f"{count} {status}" for status, count in report["counts"].items() if count)
    lines.append(f"The platform is {report['status']} ({counts or 'nothing to check'}).")
    return "\n".join([*lines, *steps])
