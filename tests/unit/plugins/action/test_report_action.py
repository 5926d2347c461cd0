# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of the health of a platform, as people see it and as a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COLLECTIONS = Path(__file__).resolve().parents[4] / ".local" / "collections"


def check(name: str, status: str) -> dict[str, str]:
    return {
        "component": "database",
        "name": name,
        "status": status,
        "found": "missing",
        "expected": f"a {name} of the database",
        "message": f"Bring the {name}.",
    }


def report(place: Path, status: str) -> tuple[int, str, dict[str, object]]:
    """Exit code, output, and the file."""
    tasks = [
        {"ansible.builtin.set_fact": {"__found": {"checks": [check("user", "healthy")]}}},
        {
            "durable.temporal.report": {
                "registered": ["__found"],
                "checks": {"localhost": [check("password", status)]},
                "path": "status.json",
            }
        },
    ]
    (place / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=place,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, json.loads((place / "status.json").read_text())


@pytest.mark.parametrize("status", ["failed", "degraded"])
def test_a_report_is_shown_once(tmp_path: Path, status: str) -> None:
    code, output, written = report(tmp_path, status)
    assert (code != 0) == (status == "failed")
    assert output.count("a password of the database") == 1, output
    assert output.count("Bring the user.") == 1, output
    assert "localhost: database password is missing; expected a password of the database. Bring the password." in output
    assert written["status"] == status


def test_checks_of_the_playbook_count_like_those_of_the_hosts(tmp_path: Path) -> None:
    _code, output, written = report(tmp_path, "failed")
    assert written["counts"] == {"healthy": 1, "degraded": 0, "failed": 1}
    assert "1 checks failed; the table above says which and what to do." in output
