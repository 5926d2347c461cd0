# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs this suite against the Temporal server of a VM of `make up`. Usage: on_vm.py RUN_DIR [pytest argument...]"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SQL = ("PLUGIN", "HOST", "PORT", "USER", "PASSWORD", "DATABASE", "TLS", "TLS_CA_FILE", "TLS_DISABLE_HOST_VERIFICATION")


def main() -> int:
    run_dir, *arguments = Path(sys.argv[1]), *sys.argv[2:]
    vm = json.loads((run_dir / "outputs.json").read_text())["vm"]
    inspect = ["docker", "exec", vm, "docker", "inspect", "-f", "{{.Config.Image}}", "temporal-admin-tools"]
    image = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    tool = ["docker", "run", "--rm", "--network=host", "--entrypoint=temporal-sql-tool"]
    environment = {
        **os.environ,
        "TEMPORAL_ADDRESS": "127.0.0.1:7233",
        "TEMPORAL_TEST_HOST": vm,
        "TEMPORAL_TEST_DYNAMIC_CONFIG": "/opt/order-processing/temporal/config/dynamicconfig.yaml",
        "TEMPORAL_TEST_DATABASE": json.dumps(
            {"password": (run_dir / "secrets" / "temporal-database-password").read_text().strip()}
        ),
        "TEMPORAL_TEST_PSQL": json.dumps(["docker", "exec", "-i", "temporal-postgres", "psql", "-U", "postgres"]),
        "TEMPORAL_TEST_SCHEMA": json.dumps({"tool": [*tool, *(f"--env=SQL_{name}" for name in SQL), image]}),
    }
    return subprocess.run(
        ["pytest", "-q", *arguments, str(HERE)], cwd=HERE.parents[1], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
