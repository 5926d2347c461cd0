# SPDX-License-Identifier: GPL-3.0-or-later
"""A site run that is cut off at ten evenly spread points finishes the job when it is run again."""

from __future__ import annotations

from pathlib import Path

from play import interrupt, play


def count_tasks(inventory: Path) -> int:
    """Tasks that a run announces, counted in check mode."""
    return len({(task.name, index) for index, task in enumerate(play("site", inventory, "--check").tasks)})


def test_ten_interruptions_then_it_converges(inventory: Path) -> None:
    total = count_tasks(inventory)
    assert total > 20, "the site is suspiciously small"
    points = [total * tenth // 10 for tenth in range(10)]
    cut = [interrupt("site", inventory, point, delay=0.3 + 0.7 * (number % 3)) for number, point in enumerate(points)]
    assert sum(begun is not None for begun in cut) >= 8, f"too few runs were really cut off: {cut}"

    finished = play("site", inventory)
    assert finished.rc == 0, finished.failure
    again = play("site", inventory)
    assert again.rc == 0, again.failure
    assert again.changed == [], "the finished site still differed"
    assert play("deploy", inventory).rc == 0
    assert play("status", inventory).rc == 0
