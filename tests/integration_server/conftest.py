# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests against a real server share; host.py says how the suite is told where that server is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from ansible_collections.durable.temporal.tests.integration_server.host import Host


@pytest.fixture(scope="session")
def host() -> Host:
    return Host()


@pytest.fixture
def unique() -> str:
    """A name that nothing else has."""
    return f"test-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def namespace(host: Host, unique: str) -> Iterator[str]:
    """A namespace of its own for a test."""
    created = host.module("namespace", namespaces=[{"name": unique}])
    assert not created["failed"], created["output"]
    yield unique
    host.module("namespace", namespaces=[{"name": unique, "state": "absent"}], allow_delete=True)
