# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests lost while releases come and go, on a VM of `make up`: kinds of traffic x what happens x repetitions.

    losses.py --run-dir .local --rate 100 --repeat 5 --output losses.json

For each mix of requests (GET, mixed, POST), with and without keep-alive: a good release and the way back, again and again
under a constant arrival rate; then each kind of broken release. At last the proof that the tool sees losses at all: a plain
restart of the processes, which is what a deployment must not be. Ends with 1 when anything but the restart lost a request.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for place in ("flows", "system"):
    sys.path.insert(0, str(ROOT / "tests" / place))

from load import MIXES, Load, Report  # noqa: E402
from play import Run, play  # noqa: E402
from releases import BROKEN, PACKAGE, deploy_with, variant  # noqa: E402

QUICK: dict[str, Any] = {"app_release_watch_seconds": 1, "app_release_wait_seconds": 30}
# What never answers is not waited for long: here it is known to be broken.
REFUSED: dict[str, Any] = {**QUICK, "app_release_wait_seconds": 10}
# Name to the mix of requests, and whether connections are kept.
TRAFFIC = {f"{mix}{'-keep-alive' if keep else ''}": (mix, keep) for mix in MIXES for keep in (True, False)}
SETTLE = "current=/opt/order-processing/workflow/current; basename $(readlink -f $current)"


@dataclass
class Cell:
    """What happened under one kind of traffic."""

    event: str
    mix: str
    keep_alive: bool
    reports: list[Report] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_row(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "mix": self.mix,
            "keep_alive": self.keep_alive,
            "runs": len(self.reports),
            "sent": sum(report.sent for report in self.reports),
            "lost": [report.lost for report in self.reports],
            "p99_ms": [report.p99 for report in self.reports],
            "releases": [len(report.releases) for report in self.reports],
            "problems": self.problems,
        }


class Bench:
    def __init__(self, run_dir: Path, rate: float, folder: Path) -> None:
        outputs = json.loads((run_dir / "outputs.json").read_text())
        os.environ.update(DURABLE_RUN_DIR=str(run_dir), DURABLE_VM=outputs["vm"])
        self.vm, self.api, self.inventory = outputs["vm"], outputs["api_url"], Path(outputs["inventory"])
        self.rate, self.folder, self.number = rate, folder, 0

    def on_vm(self, command: str) -> str:
        done = subprocess.run(
            ["docker", "exec", self.vm, "sh", "-c", command], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def under_load(self, cell: Cell, act: Callable[[], str], releases: list[str] | None = None) -> None:
        """One repetition; ``act`` gives what went wrong besides losses, empty when nothing did."""
        with Load(self.api, rate=self.rate, mix=cell.mix, keep_alive=cell.keep_alive, releases=releases or []) as load:
            problem = act()
        cell.reports.append(load.report)
        if problem:
            cell.problems.append(problem)
        print(f"  {cell.event}, {cell.mix}, keep-alive {cell.keep_alive}: {load.report} {problem}", flush=True)

    def artifact(self, **options: Any) -> Path:
        self.number += 1
        return variant(self.folder / f"{self.number}.tar.gz", **options)

    def deploy(self, artifact: Path, extra: dict[str, Any] = QUICK) -> Run:
        return deploy_with(self.inventory, artifact=str(artifact), extra=extra)

    def there_and_back(self) -> str:
        for run in (
            self.deploy(self.artifact(name=f"bench {self.number}")),
            play("rollback", self.inventory, extra=QUICK),
        ):
            if run.rc:
                return run.failure
        return ""

    def refused(self, kind: str) -> str:
        run = self.deploy(self.artifact(edits=BROKEN[kind][0]), REFUSED)
        return f"{kind} was not refused" if run.rc == 0 else ""

    def restart(self) -> str:
        self.on_vm("systemctl restart order-processing-pm2")
        self.on_vm(
            "for i in $(seq 60); do curl -fsS -o /dev/null http://127.0.0.1:3000/health 2>/dev/null && exit 0; sleep 0.5; done; exit 1"
        )
        return ""


def write(path: Path, rate: float, cells: Iterable[Cell]) -> None:
    """After each kind of traffic: all of them take two hours, and what was measured is not to be lost with the rest."""
    rows = [cell.as_row() for cell in cells]
    document = {"machine": platform.platform(), "cpus": os.cpu_count(), "rate": rate, "rows": rows}
    path.write_text(json.dumps(document, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", type=Path, default=ROOT / ".local")
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--repeat-broken", type=int, help="repetitions of each broken release; --repeat when unset")
    parser.add_argument(
        "--traffic",
        nargs="*",
        default=[*TRAFFIC],
        choices=[*TRAFFIC],
        help="kinds of traffic; each takes about twenty minutes",
    )
    parser.add_argument("--kinds", nargs="*", default=list(BROKEN), help="kinds of broken releases; none for none")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    # When it is told to end, the load ends with it.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(arguments.run_dir.resolve(), arguments.rate, Path(name))
        naive: list[Cell] = []
        for mix, keep_alive in map(TRAFFIC.__getitem__, arguments.traffic):
            good = Cell("deploy and rollback", mix, keep_alive)
            cells.append(good)
            for _ in range(arguments.repeat):
                bench.under_load(good, bench.there_and_back)
            live = bench.on_vm(SETTLE)
            for kind in arguments.kinds:
                broken = Cell(kind, mix, keep_alive)
                cells.append(broken)
                for _ in range(arguments.repeat_broken or arguments.repeat):
                    bench.under_load(broken, lambda kind=kind: bench.refused(kind), [live])  # type: ignore[misc]
            naive.append(Cell("plain restart", mix, keep_alive))
            bench.under_load(naive[-1], bench.restart)
            write(arguments.output, arguments.rate, [*cells, *naive])
        if (run := bench.deploy(PACKAGE)).rc:
            sys.exit(f"the packaged release could not be deployed at the end: {run.failure}")
    lost = sum(report.lost for cell in cells for report in cell.reports)
    problems = [problem for cell in cells for problem in cell.problems]
    unseen = [f"{cell.mix} {cell.keep_alive}" for cell in naive if not cell.reports[0].lost]
    print(
        f"lost {lost} of {sum(report.sent for cell in cells for report in cell.reports)}; problems: {problems or 'none'}"
    )
    print(f"a plain restart that lost nothing: {unseen or 'none'}")
    return 1 if lost or problems or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
