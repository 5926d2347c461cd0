# SPDX-License-Identifier: GPL-3.0-or-later
"""How programs are run."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from concurrent.futures import ProcessPoolExecutor

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._run_as import NICENESS, give_way

LEAST_IMPORTANT = 19


def niceness_of_a_child(before: int) -> int:
    os.setpriority(os.PRIO_PROCESS, 0, before)
    give_way()
    return int(subprocess.run(["nice"], check=True, capture_output=True, text=True).stdout)


# The tests themselves may run with any niceness, and an account other than root cannot go below it.
@pytest.mark.parametrize("more", [0, 3, LEAST_IMPORTANT])
def test_what_gives_way_starts_nothing_that_does_not(more: int) -> None:
    before = min(os.getpriority(os.PRIO_PROCESS, 0) + more, LEAST_IMPORTANT)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        assert other.submit(niceness_of_a_child, before).result() == max(NICENESS, before)
