# SPDX-License-Identifier: GPL-3.0-or-later
"""A site run that is cut off finishes the job when it is run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from play import interrupt, play

# It takes effect with a restart only, and a run that ends at this task has written it and restarted nothing yet.
SETTING = {"postgres_custom_config": {"max_locks_per_transaction": 100}}
WRITTEN = "Provide the image"


def announced(inventory: Path) -> list[str]:
    """Names of the tasks that a run announces, in check mode."""
    return [task.name for task in play("site", inventory, "--check").tasks]


def test_ten_interruptions_then_it_converges(inventory: Path, on_vm: Callable[..., str]) -> None:
    names = announced(inventory)
    assert len(names) > 20, "the site is suspiciously small"
    cut = [interrupt("site", inventory, len(names) * tenth // 10, 0.3 + 0.7 * (tenth % 3)) for tenth in range(10)]
    assert sum(begun is not None for begun in cut) >= 9, f"too few runs were really cut off: {cut}"

    finished = play("site", inventory)
    assert finished.rc == 0, finished.failure
    again = play("site", inventory)
    assert again.rc == 0, again.failure
    assert again.changed == [], "the finished site still differed"
    assert play("deploy", inventory).rc == 0
    assert play("status", inventory).rc == 0


def test_a_setting_that_waits_for_a_restart_is_not_forgotten(inventory: Path, on_vm: Callable[..., str]) -> None:
    def asked(query: str) -> str:
        return on_vm(f'docker exec -u postgres temporal-postgres psql -X -At -c "{query}"').strip()

    waiting = "select count(*) from pg_settings where pending_restart"
    assert interrupt("site", inventory, 0, 0, WRITTEN, SETTING) is not None
    assert asked(waiting) == "1", "the setting was to be written, and nothing restarted"
    finished = play("site", inventory, extra=SETTING)
    assert finished.rc == 0, finished.failure
    assert asked(waiting) == "0"
    assert asked("show max_locks_per_transaction") == "100"
