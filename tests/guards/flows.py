#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that each bad day is met by a guard: takes it away in a copy of the checkout and has the real flow fail.

    python tests/guards/flows.py            all of them on the VM of `make up`, and a table at the end
    python tests/guards/flows.py disk lock  those whose line contains all of these words
    python tests/guards/flows.py --list     what would be done

Each flow is seen to pass with its guards first. All of them take an hour or two, so this is no part of `make test`; what
is part of it, in ``tests/unit/test_flow_guards.py``, is that each guard is still where the list says. After each flow the
untouched checkout repairs the VM, which is also seen: a proof whose VM cannot be repaired counts as failed. The variables
that `make` knows (``DURABLE_VM``, ``DURABLE_RUN_DIR`` and so on) choose another VM. The checkout is never written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from flow_catalogue import FLOW_GUARDS, Edit, FlowGuard

ROOT = Path(__file__).resolve().parents[2]
# Made by `make up`, not by git, and needed by the playbooks.
MADE = (".local/artifact-source", "examples/order_processing/order-processing.tar.gz")
PATIENCE_SECONDS = 900
FRESH_VM = "test_ten_interruptions_then_it_converges"


class NotFound(Exception):
    """The text that a guard names is not there (any more), or is there more than once."""


def without(text: str, edit: Edit) -> str:
    """The text of a file without that part of a guard.

    :raises NotFound: it is not there exactly once.
    """
    if (times := text.count(edit.find)) != 1:
        raise NotFound(f"{edit.file} has {times} times {edit.find!r}; expected 1")
    return text.replace(edit.find, edit.instead)


def make_copy(target: Path) -> Path:
    """A copy of the checkout that runs by itself: its playbooks find its own collection."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in [*filter(None, listed.split("\0")), *MADE]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".local" / "venv").symlink_to((ROOT / ".local" / "venv").resolve())
    home = target / ".local" / "collections" / "ansible_collections" / "durable"
    home.mkdir(parents=True)
    (home / "temporal").symlink_to(target)
    return target


@dataclass(frozen=True)
class Proof:
    """How a flow ended without its guard."""

    guard: FlowGuard
    proved: bool
    said: str
    seconds: float


def run(command: list[str], where: Path, log: Path) -> int:
    """Run a command in a checkout; what it prints is added to the log."""
    environment = {**os.environ, "PATH": f"{ROOT}/.local/venv/bin:{os.environ['PATH']}"}
    environment["ANSIBLE_CONFIG"] = str(where / "ansible.cfg")
    with log.open("a") as file:
        try:
            return subprocess.run(
                command, cwd=where, env=environment, stdout=file, stderr=file, timeout=PATIENCE_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            file.write(f"\nno end within {PATIENCE_SECONDS} s\n")
            return -1


def playbook(name: str, where: Path, log: Path) -> int:
    return run(["ansible-playbook", "-i", "inventories/local", f"playbooks/{name}.yml"], where, log)


def fresh_vm(log: Path) -> bool:
    """Replace the VM by a bare one with the same ports."""
    ports = [f"-p127.0.0.1:{os.environ.get('DURABLE_API_PORT', '8000')}:80"]
    ports.append(f"-p127.0.0.1:{os.environ.get('DURABLE_UI_PORT', '8088')}:8088")
    vm = os.environ.get("DURABLE_VM", "durable-vm")
    return run(["scripts/vm", "new", vm, "debian13", *ports], ROOT, log) == 0


def reason(output: str) -> str:
    """The first assertion that failed, as pytest tells it."""
    found = re.findall(r"^E +(\S.*)$", output, re.MULTILINE)
    return found[0][:160] if found else output.strip().splitlines()[-1][:160]


def prove(guard: FlowGuard, run_dir: Path, logs: Path) -> Proof:
    started = time.monotonic()
    log = logs / f"{re.sub(r'[^a-z0-9]+', '-', guard.title.lower())}.log"
    log.unlink(missing_ok=True)

    def proof(proved: bool, said: str) -> Proof:
        return Proof(guard, proved, said, time.monotonic() - started)

    with tempfile.TemporaryDirectory(prefix="flow-guard-") as directory:
        copy = make_copy(Path(directory).resolve() / "checkout")
        try:
            for edit in guard.edits:
                path = copy / edit.file
                path.write_text(without(path.read_text(), edit))
        except NotFound as error:
            return proof(False, f"not found: {error}. Correct its entry in tests/guards/flow_catalogue.py")
        if guard.test == FRESH_VM and not fresh_vm(log):
            return proof(False, "no fresh VM could be had")
        for name in guard.prepare:
            if playbook(name, copy, log) != 0:
                return proof(False, f"{name}.yml without the guard failed before the flow began: {log}")
        code, output = flow(guard, copy, run_dir, log)
    # What a flow needs first, such as a site, may be what fails; an error of another kind proves nothing.
    failed = re.search(r"^FAILED ", output, re.MULTILINE) is not None
    red = code == 1 and (failed or reason(output).startswith("AssertionError"))
    repaired = all(playbook(name, ROOT, log) == 0 for name in guard.repair)
    if not repaired:
        return proof(False, f"the VM could not be repaired afterwards: {log}")
    if red:
        return proof(True, reason(output))
    return proof(False, "unproven: the flow passes without it" if code == 0 else f"could not be run ({code}): {log}")


def flow(guard: FlowGuard, checkout: Path, run_dir: Path, log: Path) -> tuple[int, str]:
    """Run the flow of a guard in a checkout: how pytest ended, and what it said."""
    begin = log.stat().st_size if log.exists() else 0
    node = f"tests/flows/{guard.file}::{guard.test}"
    code = run(["pytest", "-q", "-x", "--tb=short", "-rfE", node, f"--run-dir={run_dir}"], checkout, log)
    return code, log.read_text(errors="replace")[begin:]


def passes(guard: FlowGuard, run_dir: Path, logs: Path) -> bool:
    """Whether the flow passes with all guards: otherwise that it fails without one would prove nothing."""
    log = logs / f"{re.sub(r'[^a-z0-9]+', '-', guard.test)}-with-its-guards.log"
    log.unlink(missing_ok=True)
    if guard.test == FRESH_VM and not fresh_vm(log):
        return False
    return flow(guard, ROOT, run_dir, log)[0] == 0


def table(proofs: list[Proof]) -> str:
    rows = [
        f"| {p.guard.test} | {p.guard.name} | {'red' if p.proved else '**not proved**'} | "
        f"{p.said.replace('|', chr(92) + '|')} | {p.seconds:.0f} s |"
        for p in proofs
    ]
    head = [
        "| flow | guard that was taken away | outcome | what failed first | time |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows])


def main(words: list[str]) -> int:
    listing = "--list" in words
    chosen = [g for g in FLOW_GUARDS if all(word in g.title for word in words if not word.startswith("--"))]
    if not chosen:
        print(f"No guard has all of these words: {' '.join(words)}.", file=sys.stderr)
        return 2
    if listing:
        print("\n".join(g.title for g in chosen))
        return 0
    run_dir = Path(os.environ.get("DURABLE_RUN_DIR", ROOT / ".local")).resolve()
    os.environ["DURABLE_RUN_DIR"] = str(run_dir)
    if not (run_dir / "outputs.json").exists():
        print(f"There is no {run_dir}/outputs.json; run `make up` first.", file=sys.stderr)
        return 1
    logs = run_dir / "logs" / "flow-guards"
    logs.mkdir(parents=True, exist_ok=True)
    proofs: list[Proof] = []
    green: dict[str, bool] = {}
    for guard in chosen:
        if guard.test not in green:
            green[guard.test] = passes(guard, run_dir, logs)
        if green[guard.test]:
            proofs.append(prove(guard, run_dir, logs))
        else:
            proofs.append(Proof(guard, False, "the flow fails with all guards in place: repair it first", 0))
        last = proofs[-1]
        print(f"{'ok    ' if last.proved else 'FAILED'}  {guard.title}: {last.said} ({last.seconds:.0f} s)", flush=True)
    print(f"\n{table(proofs)}\n")
    passed = sum(p.proved for p in proofs)
    print(f"{passed} passed, {len(proofs) - passed} failed")
    return 0 if proofs and passed == len(proofs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
