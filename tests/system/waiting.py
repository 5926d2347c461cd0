# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition, with a deadline and a sentence for when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T | None], within: float = 30, pause: float = 0.2) -> T:
    """Look until the answer is true, and give it.

    :param what: the sentence that a failure says, as in "the order completes"
    :param within: seconds
    :raises AssertionError: with what was seen last
    """
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}; seen last: {seen!r}")
        time.sleep(pause)
