# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform is installed, deployed to, rotated, taken back, refused and interrupted, as talkative as Ansible gets; each
value that a secret ever had is then looked for in all places.

Where a value may lie is said in ``tests/system/test_canaries.py``. Beside files, this looks at what exists for moments only:
command lines and what the container engine tells are sampled while the playbooks run, here and on the host.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, command, environment
from releases import BROKEN, PACKAGE, variant
from test_canaries import ONE, PATTERNS, SEARCHED, files_with, may_hold, names_in, told
from test_deploy import QUICK
from vm import Vm

TALKATIVE = ("-vvv", "--diff")
# What the application refers to is in its inventory.
OF_UI = {"temporal_ui_environment": {"TEMPORAL_AUTH_CLIENT_SECRET": "@keyvault/ui-client-secret"}}
# Until its standard input ends: every command line there ever is, and what docker tells of every container.
SAMPLER = r"""
import json, os, select, shutil, subprocess, sys
seen = {"commands": set(), "containers": set()}
rounds = 0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                seen["commands"].add(file.read().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            pass
    rounds += 1
    # A bare host has no engine yet.
    docker = shutil.which("docker") if sys.argv[1:] == ["containers"] and rounds % 5 == 0 else None
    if docker:
        ids = subprocess.run([docker, "ps", "-aq"], capture_output=True, text=True).stdout.split()
        if ids:
            told = subprocess.run([docker, "inspect", *ids], capture_output=True, text=True).stdout
            for each in json.loads(told or "[]"):
                config = each["Config"]
                seen["containers"].add(json.dumps([each["Name"], config["Env"], config["Cmd"], config["Entrypoint"], each["Args"]]))
print(json.dumps({key: sorted(values) for key, values in seen.items()}))
"""


class Sampler:
    """Samples while the block runs; ``seen`` is what there was."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self.seen: dict[str, list[str]] = {}

    def __enter__(self) -> Sampler:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        out, _err = self._process.communicate(input="end\n", timeout=60)
        self.seen = json.loads(out)


@dataclass
class Evidence:
    """What was printed and sampled, and every value that a secret had meanwhile."""

    secrets: Path
    outputs: dict[str, str] = field(default_factory=dict)
    sampled: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, set[str]] = field(default_factory=dict)

    def look(self) -> None:
        """Remember the values of now."""
        for path in self.secrets.glob("*") if self.secrets.is_dir() else ():
            if not path.name.startswith("."):
                self.values.setdefault(path.name, set()).add(path.read_text().strip())

    @property
    def former(self) -> dict[str, str]:
        """Values that are in use no more."""
        now = {path.name: path.read_text().strip() for path in self.secrets.glob("[!.]*")}
        old = {name: sorted(values - {now.get(name)}) for name, values in self.values.items()}
        return {f"{name} {number}": value for name, values in old.items() for number, value in enumerate(values)}

    @property
    def canaries(self) -> dict[str, str]:
        now = {path.name: path.read_text().strip() for path in self.secrets.glob("[!.]*")}
        return {**now, **self.former}


class Operator:
    """Runs playbooks and keeps what they print."""

    def __init__(self, inventory: Path, evidence: Evidence) -> None:
        self.inventory, self.evidence = inventory, evidence

    def run(self, title: str, playbook: str, *arguments: str, cut: str = "", fails: bool = False, **extra: Any) -> None:
        """
        :param cut: the task at which the run is killed, as a lost terminal does; empty lets it end.
        :param fails: whether it must fail
        """
        line = command(playbook, self.inventory, {**OF_UI, **extra}, *TALKATIVE, *arguments)
        process = subprocess.Popen(
            line,
            cwd=ROOT,
            env=environment("canaries"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        lines = []
        for text in process.stdout:
            lines.append(text)
            if cut and text.startswith("TASK [") and cut in text:
                os.killpg(process.pid, signal.SIGKILL)
                break
        rest, _none = process.communicate(timeout=900)
        out = "".join(lines) + rest
        expected = process.returncode == -signal.SIGKILL if cut else (process.returncode != 0) == fails
        assert expected, f"{title}: {out[-3000:]}"
        self.evidence.outputs[title] = out
        self.evidence.look()


@pytest.fixture(scope="module")
def vm(outputs: dict[str, str]) -> Vm:
    return Vm(outputs["vm"])


def application(**fields: Any) -> dict[str, Any]:
    return {**QUICK, "local_application_overrides": fields}


@pytest.fixture(scope="module")
def evidence(
    inventory: Path, outputs: dict[str, str], run_dir: Path, vm: Vm, tmp_path_factory: pytest.TempPathFactory
) -> Evidence:
    """Everything that an operator does in a year."""
    folder = tmp_path_factory.mktemp("releases")
    found = Evidence(run_dir / "secrets")
    operator = Operator(inventory, found)
    second = str(variant(folder / "second.tar.gz", "second of the canaries"))
    broken = str(variant(folder / "broken.tar.gz", edits=BROKEN["crashes at boot"][0]))
    here = Sampler(sys.executable, "-c", SAMPLER)
    there = Sampler("docker", "exec", "-i", vm.name, "python3", "-c", SAMPLER, "containers")
    with here, there:
        operator.run("check before the installation", "site", "--check")
        operator.run("installation, cut off", "site", cut="Provide the images of the server")
        operator.run("installation", "site")
        operator.run("deployment", "deploy", **application(artifact=str(PACKAGE)))
        operator.run("check of a deployment", "deploy", "--check", **application(artifact=second))
        operator.run(
            "deployment, cut off", "deploy", cut="Run the releases as candidates", **application(artifact=second)
        )
        operator.run("second deployment", "deploy", **application(artifact=second))
        operator.run("refused deployment", "deploy", fails=True, **application(artifact=broken))
        operator.run("rollback", "rollback", **application())
        operator.run("check of a rotation", "rotate", "--check", rotate_renew="all")
        operator.run("rotation, cut off", "rotate", rotate_renew="all", cut="Write the password of the superuser")
        operator.run("rotation", "rotate", rotate_renew="all")
        password = found.secrets / "postgres-superuser-password"
        right = password.read_text()
        password.write_text("canary-of-a-wrong-password-4711\n")
        found.look()
        operator.run("wrong password", "site", "--tags", "postgres", fails=True)
        operator.run("rotation with a wrong password, check", "rotate", "--check")
        password.write_text(right)
        operator.run("new secret of the application", "deploy", **application(artifact=str(PACKAGE)))
        operator.run("status", "status")
        operator.run("nothing to do", "site")
    found.sampled = {
        "command lines here": here.seen["commands"],
        "command lines there": there.seen["commands"],
        "docker inspect": there.seen["containers"],
    }
    return found


def test_everything_was_really_seen(evidence: Evidence) -> None:
    """What is not seen cannot be found."""
    assert {name: len(values) for name, values in evidence.values.items()}["temporal-database-password"] >= 2
    assert any("temporal-server" in each for each in evidence.sampled["docker inspect"])
    assert any("temporal-sql-tool" in each for each in evidence.sampled["docker inspect"]), "the schema was made unseen"
    for where in ("command lines here", "command lines there"):
        assert any("ansible" in line for line in evidence.sampled[where]), where
    for title, text in evidence.outputs.items():
        assert re.search(r"^(ok|changed|fatal): \[", text, re.MULTILINE), f"{title}: no task had come to an end"


def test_nothing_is_printed(evidence: Evidence, run_dir: Path) -> None:
    leaks = {title: told(evidence.canaries, text) for title, text in evidence.outputs.items()}
    logs = [path for path in (run_dir / "logs").rglob("*") if path.is_file()]
    assert logs
    leaks |= {str(path): told(evidence.canaries, path.read_text(errors="replace")) for path in logs}
    assert not any(leaks.values()), {where: names for where, names in leaks.items() if names}


def test_nothing_is_sampled(evidence: Evidence) -> None:
    for where, seen in evidence.sampled.items():
        leaks = {text[:120]: told(evidence.canaries, text) for text in seen}
        assert not any(leaks.values()), (where, {text: names for text, names in leaks.items() if names})


def test_each_value_lies_where_it_may_and_nowhere_else(evidence: Evidence, vm: Vm) -> None:
    """Those of before nowhere at all, but for PM2's copy of what it ran before."""
    canaries = evidence.canaries
    vm.sh('umask 077 && cat > "$1"', PATTERNS, stdin="".join(f"{value}\n" for value in canaries.values()))
    try:
        found = {path: names_in(vm, canaries, path) for path in files_with(vm, PATTERNS, *SEARCHED)}
    finally:
        vm.run("rm", "-f", PATTERNS, ONE)
    wrong = {path: [name for name in names if not may_hold(name, path)] for path, names in found.items()}
    assert not any(wrong.values()), {path: names for path, names in wrong.items() if names}
    assert {name for names in found.values() for name in names} >= set(evidence.values)
    journal = vm.run("journalctl", "--no-pager", "--all", "--output", "export", timeout=300)
    assert told(canaries, journal) == []
    for name in vm.containers():
        assert told(canaries, vm.run("docker", "inspect", name)) == [], name
        assert told(canaries, vm.sh('docker logs "$1" 2>&1', name)) == [], name


def test_the_controller_keeps_values_with_its_secrets_only(evidence: Evidence, run_dir: Path) -> None:
    """Logs, caches of facts, temporary files of Ansible: everything else that a run leaves here."""
    places = [run_dir, Path.home() / ".ansible", ROOT / ".ansible", *Path("/tmp").glob("ansible*")]
    patterns = "".join(f"{value}\n" for value in evidence.canaries.values())
    present = [str(place) for place in places if place.exists()]
    done = subprocess.run(
        ["grep", "-r", "-l", "-a", "-F", "-D", "skip", "-f", "-", "--", *present],
        input=patterns,
        capture_output=True,
        text=True,
    )
    found = [path for path in done.stdout.splitlines() if Path(path).parent != evidence.secrets]
    assert found == []
    assert [path.name for path in evidence.secrets.glob(".*") if path.name != ".gitignore"] == []
    assert evidence.secrets.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in evidence.secrets.glob("[!.]*"))
