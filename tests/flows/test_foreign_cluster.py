# SPDX-License-Identifier: GPL-3.0-or-later
"""An application host whose Temporal is somebody else's: it has no server role, and logs in with a certificate or a key.

The other cluster is the one of the VM of `make up`, behind a proxy of the test's own, which lets nobody in without the
client certificate (one port) or the API key (another), as Temporal Cloud does.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from play import ROOT, Run, play
from test_bad_days import Orders, eventually
from test_several_hosts import address, on

OnVm = Callable[..., str]
VM = "durable-foreign"
PORT = 8016
QUEUE = "orders-from-elsewhere"
NAME = "cluster.example.com"
CERTIFICATE_PORT, KEY_PORT = 7443, 7444
API_KEY = "key-of-the-other-cluster"
FOLDER = "/tmp/foreign"
PROXY = f"""
pid {FOLDER}/nginx.pid;
error_log {FOLDER}/error.log;
events {{}}
http {{
  access_log off;
  ssl_certificate {FOLDER}/server.pem;
  ssl_certificate_key {FOLDER}/server.key;
  grpc_read_timeout 600s;
  server {{
    listen {CERTIFICATE_PORT} ssl;
    http2 on;
    ssl_client_certificate {FOLDER}/ca.pem;
    ssl_verify_client on;
    location / {{ grpc_pass grpc://127.0.0.1:7233; }}
  }}
  server {{
    listen {KEY_PORT} ssl;
    http2 on;
    location / {{
      if ($http_authorization != "Bearer {API_KEY}") {{ return 418; }}
      error_page 418 = @refused;
      grpc_pass grpc://127.0.0.1:7233;
    }}
    location @refused {{
      default_type application/grpc;
      add_header grpc-status 16; # unauthenticated
      return 200;
    }}
  }}
}}
"""
# An authority, the proxy's certificate, and one for the client.
CERTIFICATES = f"""
set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
for each in server client; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=$each -addext subjectAltName=DNS:{NAME} -keyout $each.key -out $each.csr
  openssl x509 -req -days 2 -in $each.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -out $each.pem
done
"""


@dataclass(frozen=True)
class Host:
    """The application host, and how it gets to the other cluster."""

    folder: Path
    cluster: str
    orders: Orders

    def inventory(self, port: int, connection: Mapping[str, str], environment: Mapping[str, str]) -> Path:
        variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": VM,
            "topology_temporal_address": f"{self.cluster}:{port}",
            "topology_temporal_connection": {
                "tls_ca_data": "{{ lookup('durable.temporal.secret', 'cluster-ca') }}",
                "tls_server_name": NAME,
                **connection,
            },
            "local_application_overrides": {
                "task_queues": [QUEUE],
                "environment": {
                    "TEMPORAL_ADDRESS": "{{ topology_temporal_address }}",
                    "TEMPORAL_TASK_QUEUE": QUEUE,
                    "CASE_STORE_DIR": "/opt/order-processing/workflow/shared/cases",
                    "TEMPORAL_TLS_SERVER_CA_CERT_DATA": "{{ lookup('durable.temporal.secret', 'cluster-ca') }}",
                    "TEMPORAL_TLS_SERVER_NAME": NAME,
                    "ENABLE_TEMPORAL": True,
                    **environment,
                },
            },
        }
        hosts = {"hosts": {"worker": {}}}
        place = self.folder / f"inventory-{port}"
        place.mkdir(exist_ok=True)
        (place / "hosts.yml").write_text(
            json.dumps({"all": {"hosts": {"worker": variables}, "children": {"app": hosts, "edge": hosts}}})
        )
        groups = place / "group_vars"
        if not groups.is_symlink():
            groups.symlink_to(ROOT / "inventories" / "local" / "group_vars")
        return place

    def secret(self, name: str, value: str) -> None:
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value)
        path.chmod(0o600)

    def works(self) -> bool:
        case = f"elsewhere-{time.time_ns()}"
        self.orders.start(case)
        eventually(f"order {case} completes", lambda: self.orders.completed(case))
        return True


WITH_CERTIFICATE: tuple[int, dict[str, str], dict[str, str]] = (
    CERTIFICATE_PORT,
    {
        "tls_cert_data": "{{ lookup('durable.temporal.secret', 'client-certificate') }}",
        "tls_key_data": "{{ lookup('durable.temporal.secret', 'client-key') }}",
    },
    {
        "TEMPORAL_TLS_CLIENT_CERT_DATA": "{{ lookup('durable.temporal.secret', 'client-certificate') }}",
        "TEMPORAL_TLS_CLIENT_KEY_DATA": "{{ lookup('durable.temporal.secret', 'client-key') }}",
    },
)
WITH_KEY: tuple[int, dict[str, str], dict[str, str]] = (
    KEY_PORT,
    {"api_key": "{{ lookup('durable.temporal.secret', 'api-key') }}"},
    {"TEMPORAL_API_KEY": "{{ lookup('durable.temporal.secret', 'api-key') }}"},
)


@pytest.fixture(scope="module")
def cluster(on_vm: OnVm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Certificates, and the proxy in front of the other cluster."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(["sh", "-c", CERTIFICATES], cwd=folder, check=True, capture_output=True)
    on_vm(f"rm -rf {FOLDER}; mkdir {FOLDER}")
    for name in ("ca.pem", "server.pem", "server.key"):
        on_vm(f"printf %s {shlex.quote((folder / name).read_text())} > {FOLDER}/{name}")
    on_vm(f"printf %s {shlex.quote(PROXY)} > {FOLDER}/nginx.conf; nginx -c {FOLDER}/nginx.conf")
    try:
        yield folder
    finally:
        on_vm(f"nginx -c {FOLDER}/nginx.conf -s stop")


@pytest.fixture(scope="module")
def host(cluster: Path, outputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("foreign")
    scripts = ROOT / "scripts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DURABLE_RUN_DIR", str(folder))
        patch.setenv("DURABLE_CHECKOUT", str(ROOT))
        made = Host(folder, address(outputs["vm"]), Orders(f"http://127.0.0.1:{PORT}"))
        for name, file in {"cluster-ca": "ca", "client-certificate": "client"}.items():
            made.secret(name, (cluster / f"{file}.pem").read_text())
        made.secret("client-key", (cluster / "client.key").read_text())
        made.secret("api-key", API_KEY)
        try:
            subprocess.run([scripts / "vm", "new", VM, "debian13", "-p", f"127.0.0.1:{PORT}:80"], check=True)
            yield made
        finally:
            subprocess.run([scripts / "vm", "down", VM], check=True)


def done(playbook: str, inventory: Path) -> Run:
    run = play(playbook, inventory)
    assert run.rc == 0, run.failure
    return run


def pollers(on_vm: OnVm) -> str:
    return on_vm(f"temporal task-queue describe --namespace order-processing --task-queue {QUEUE} --output json")


def test_a_host_without_a_server_runs_workflows_in_another_cluster(host: Host, on_vm: OnVm) -> None:
    inventory = host.inventory(*WITH_CERTIFICATE)
    done("site", inventory)
    done("deploy", inventory)
    assert host.works()
    assert f"@{VM}#" in pollers(on_vm)
    listening = on(VM, "ss -Hltn")
    assert not [port for port in (5432, 7233, 8080) if f":{port} " in listening], listening
    assert on(VM, "for each in docker postgres temporal-server; do command -v $each; done", check=False) == ""
    assert "ENABLE_TEMPORAL=true" in on(
        VM, "tr '\\0' '\\n' < /proc/$(pgrep -u workflow -f dist/worker.js | head -1)/environ"
    )
    assert done("site", inventory).changed == []
    assert done("deploy", inventory).changed == []
    assert done("status", inventory).changed == []


def test_the_temporal_command_logs_in_for_root_only(host: Host) -> None:
    assert host.works()
    assert "Total:" in on(VM, "env -i /usr/local/bin/temporal workflow count --namespace order-processing")
    said = on(VM, "su -s /bin/sh nobody -c 'temporal workflow count 2>&1'", check=False)
    assert "put sudo before the command" in said
    assert on(VM, "su -s /bin/sh nobody -c 'temporal --version'").startswith("temporal version")


def test_the_key_lies_nowhere_but_with_the_processes(host: Host, cluster: Path) -> None:
    line = (cluster / "client.key").read_text().splitlines()[1]
    found = on(
        VM, f"grep -rlF {shlex.quote(line)} /etc /opt /var /run /tmp /home /root 2>/dev/null", check=False
    ).split()
    expected = [
        "/etc/durable-temporal/order-processing/ecosystem.config.json",
        "/etc/durable-temporal/temporal.toml",
        "/var/lib/durable-temporal/home/order-processing/.pm2/dump.pm2",
    ]
    assert sorted(path for path in found if not path.endswith(".bak")) == expected
    modes = on(VM, f"stat -c '%a %U' {' '.join(found)}").split("\n")
    assert {mode for mode in modes if mode} == {"600 workflow", "600 root"}


def test_a_key_that_is_refused_stops_the_deployment_and_what_runs_goes_on(host: Host) -> None:
    host.secret("api-key", "key-of-nobody")
    run = play("deploy", host.inventory(*WITH_KEY))
    assert run.rc != 0
    assert "does not accept our credentials" in run.failure
    assert "key-of-nobody" not in run.failure
    assert host.works()


def test_the_way_to_log_in_changes_with_a_deployment(host: Host, on_vm: OnVm) -> None:
    host.secret("api-key", API_KEY)
    inventory = host.inventory(*WITH_KEY)
    done("deploy", inventory)
    assert host.works()
    assert "key-of-the-other-cluster" not in on(VM, "cat /var/log/pm2/order-processing/*.log")
    assert done("deploy", inventory).changed == []
