# SPDX-License-Identifier: GPL-3.0-or-later
"""This collection's lookup for Azure Key Vault beside the one of azure.azcollection, at the same vault double.

    python tests/bench/keyvault.py [--secrets 20] [--tasks 5] [--latency-ms 30] [--faults] [--json FILE]

Each runs as a machine with an identity, in real runs of ansible-playbook over 3 hosts with 5 forks, of which every task
needs every secret. With ``--faults``, what each makes of a vault that is not well: how long it takes, and what it says.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "azure_vault"))

from vault_double import Double  # noqa: E402

HOSTS = "one,two,three,"
FORKS = "5"
PATIENCE_SECONDS = 90
LOOKUPS = {
    "durable.temporal.keyvault_secret": "vault=vault_url",
    "azure.azcollection.azure_keyvault_secret": "vault_url=vault_url",
}
# Fault → how it is set up at the double.
FAULTS: dict[str, dict[str, Any]] = {
    "role missing": {"kind": "ForbiddenByRbac"},
    "access policy": {"kind": "AccessDenied"},
    "firewall": {"kind": "ForbiddenByFirewall"},
    "secret disabled": {"kind": "SecretDisabled"},
    "not found": {"kind": "SecretNotFound"},
    "throttled for 10 s": {"kind": "throttle", "seconds": 10, "retry_after": "1"},
    "one reset": {"kind": "reset", "times": 1},
    "one answer 503": {"kind": "unavailable", "times": 1},
    "hangs": {"kind": "hang", "seconds": 600},
    "token out of date once": {"kind": "expired_token", "service": "metadata", "times": 1},
    "no identity": {"kind": "no_identity", "service": "metadata"},
    "certificate not trusted": {},
}


def requirements(*names: str) -> set[str]:
    """These packages and all that they need, of those that are installed."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = re.split(r"[^A-Za-z0-9._-]", queue.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        queue += [need for need in needs if "extra ==" not in need]
    return found


class Bench:
    def __init__(self, folder: Path, secrets: int, tasks: int) -> None:
        self.folder = folder
        self.names = [f"secret-{number}" for number in range(secrets)]
        self.tasks = tasks

    def play(self, lookup: str, names: list[str], tasks: int, url: str) -> list[dict[str, Any]]:
        terms = ", ".join(f"'{name}'" for name in names)
        template = f"{{{{ query('{lookup}', {terms}, {LOOKUPS[lookup]}) | length == {len(names)} }}}}"
        task = {"ansible.builtin.assert": {"that": ["all_there"]}, "vars": {"all_there": template}}
        return [
            {
                "hosts": "all",
                "gather_facts": False,
                "vars": {
                    "vault_url": url,
                    "keyvault_auth_method": "managed_identity",
                    "keyvault_timeout": 30,
                },
                "tasks": [task] * tasks,
            }
        ]

    def run(
        self, double: Double, lookup: str, names: list[str], tasks: int, ca_file: str = ""
    ) -> tuple[float, int | None, str]:
        """Seconds, exit code (``None``: it was stopped), output."""
        (self.folder / "ansible.cfg").touch()
        playbook = self.folder / "play.yml"
        playbook.write_text(json.dumps(self.play(lookup, names, tasks, double.vault_url)))
        environ: Mapping[str, str] = {
            **{
                k: v
                for k, v in os.environ.items()
                if not k.startswith(("AZURE_", "ANSIBLE_")) and "proxy" not in k.lower()
            },
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": double.proxy,
            "HTTP_PROXY": double.proxy,
            "http_proxy": double.proxy,
            "HTTPS_PROXY": double.proxy,
            "REQUESTS_CA_BUNDLE": ca_file or str(double.ca_file),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".local" / "collections"),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", HOSTS, "-c", "local", "-f", FORKS]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, str(playbook)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _none = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            output, _none = process.communicate(timeout=30)
            return time.monotonic() - began, None, output
        return time.monotonic() - began, process.returncode, output

    def count(self, lookup: str, latency: float) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=self.folder) as place, Double(Path(place)) as double:
            for name in self.names:
                double.services.put(name, "value")
            if latency:
                double.services.fail("slow", seconds=latency)
            seconds, code, output = self.run(double, lookup, self.names, self.tasks)
            if code != 0:
                sys.exit(f"{lookup} failed:\n{output}")
            summary = double.services.summary()
            return {
                "seconds": round(seconds, 2),
                "requests": summary["requests"],
                "reads": sum(summary["reads"].values()),
                "tokens": summary["tokens"],
            }

    def fault(self, lookup: str, about: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=self.folder) as place, Double(Path(place)) as double:
            double.services.put("secret-0", "value")
            if about:
                double.services.fail(**about)
            other = ""
            if not about:
                other = str(Path(place) / "other.pem")
                Path(other).write_text(Double(Path(place) / "other").authority.certificate)
            seconds, code, output = self.run(double, lookup, ["secret-0"], 1, other)
            return {"seconds": round(seconds, 1), "works": code == 0, "ended": code is not None, "says": said(output)}


def said(output: str) -> str:
    """The sentence that a person reads, without what Ansible puts around it."""
    lines = [line.strip() for line in output.splitlines()]
    start = next((n for n, line in enumerate(lines) if "[ERROR]" in line or line.startswith("fatal:")), None)
    if start is None:
        return ""
    text = lines[start]
    return re.sub(r"^(\[ERROR\]: |fatal: \[\w+\]: FAILED! => )", "", text)[:400]


def reference(bench: Bench) -> float:
    """The same play without a lookup: what Ansible itself takes."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as place, Double(Path(place)) as double:
        lookup = "ansible.builtin.items"
        LOOKUPS[lookup] = "wantlist=true"
        try:
            return round(bench.run(double, lookup, bench.names, bench.tasks)[0], 2)
        finally:
            del LOOKUPS[lookup]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secrets", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=30, help="what each answer of the vault takes")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="bench-keyvault-") as folder:
        bench = Bench(Path(folder), given.secrets, given.tasks)
        results["reference_seconds"] = reference(bench)
        results["packages"] = len(requirements("azure-identity", "azure-keyvault-secrets"))
        print(f"load {results['load']:.2f}; the same play without secrets: {results['reference_seconds']} s")
        for lookup in LOOKUPS:
            for latency in (0, given.latency_ms / 1000):
                counted = bench.count(lookup, latency)
                results.setdefault(lookup, {})[f"{latency * 1000:g} ms"] = counted
                print(f"{lookup}, vault answers after {latency * 1000:g} ms: {counted}", flush=True)
        for name, about in FAULTS.items() if given.faults else ():
            for lookup in LOOKUPS:
                result = bench.fault(lookup, about)
                results.setdefault("faults", {}).setdefault(name, {})[lookup] = result
                print(f"{name}: {lookup}: {result}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
