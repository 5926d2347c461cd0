# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput of the delivered Temporal server against the settings of the public Compose sample, on the same VM in one run.

The sample's settings are the driver ``postgres12`` and 4 history shards. Both servers use the same PostgreSQL, each with
databases of its own, and they are measured in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG = "/opt/order-processing/temporal/config"
SECRETS = "/opt/order-processing/temporal/secrets/temporal"
SAMPLE = "bench-sample"
SAMPLE_PORT = 17233
START = (
    'TEMPORAL_DB_PASSWORD="$(cat /run/secrets/temporal/database-password)"; export TEMPORAL_DB_PASSWORD;'
    " exec temporal-server --config-file /etc/temporal/config/temporal.yaml start"
)


class Host:
    """The VM, through its engine."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, script: str, timeout: float = 600) -> str:
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, "sh", "-e"],
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            sys.exit(f"{script}\nexited {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def image(self, container: str) -> str:
        return self.run(f"docker inspect -f '{{{{.Config.Image}}}}' {container}").strip()

    def await_serving(self, port: int) -> None:
        deadline = time.monotonic() + 90
        check = f"temporal operator cluster health --address 127.0.0.1:{port} --command-timeout 3s >/dev/null 2>&1 && echo yes || echo no"
        while self.run(check).strip() != "yes":
            if time.monotonic() > deadline:
                sys.exit(
                    f"the server on port {port} did not serve within 90 s: {self.run(f'docker logs --tail 20 {SAMPLE} 2>&1')}"
                )
            time.sleep(0.5)


def make_sample(host: Host) -> None:
    """Databases, schema and a stopped container with the sample's settings."""
    psql = "docker exec -i temporal-postgres psql -q -U postgres"
    tool = (
        "docker run --rm --network temporal-network -e SQL_PLUGIN=postgres12 -e SQL_HOST=temporal-postgres -e SQL_PORT=5432"
        f" -e SQL_USER=temporal -e SQL_PASSWORD -e SQL_DATABASE {host.image('temporal-admin-tools')} temporal-sql-tool"
    )
    script = f"export SQL_PASSWORD=$(cat {SECRETS}/database-password)\n"
    for database, schema in (("bench", "temporal"), ("bench_visibility", "visibility")):
        script += f"echo 'CREATE DATABASE {database} OWNER temporal' | {psql}\nexport SQL_DATABASE={database}\n"
        script += f"{tool} setup-schema -v 0.0 >/dev/null 2>&1\n"
        script += f"{tool} update-schema --schema-name postgresql/v12/{schema} >/dev/null 2>&1\n"
    host.run(script)
    host.run(f"""
        rm -rf /tmp/{SAMPLE} && cp -a {CONFIG} /tmp/{SAMPLE}
        sed -i -e 's/pluginName: .*/pluginName: postgres12/' -e 's/numHistoryShards: .*/numHistoryShards: 4/' \
          -e 's/databaseName: "temporal"/databaseName: "bench"/' \
          -e 's/databaseName: "temporal_visibility"/databaseName: "bench_visibility"/' /tmp/{SAMPLE}/temporal.yaml
        docker create --name {SAMPLE} --network temporal-network -e TEMPORAL_ALLOW_NO_AUTH=true --user 1000:1000 \
          -p 127.0.0.1:{SAMPLE_PORT}:7233 -v /tmp/{SAMPLE}:/etc/temporal/config:ro -v {SECRETS}:/run/secrets/temporal:ro \
          {host.image("temporal-server")} /bin/sh -c '{START}' >/dev/null
    """)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vm", required=True)
    parser.add_argument("--workflows", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    host = Host(arguments.vm)
    subprocess.run(["docker", "cp", str(HERE / "throughput.py"), f"{host.name}:/root/throughput.py"], check=True)
    make_sample(host)
    try:
        host.run(f"docker start {SAMPLE} >/dev/null")
        host.await_serving(SAMPLE_PORT)
        result = host.run(
            f"/opt/durable-temporal/venv/bin/python /root/throughput.py --address 127.0.0.1:7233 --address 127.0.0.1:{SAMPLE_PORT}"
            f" --create-namespace --workflows {arguments.workflows} --rounds {arguments.rounds}",
            timeout=1800,
        )
    finally:
        host.run(f"docker rm -f {SAMPLE} >/dev/null; rm -rf /tmp/{SAMPLE}")
    arguments.output.write_text(result)
    delivered, sample = json.loads(result)["servers"]
    print(
        f"throughput: {delivered['workflows_per_second']} workflows/s delivered (p99 {delivered['p99_seconds']} s),"
        f" {sample['workflows_per_second']} sample (p99 {sample['p99_seconds']} s), ratio {sample['first_is_faster_by']}"
    )


if __name__ == "__main__":
    main()
