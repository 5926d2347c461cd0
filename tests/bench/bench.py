# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and task counts of the flows on a VM of `make up`, beside a reference play measured in the same run.

Machines are noisy: compare ratios with the reference, not seconds, between machines. Writes one JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

from play import Run, environment, play  # noqa: E402
from releases import PACKAGE, deploy_with, variant  # noqa: E402

# The bars of the design, in seconds and tasks on the reference machine (2 cores).
BARS = {
    "first order": 90.0,
    "site, no change": 12.0,
    "deploy, dependencies installed": 15.0,
    "rollback": 6.0,
    "100 namespaces, no change": 2.0,
}

REFERENCE = [
    {
        "name": "Reference",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"name": f"Look {n}", "ansible.builtin.stat": {"path": "/etc/hostname"}} for n in range(20)],
    }
]

NAMESPACES = [
    {
        "name": "Namespaces",
        "hosts": "temporal",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Register a hundred namespaces",
                "durable.temporal.namespace": {
                    "namespaces": [{"name": f"bench-{n:03}", "retention": "3d"} for n in range(100)]
                },
            }
        ],
    }
]


def written_play(document: Any, inventory: Path, folder: Path, name: str) -> float:
    """Runs a play of ours; gives its seconds."""
    path = folder / f"{name}.yml"
    path.write_text(json.dumps(document))
    started = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), str(path)],
        cwd=ROOT,
        env=environment("bench"),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"the play {name} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def checked(run: Run, name: str) -> Run:
    if run.rc:
        sys.exit(f"{name} failed: {run.failure}")
    return run


def releases(inventory: Path, folder: Path, repeat: int) -> dict[str, list[Run]]:
    """Deployments of new releases whose dependencies the host has, each with its way back; the packaged one is live after."""
    runs: dict[str, list[Run]] = {"deploy, dependencies installed": [], "rollback": []}
    checked(deploy_with(inventory, artifact=str(PACKAGE)), "deploy")
    for number in range(repeat):
        artifact = variant(folder / f"bench-{number}.tar.gz", f"bench {number} {time.time()}")
        runs["deploy, dependencies installed"].append(checked(deploy_with(inventory, artifact=str(artifact)), "deploy"))
        runs["rollback"].append(checked(play("rollback", inventory), "rollback"))
    return runs


def row(name: str, seconds: list[float], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "seconds": round(statistics.median(seconds), 2),
        "min": round(min(seconds), 2),
        "max": round(max(seconds), 2),
        "each": [round(one, 2) for one in seconds],
        "bar_seconds": BARS.get(name),
        **more,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, default=ROOT / ".local")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--repeat-releases", type=int, default=6, help="of deployments and rollbacks")
    parser.add_argument("--first-order-seconds", type=float, help="measured by scripts/bench on a bare VM")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    outputs = json.loads((arguments.run_dir / "outputs.json").read_text())
    os.environ.update(DURABLE_RUN_DIR=str(arguments.run_dir), DURABLE_VM=outputs["vm"])
    inventory = Path(outputs["inventory"])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = [written_play(REFERENCE, inventory, folder, "reference") for _ in range(arguments.repeat)]
        rows.append(row("reference: 20 stat tasks", reference, tasks=20))
        if arguments.first_order_seconds:
            rows.append(row("first order", [arguments.first_order_seconds]))
        for flow in ("site", "deploy", "status"):
            runs = [checked(play(flow, inventory), flow) for _ in range(arguments.repeat)]
            rows.append(
                row(
                    f"{flow}, no change",
                    [r.seconds for r in runs],
                    tasks=runs[0].executed,
                    changed=len(runs[0].changed),
                )
            )
        measured = releases(inventory, folder, arguments.repeat_releases)
        reference += [written_play(REFERENCE, inventory, folder, "reference") for _ in range(arguments.repeat)]
        rows[0] = row("reference: 20 stat tasks", reference, tasks=20)
        for name_of, runs in measured.items():
            # Their bars are of play time: without the start of ansible-playbook, which Ansible's own timers leave out, too.
            seconds = [r.play_seconds for r in runs]
            rows.append(row(name_of, seconds, tasks=runs[0].executed, changed=len(runs[0].changed)))
        written_play(NAMESPACES, inventory, folder, "namespaces")
        # What the play costs without the module, so that the figure is the module's.
        empty = [{**NAMESPACES[0], "tasks": []}]
        base = statistics.median(written_play(empty, inventory, folder, "empty") for _ in range(arguments.repeat))
        hundred = [written_play(NAMESPACES, inventory, folder, "namespaces") for _ in range(arguments.repeat)]
        rows.append(row("100 namespaces, no change", [seconds - base for seconds in hundred], tasks=1))
    unit = statistics.median(reference)
    for each in rows:
        each["times_reference"] = round(each["seconds"] / unit, 2)
    document = {"machine": platform.platform(), "cpus": os.cpu_count(), "rows": rows}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=2) + "\n")
    for each in rows:
        bar = f"bar {each['bar_seconds']:.0f} s" if each["bar_seconds"] else ""
        print(
            f"{each['name']:<32}{each['seconds']:>8.2f} s ({each['min']:.2f} to {each['max']:.2f}) "
            f"{each.get('tasks', ''):>4} tasks  x{each['times_reference']:<6} {bar}"
        )


if __name__ == "__main__":
    main()
