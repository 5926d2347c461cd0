# SPDX-License-Identifier: GPL-3.0-or-later
"""A site run that is cut off finishes the job when it is run again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from play import interrupt, play

# As dpkg leaves a package that it was about to call unpacked. apt then fails, whatever it is to install.
HALF_UNPACKED = (
    "sed -i '/^Package: media-types$/,/^$/s/^Status: .*/Status: install reinstreq unpacked/' /var/lib/dpkg/status"
)
# As a groupadd leaves it that a package had called, with the number of a process that runs again.
LOCK = "printf 1 > /etc/group.lock"
# It takes effect with a restart only, and a run that ends at this task has written it and restarted nothing yet.
SETTING = "max_locks_per_transaction"
WRITTEN = "Provide the image"


def announced(inventory: Path) -> list[str]:
    """Names of the tasks that a run announces, in check mode."""
    return [task.name for task in play("site", inventory, "--check").tasks]


def host_dies(vm: str, inventory: Path, on_vm: Callable[..., str]) -> None:
    """The VM of a run ends without warning while it installs packages, and comes back."""
    under_way = '[ -n "$(ls /var/lib/dpkg/updates)" ]'
    with ThreadPoolExecutor(1) as executor:
        site = executor.submit(play, "site", inventory)
        on_vm(f"for n in $(seq 6000); do if {under_way}; then exit 0; fi; sleep 0.01; done; exit 1")
        subprocess.run(["docker", "kill", vm], check=True, capture_output=True)
        assert site.result().rc != 0
    subprocess.run(["docker", "start", vm], check=True, capture_output=True)
    on_vm("systemctl is-system-running --wait", check=False)
    on_vm(under_way)  # and is not now
    # Both need luck to come about by themselves.
    on_vm(HALF_UNPACKED)
    on_vm(LOCK)


def test_ten_interruptions_then_it_converges(
    inventory: Path, outputs: dict[str, str], on_vm: Callable[..., str]
) -> None:
    """On a bare VM, whose first run has the most to do."""
    names = announced(inventory)
    assert len(names) > 20, "the site is suspiciously small"
    host_dies(outputs["vm"], inventory, on_vm)
    cut = [interrupt("site", inventory, len(names) * tenth // 10, 0.3 + 0.7 * (tenth % 3)) for tenth in range(1, 10)]
    assert sum(begun is not None for begun in cut) >= 8, f"too few runs were really cut off: {cut}"

    finished = play("site", inventory)
    assert finished.rc == 0, finished.failure
    again = play("site", inventory)
    assert again.rc == 0, again.failure
    assert again.changed == [], "the finished site still differed"
    assert on_vm("dpkg --audit") == ""
    assert play("deploy", inventory).rc == 0
    assert play("status", inventory).rc == 0


def test_a_setting_that_waits_for_a_restart_is_not_forgotten(inventory: Path, on_vm: Callable[..., str]) -> None:
    def asked(query: str) -> str:
        return on_vm(f'docker exec -u postgres temporal-postgres psql -X -At -c "{query}"').strip()

    waiting = "select count(*) from pg_settings where pending_restart"
    value = str(int(asked(f"show {SETTING}")) + 1)
    extra = {"postgres_custom_config": {SETTING: value}}
    assert interrupt("site", inventory, 0, 0, WRITTEN, extra) is not None
    assert asked(waiting) == "1", "the setting was to be written, and nothing restarted"
    finished = play("site", inventory, extra=extra)
    assert finished.rc == 0, finished.failure
    assert asked(waiting) == "0"
    assert asked(f"show {SETTING}") == value
