# SPDX-License-Identifier: GPL-3.0-or-later
"""How programs are run."""

from __future__ import annotations

import multiprocessing
import subprocess
from concurrent.futures import ProcessPoolExecutor

from ansible_collections.durable.temporal.plugins.module_utils._run_as import NICENESS, give_way


def niceness_of_a_child() -> int:
    give_way()
    return int(subprocess.run(["nice"], check=True, capture_output=True, text=True).stdout)


def test_what_gives_way_starts_nothing_that_does_not() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        assert other.submit(niceness_of_a_child).result() == NICENESS
