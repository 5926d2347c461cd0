# SPDX-License-Identifier: GPL-3.0-or-later
"""A site run that is cut off at ten evenly spread points finishes the job when it is run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from play import interrupt, play

# Between a task and what follows from its result: what was only remembered would be forgotten here.
SETTINGS = "Restart the container for settings that need it"


def announced(inventory: Path) -> list[str]:
    """Names of the tasks that a run announces, in check mode."""
    return [task.name for task in play("site", inventory, "--check").tasks]


def test_ten_interruptions_then_it_converges(inventory: Path, on_vm: Callable[..., str]) -> None:
    names = announced(inventory)
    assert len(names) > 20, "the site is suspiciously small"
    before_settings = next(index for index, name in enumerate(names) if name.endswith(SETTINGS))
    points = [(len(names) * tenth // 10, "") for tenth in range(10)]
    points = sorted([*points, (before_settings, SETTINGS)])
    cut = [
        interrupt("site", inventory, point, 0 if at_task else 0.3 + 0.7 * (number % 3), at_task)
        for number, (point, at_task) in enumerate(points)
    ]
    assert sum(begun is not None for begun in cut) >= 9, f"too few runs were really cut off: {cut}"

    finished = play("site", inventory)
    assert finished.rc == 0, finished.failure
    again = play("site", inventory)
    assert again.rc == 0, again.failure
    assert again.changed == [], "the finished site still differed"
    query = "select count(*) from pg_settings where pending_restart"
    pending = on_vm(f'docker exec -u postgres temporal-postgres psql -X -At -c "{query}"').strip()
    assert pending == "0", "settings of PostgreSQL still wait for a restart"
    assert play("deploy", inventory).rc == 0
    assert play("status", inventory).rc == 0
