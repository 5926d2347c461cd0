# SPDX-License-Identifier: GPL-3.0-or-later
"""The link check finds what is dead, and lets through what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "scripts" / "links"
OTHER = "# Other\n\n## What `x` does\n\n## Twice\n\n## Twice\n\n```\n# Not a heading\n```\n"


def check(folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "page.md").write_text(page)
    (folder / "other.md").write_text(OTHER)
    (folder / "file.yml").write_text("---\n")
    command = [sys.executable, str(CHECK), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "link",
    [
        "[a](../other.md)",
        "[a](../other.md#what-x-does)",
        "[a](../other.md#twice-1)",
        "[a](#here)",
        "[`a`](../file.yml)",
        "[a](..)",
        "[a](https://example.com/nothing)",
        "`[a](nothing.md)`",
        "```\n[a](nothing.md)\n```",
        '[a](../other.md "title")',
    ],
)
def test_what_leads_somewhere_passes(tmp_path: Path, link: str) -> None:
    done = check(tmp_path, f"# Here\n\n{link}\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "link",
    [
        "[a](nothing.md)",
        "[a](other.md)",
        "[a](../other.md#not-a-heading)",
        "[a](../other.md#twice-2)",
        "[a](#there)",
        "[a](../../outside.md)",
        "![a](nothing.png)",
        "[a]: nothing.md",
        "~~~\ncode\n~~~\n\n[a](nothing.md)",
    ],
)
def test_what_leads_nowhere_is_named(tmp_path: Path, link: str) -> None:
    done = check(tmp_path, f"# Here\n\n{link}\n")
    assert done.returncode == 1
    assert "docs/page.md:" in done.stderr


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no Markdown file" in done.stderr
