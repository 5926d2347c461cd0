# SPDX-License-Identifier: GPL-3.0-or-later
"""`make up SECRETS=azure`: what the platform uses is what the vault holds, and it is asked for once.

SECRETS=azure scripts/up
pytest tests/flows/test_azure_secrets.py --run-dir .local
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from play import ROOT, play

PLATFORM = {"postgres-superuser-password", "temporal-database-password"}
APPLICATION = {"CosmosDbKey", "BlobStorageConnection", "AppInsightsConnectionString"}
TLS = {"tls-certificate", "tls-key"}
# Opens a connection as an operator's tool does: over the published port, with a password.
CONNECT = """
import sys, psycopg2
user, password = sys.stdin.read().split()
try:
    with psycopg2.connect(host="127.0.0.1", port=5432, user=user, password=password, dbname="temporal") as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user")
        print(cursor.fetchone()[0])
except psycopg2.OperationalError as error:
    print("refused" if "authentication failed" in str(error) else error)
"""


@dataclass(frozen=True)
class Vault:
    """The double beside the VM, seen through its way in for tests."""

    about: dict[str, Any]

    def ask(self, what: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.about['control']}/{what}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.about['control_key']}"},
            method="GET" if body is None else "POST",
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    @property
    def values(self) -> dict[str, str]:
        values: dict[str, str] = self.ask("secrets")
        return values


@pytest.fixture(scope="module")
def vault(run_dir: Path) -> Vault:
    return Vault(json.loads((run_dir / "vault" / "double.json").read_text()))


@pytest.fixture(autouse=True)
def machine(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is a machine with an identity."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.about["metadata"])


def counted(vault: Vault, run: Callable[[], Any]) -> dict[str, Any]:
    vault.ask("reset", {})
    done = run()
    assert done.rc == 0, done.failure
    assert done.changed == []
    summary: dict[str, Any] = vault.ask("summary")
    return summary


def test_a_run_asks_once_for_each_secret_and_once_for_a_token(vault: Vault, inventory: Path) -> None:
    site = counted(vault, lambda: play("site", inventory))
    assert site["reads"] == dict.fromkeys(PLATFORM | APPLICATION | TLS, 1)
    assert site["tokens"] == 1
    assert site["requests"] == len(site["reads"]) + 1
    deploy = counted(vault, lambda: play("deploy", inventory))
    assert set(deploy["reads"].values()) == {1}
    assert deploy["reads"].keys() >= APPLICATION
    assert deploy["tokens"] == 1


def test_an_application_of_the_directory_does_as_well(
    vault: Vault, inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    status = counted(vault, lambda: play("status", inventory))
    assert set(status["reads"].values()) == {1}
    assert status["tokens"] == 1


def test_nothing_was_generated(run_dir: Path) -> None:
    assert not list((run_dir / "secrets").glob("[!.]*"))


def connect(outputs: dict[str, str], user: str, password: str) -> str:
    command = ["docker", "exec", "-i", outputs["vm"], "python3", "-c", CONNECT]
    done = subprocess.run(command, input=f"{user} {password}", capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("user", "name"), [("temporal", "temporal-database-password"), ("postgres", "postgres-superuser-password")]
)
def test_the_database_takes_the_password_of_the_vault(
    vault: Vault, outputs: dict[str, str], user: str, name: str
) -> None:
    assert connect(outputs, user, vault.values[name]) == user
    assert connect(outputs, user, "another-password") == "refused"


def test_the_application_has_the_secrets_of_the_vault(vault: Vault, on_vm: Callable[..., str]) -> None:
    seen = on_vm(
        "for p in $(pgrep -u workflow -f /opt/order-processing/workflow); do tr '\\0' '\\n' </proc/$p/environ; done"
    )
    environment = dict(line.split("=", 1) for line in seen.splitlines() if "=" in line)
    assert environment["COSMOS_KEY"] == vault.values["CosmosDbKey"]
    assert environment["BLOB_STORAGE_CONNECTION_STRING"] == vault.values["BlobStorageConnection"]
    assert "@keyvault" not in seen


def served(outputs: dict[str, str]) -> str:
    place = urlsplit(outputs["api_url"])
    return ssl.get_server_certificate((str(place.hostname), int(place.port or 443)), timeout=10).strip()


def healthy(vault: Vault, outputs: dict[str, str]) -> bool:
    place = urlsplit(outputs["api_url"])
    trust = ssl.create_default_context(cafile=vault.about["ca_file"])
    connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=10, context=trust)
    connection.request("GET", "/health")
    return connection.getresponse().status == 200


def test_the_api_is_served_with_the_certificate_of_the_vault(
    vault: Vault, outputs: dict[str, str], on_vm: Callable[..., str]
) -> None:
    assert healthy(vault, outputs)
    assert served(outputs) == vault.values["tls-certificate"].strip()
    modes = on_vm("stat -c '%a %U' /etc/nginx/tls /etc/nginx/tls/*").splitlines()
    assert modes == ["700 root", "600 root", "600 root"]
    assert on_vm("cat /etc/nginx/tls/order-processing.key").strip() == vault.values["tls-key"].strip()


def test_a_new_certificate_in_the_vault_is_served_without_a_restart(
    vault: Vault, outputs: dict[str, str], inventory: Path, on_vm: Callable[..., str]
) -> None:
    started = on_vm("systemctl show -p MainPID --value nginx")
    old = served(outputs)
    signed = vault.ask("certificate", {"names": ["127.0.0.1", "localhost"]})
    vault.ask("secrets", {"tls-certificate": signed["certificate"], "tls-key": signed["key"]})
    run = play("site", inventory, "--diff")
    assert run.rc == 0, run.failure
    assert run.changed == ["durable.temporal.nginx : Write the sites, remove what no site owns, test, reload and run"]
    assert served(outputs) == signed["certificate"].strip() != old
    assert healthy(vault, outputs)
    assert on_vm("systemctl show -p MainPID --value nginx") == started
    assert "PRIVATE KEY" not in run.output
    assert counted(vault, lambda: play("site", inventory))["tokens"] == 1


def test_a_password_is_renewed_in_the_vault(vault: Vault, outputs: dict[str, str], inventory: Path) -> None:
    name = "temporal-database-password"
    old = vault.values[name]
    vault.ask("reset", {})
    run = play("rotate", inventory, extra={"rotate_renew": name})
    assert run.rc == 0, run.failure
    new = vault.values[name]
    assert new != old
    assert connect(outputs, "temporal", new) == "temporal"
    assert connect(outputs, "temporal", old) == "refused"
    assert old not in run.output
    assert new not in run.output
    assert vault.ask("summary")["tokens"] == 1
    assert play("rotate", inventory).changed == []


def test_an_order_goes_through(vault: Vault, outputs: dict[str, str]) -> None:
    done = subprocess.run(
        [
            "env",
            f"SSL_CERT_FILE={vault.about['ca_file']}",
            str(ROOT / "scripts" / "order"),
            "--api-url",
            outputs["api_url"],
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_vault_that_refuses_stops_the_run_before_anything_is_changed(vault: Vault, inventory: Path) -> None:
    vault.ask("faults", {"kind": "ForbiddenByRbac"})
    try:
        run = play("site", inventory)
    finally:
        vault.ask("reset", {})
    assert run.rc != 0
    assert run.changed == []
    assert "The managed identity of this machine may not get the secret" in run.failure
    assert "az role assignment create" in run.failure
    assert not any(value in run.output for value in vault.values.values())
