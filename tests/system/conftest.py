# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the system tests: where the platform is, and where its secrets and logs lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from api import Api
from vm import Vm

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
# The order in which files run: the search for secrets comes last, when everything has had its chance to leak.
ORDER = ("test_verify.py", "test_reboot.py", "test_canaries.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("system", "the platform under test; defaults are what `make up` wrote")
    group.addoption("--outputs", default=str(LOCAL / "outputs.json"), help="the file that `make up` wrote")
    group.addoption("--vm", help="name of the host's container")
    group.addoption("--api-url", help="where the API is reached from here")
    group.addoption("--ui-url", help="where the UI is reached from here")
    group.addoption("--namespace", default="order-processing", help="the application's Temporal namespace")
    group.addoption("--application", default="order-processing", help="the application's name")
    group.addoption("--application-user", default="workflow", help="the user that the application runs as")
    group.addoption("--case-store", default="/opt/order-processing/workflow/shared/cases", help="on the host")
    group.addoption("--secrets-dir", default=str(LOCAL / "secrets"), help="on the controller: one file per secret")
    group.addoption("--logs-dir", default=str(LOCAL / "logs"), help="on the controller: Ansible's logs")
    group.addoption("--artifacts-dir", default=str(LOCAL / "artifacts"), help="for screenshots")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def position(item: pytest.Item) -> int:
        return ORDER.index(item.path.name) if item.path.name in ORDER else 0

    items.sort(key=position)


def _option(request: pytest.FixtureRequest, name: str) -> str:
    """An option of the command line, or else what `make up` wrote down under the same name."""
    given = request.config.getoption(name)
    if given:
        return str(given)
    outputs = Path(request.config.getoption("outputs"))
    if not outputs.exists():
        pytest.fail(f"neither --{name.replace('_', '-')} is given nor is there {outputs}; run `make up` first")
    values: dict[str, Any] = json.loads(outputs.read_text())
    return str(values[name])


@pytest.fixture(scope="session")
def vm(request: pytest.FixtureRequest) -> Vm:
    return Vm(_option(request, "vm"))


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest) -> Api:
    return Api(_option(request, "api_url"))


@pytest.fixture(scope="session")
def ui_url(request: pytest.FixtureRequest) -> str:
    return _option(request, "ui_url").rstrip("/")


@pytest.fixture(scope="session")
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("namespace"))


@pytest.fixture(scope="session")
def application(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("application"))


@pytest.fixture(scope="session")
def application_user(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("application_user"))


@pytest.fixture(scope="session")
def case_store(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("case_store"))


@pytest.fixture(scope="session")
def secrets_dir(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("secrets_dir"))


@pytest.fixture(scope="session")
def logs_dir(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("logs_dir"))


@pytest.fixture(scope="session")
def artifacts_dir(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("artifacts_dir"))
