# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporal's UI in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BROWSER = Path(__file__).resolve().parent / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@dataclass(frozen=True)
class Seen:
    """What the browser showed; ``failure`` is empty when the id and the status were visible."""

    url: str
    title: str
    failure: str
    errors: list[str]  # uncaught errors of the page's own scripts
    foreign: list[str]  # origins other than the UI's that the page asked for something


def see_workflow(ui_url: str, namespace: str, workflow_id: str, status: str, screenshot: Path) -> Seen:
    """Find a workflow in the list, open its page, and look for its id and status ("Completed", "Running", …)."""
    executable = next((found for found in map(shutil.which, NAMES) if found), None)
    if not executable or not shutil.which("node"):
        raise AssertionError("this test needs a browser and Node.js; on Debian: apt-get install chromium nodejs npm")
    if not (BROWSER / "node_modules").exists():
        subprocess.run(
            ["npm", "ci", "--ignore-scripts"], cwd=BROWSER, check=True, capture_output=True, text=True, timeout=300
        )
    screenshot.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["node", "workflow-page.mjs", executable, ui_url, namespace, workflow_id, status, str(screenshot.resolve())],
        cwd=BROWSER,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.strip(), f"the browser said nothing: {done.stderr}"
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    return Seen(seen["url"], seen["title"], seen["failure"] or "", seen["errors"], seen["foreign"])
