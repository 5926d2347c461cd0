# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of one process must not hand on to each other."""

from __future__ import annotations

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets


@pytest.fixture(autouse=True)
def each_test_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_secrets, "_looking", False)
