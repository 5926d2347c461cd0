# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the runbooks, as a tired person copies it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from play import ROOT, environment
from releases import deploy_with, variant

RUNBOOKS = ROOT / "docs" / "runbooks"
# What stands for something of the reader's.
FILLED = {"NAME": "order-processing", "…": "tried by a test"}


def commands(runbook: str) -> list[str]:
    """The commands of its fenced blocks; those that name a language are no commands."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (RUNBOOKS / f"{runbook}.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines() if line.strip()]


def options(runbook: str) -> list[str]:
    """The options of its tables, and those in its text."""
    return re.findall(r"`(-e [^`]+)`", (RUNBOOKS / f"{runbook}.md").read_text())


def known_variables() -> set[str]:
    found = set()
    for spec in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(spec.read_text())["argument_specs"].values():
            found.update(entry.get("options", {}))
    return found


@pytest.fixture
def shell(inventory: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a line where the playbooks are, with the inventory in the place of the reader's."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        for placeholder, value in {**FILLED, "-i inventory ": f"-i {inventory} "}.items():
            line = line.replace(placeholder, value)
        return subprocess.run(
            shlex.split(line), cwd=ROOT, env=environment("runbooks"), capture_output=True, text=True, timeout=300
        )

    return run


@pytest.mark.parametrize("runbook", sorted(path.stem for path in RUNBOOKS.glob("*.md")))
def test_every_option_that_a_runbook_names_exists(runbook: str) -> None:
    named = {name for option in options(runbook) for name in re.findall(r"-e '?\{?\"?([a-z_]+)", option)}
    assert named <= known_variables()


def test_every_command_of_the_runbooks_works(
    inventory: Path,
    shell: Callable[[str], subprocess.CompletedProcess[str]],
    on_vm: Callable[..., str],
    tmp_path: Path,
) -> None:
    # A release to come from: what a rollback needs.
    other = deploy_with(inventory, artifact=str(variant(tmp_path / "other.tar.gz", "of the runbooks")))
    assert other.rc == 0, other.failure
    # Back first, so that the deployment at the end leaves what was there before.
    for runbook in ("rollback", "rotate", "deploy"):
        lines = [line for line in commands(runbook) if "[…]" not in line]
        assert lines
        for line in lines:
            done = shell(line)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    with_options = " ".join(option for option in options("deploy") if "NAME" in option or "…" in option)
    # Something to deploy, so that there is an entry in the log.
    third = json.dumps({"local_application_overrides": {"artifact": str(variant(tmp_path / "third.tar.gz", "third"))}})
    done = shell(f"ansible-playbook -i inventory deploy.yml {with_options} -e '{third}'")
    assert done.returncode == 0, f"{with_options}\n{done.stdout}{done.stderr}"
    # A text with blanks arrives whole.
    log = on_vm("tail -n 30 /opt/order-processing/workflow/shared/deploys.log")
    assert '"reason": "tried by a test"' in log
    assert '"reason": "tried"' not in log
    assert deploy_with(inventory).rc == 0
