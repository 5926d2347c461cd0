# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the runbooks and the guide, as a tired person copies it: over SSH, by an ordinary account with sudo."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from over_ssh import OPERATOR, over_ssh
from play import ROOT, environment
from releases import deploy_with, variant
from test_several_hosts import address

RUNBOOKS = ROOT / "docs" / "runbooks"
GUIDE = ROOT / "docs" / "README.md"
DAILY = "## Daily commands, on the VM"
PLATFORM = "order-processing"
# What stands for something of the reader's.
FILLED = {
    "NAMESPACE": PLATFORM,
    "NAME": PLATFORM,
    "PLATFORM": PLATFORM,
    "PROCESS": "workflow-api",
    "ROOT": f"/opt/{PLATFORM}/workflow",
    "QUEUE": "order-processing-queue",
    "…": "tried by a test",
}


def fenced(text: str) -> list[str]:
    """The commands of fenced blocks; those that name a language are no commands."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines() if line.strip()]


def commands(runbook: str) -> list[str]:
    return fenced((RUNBOOKS / f"{runbook}.md").read_text())


def filled(line: str) -> str:
    for placeholder, value in FILLED.items():
        line = line.replace(placeholder, value)
    return line


def options(runbook: str) -> list[str]:
    """The options of its tables, and those in its text."""
    return re.findall(r"`(-e [^`]+)`", (RUNBOOKS / f"{runbook}.md").read_text())


Shell = Callable[[str], subprocess.CompletedProcess[str]]


def known_variables() -> set[str]:
    found = set()
    for spec in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(spec.read_text())["argument_specs"].values():
            found.update(entry.get("options", {}))
    return found


@pytest.fixture(scope="module")
def as_operator(outputs: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory that reaches the VM over SSH, beside the key for it."""
    return over_ssh(outputs["vm"], Path(outputs["inventory"]), tmp_path_factory.mktemp("runbooks"))


@pytest.fixture
def shell(as_operator: Path) -> Shell:
    """Runs a line where the playbooks are, with the inventory in the place of the reader's."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        line = re.sub(r"-i (inventory|INVENTORY) ", f"-i {as_operator} ", filled(line))
        return subprocess.run(
            shlex.split(line), cwd=ROOT, env=environment("runbooks"), capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture
def on_the_vm(outputs: Mapping[str, str], as_operator: Path) -> Shell:
    """Runs a line on the VM, in the shell that is no login shell which ssh gives to a command."""
    folder = as_operator.parent
    options = ["-i", str(folder / "key"), "-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "BatchMode=yes"]
    command = ["ssh", *options, f"{OPERATOR}@{address(outputs['vm'])}"]

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, line], capture_output=True, text=True, timeout=120)

    return run


@pytest.mark.parametrize("runbook", sorted(path.stem for path in RUNBOOKS.glob("*.md")))
def test_every_option_that_a_runbook_names_exists(runbook: str) -> None:
    named = {name for option in options(runbook) for name in re.findall(r"-e '?\{?\"?([a-z_]+)", option)}
    assert named <= known_variables()


def test_every_command_of_the_runbooks_works(
    inventory: Path,
    shell: Shell,
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
    # Of removing, what does not remove.
    (count,) = [line for line in commands("remove") if "remove.yml" not in line]
    assert "Total:" in shell(count).stdout
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


def told(output: str) -> tuple[str, str]:
    """What a run says at its end: the sentence about the application, and the command that goes back."""
    sentence = re.search(r"order-processing: release \S+ is live.*", output)
    back = re.search(r"To go back: (ansible-playbook .*)", output)
    assert sentence, output
    assert back, output
    return sentence[0].strip(), back[1].strip()


def test_a_deployment_and_a_rollback_say_how_to_go_back(
    shell: Shell, on_vm: Callable[..., str], tmp_path: Path
) -> None:
    def live() -> str:
        return on_vm("readlink /opt/order-processing/workflow/current").strip().removeprefix("releases/")

    first = live()
    build = json.dumps({"local_application_overrides": {"artifact": str(variant(tmp_path / "told.tar.gz", "told"))}})
    done = shell(f"ansible-playbook -i inventory deploy.yml -e '{build}'")
    second = live()
    assert second != first
    sentence, back = told(done.stdout)
    assert sentence == f"order-processing: release {second} is live; before it {first} was"
    done = shell(back)
    assert live() == first, done.stdout + done.stderr
    sentence, forward = told(done.stdout)
    assert sentence == f"order-processing: release {first} is live; before it {second} was"
    assert shell(forward).returncode == 0
    assert live() == second
    # What does nothing says the same, also when it only looks.
    done = shell(f"ansible-playbook -i inventory deploy.yml --check -e '{build}'")
    assert told(done.stdout)[0] == f"order-processing: release {second} is live, as before"
    assert shell(back).returncode == 0


def test_the_daily_commands_of_the_guide_work_for_an_administrator(on_the_vm: Shell, on_vm: Callable[..., str]) -> None:
    section = GUIDE.read_text().split(f"{DAILY}\n", 1)[1].split("\n## ", 1)[0]
    workflow = "runbooks-daily"
    start = (
        f"temporal workflow start --type nothing --task-queue nobody --workflow-id {workflow} --namespace {PLATFORM}"
    )
    on_vm(start)
    try:
        lines = fenced(section)
        assert len(lines) > 20
        for line in lines:
            done = on_the_vm(filled(line).replace("--workflow-id ID", f"--workflow-id {workflow}"))
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert done.stdout or "nginx" in line or "nc " in line, line
    finally:
        on_vm(f"temporal workflow terminate --workflow-id {workflow} --namespace {PLATFORM}", check=False)


def test_temporal_knows_where_the_server_is_without_any_environment(on_the_vm: Shell) -> None:
    for line in (
        "env -i /usr/local/bin/temporal workflow count",
        "sudo temporal workflow count",
        "temporal workflow count",
    ):
        done = on_the_vm(line)
        assert "Total:" in done.stdout, f"{line}\n{done.stdout}{done.stderr}"
    elsewhere = on_the_vm("TEMPORAL_ADDRESS=127.0.0.1:1 temporal workflow count")
    assert elsewhere.returncode != 0
    assert "127.0.0.1:1" in elsewhere.stderr
    own = "export XDG_CONFIG_HOME=$(mktemp -d) && temporal config set --prop address --value 127.0.0.1:2 && "
    mine = on_the_vm(f"{own} temporal workflow count")
    assert "127.0.0.1:2" in mine.stderr, mine.stdout + mine.stderr
