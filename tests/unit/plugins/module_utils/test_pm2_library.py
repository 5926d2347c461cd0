# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that starts with PM2's library: what it is told, and what it says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _run_as
from ansible_collections.durable.temporal.plugins.module_utils._pm2_library import Library, Pm2Error
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

# Stands for Node.js with PM2's library: does what the first entry says.
NODE = """#!{python}
import json, os, sys
print("a library that talks", flush=True)
for line in sys.stdin:
    told = json.loads(line)
    with open(os.environ["PM2_HOME"] + "/told", "a") as file:
        file.write(line)
    what = told["file"]["apps"][0]
    if what == "gives up":
        print("\\x1b[31mERROR\\x1b[0m out of memory", flush=True)
        sys.exit(3)
    if what != "hangs":
        print(json.dumps({{"started": told["number"], "error": "no such script" if what == "fails" else ""}}), flush=True)
"""
ACCOUNT = Account("workflow", os.getuid(), os.getgid(), ())


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Library]:
    node = tmp_path / "node"
    node.write_text(NODE.format(python=sys.executable))
    node.chmod(0o755)
    monkeypatch.setattr(_run_as, "PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CANARY", "canary-value")
    return lambda: Library(ACCOUNT, "/opt/pm2/bin/pm2", {"PM2_HOME": str(tmp_path)})


def test_one_program_starts_one_part_after_the_other(begin: Callable[[], Library], tmp_path: Path) -> None:
    library = begin()
    library.start({"apps": ["worker"]}, 10)
    with pytest.raises(Pm2Error, match="pm2 start failed: no such script"):
        library.start({"apps": ["fails"]}, 10)
    library.start({"apps": ["api"]}, 10)
    library.close()
    assert [line.partition("apps")[2] for line in (tmp_path / "told").read_text().splitlines()] == [
        '": ["worker"]}}',
        '": ["fails"]}}',
        '": ["api"]}}',
    ]


def test_a_program_that_gives_up_says_why(begin: Callable[[], Library]) -> None:
    library = begin()
    with pytest.raises(Pm2Error, match=r"pm2 start failed: a library that talks \| ERROR out of memory"):
        library.start({"apps": ["gives up"]}, 10)
    library.close()


def test_a_start_that_hangs_is_told_and_the_program_ended(begin: Callable[[], Library]) -> None:
    library = begin()
    with pytest.raises(Pm2Error, match="pm2 start did not end within 0 s"):
        library.start({"apps": ["hangs"]}, 0.2)
    library.close()
    assert library._process.returncode is not None
