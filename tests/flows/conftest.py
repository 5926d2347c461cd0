# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the flows: which VM and inventory, and what it looks like from outside."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-dir", default=str(ROOT / ".local"), help="where `make up` wrote outputs.json")


@pytest.fixture(scope="session")
def run_dir(request: pytest.FixtureRequest) -> Path:
    path = Path(request.config.getoption("--run-dir"))
    os.environ["DURABLE_RUN_DIR"] = str(path)
    return path


@pytest.fixture(scope="session")
def outputs(run_dir: Path) -> dict[str, str]:
    values: dict[str, str] = json.loads((run_dir / "outputs.json").read_text())
    os.environ["DURABLE_VM"] = values["vm"]
    return values


@pytest.fixture(scope="session")
def inventory(outputs: dict[str, str]) -> Path:
    return Path(outputs["inventory"])


@pytest.fixture(scope="session")
def on_vm(outputs: dict[str, str]) -> Callable[..., str]:
    """Runs a shell command on the VM and gives what it printed; a failing command fails the test."""

    def run(command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "exec", outputs["vm"], "sh", "-c", command], capture_output=True, text=True, timeout=120
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command!r} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    return run
