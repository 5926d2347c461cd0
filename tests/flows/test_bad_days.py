# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on a real host: a clear message or self-healing, and nothing lost."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, play

OnVm = Callable[..., str]
PACKAGE = ROOT / "examples" / "order_processing" / "order-processing.tar.gz"


def request(method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    wanted = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(wanted, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, {}
    except OSError:
        return 0, {}


def eventually(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)


class Orders:
    """Orders through the API, as a customer sends them."""

    def __init__(self, base: str) -> None:
        self.base = base

    def start(self, case: str, **more: Any) -> None:
        body = {"caseId": case, "blobUrl": "https://example.blob.core.windows.net/o/1", "tenantId": "t", "userId": "u"}
        code, _answer = request("POST", f"{self.base}/api/workflow/start", {**body, "teams": ["sales"], **more})
        assert code in {200, 201, 202}, code

    def signal(self, case: str, name: str) -> None:
        code, _answer = request("POST", f"{self.base}/api/workflow/{case}/signal/{name}", {})
        assert code in {200, 202}, code

    def completed(self, case: str) -> bool:
        return (
            str(request("GET", f"{self.base}/api/workflow/{case}/status")[1].get("status", "")).upper() == "COMPLETED"
        )

    def healthy(self) -> bool:
        return request("GET", f"{self.base}/health")[0] == 200


@pytest.fixture
def orders(outputs: dict[str, str]) -> Orders:
    made = Orders(outputs["api_url"])
    assert made.healthy(), "the platform must be healthy before a bad day begins"
    return made


@pytest.fixture
def live(on_vm: OnVm) -> Callable[[], str]:
    return lambda: on_vm("readlink -f /opt/order-processing/workflow/current").strip()


def test_postgresql_stops_and_a_waiting_order_survives(inventory: Path, orders: Orders, on_vm: OnVm) -> None:
    case = f"db-{time.time_ns()}"
    orders.start(case, waitForSignal=True)
    on_vm("docker stop temporal-postgres")
    report = play("status", inventory)
    assert report.rc != 0
    assert "temporal-postgres" in report.output
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert play("status", inventory).rc == 0
    eventually("the API is healthy", orders.healthy)
    orders.signal(case, "approve")
    eventually("the order completes", lambda: orders.completed(case))


def test_foreign_service_on_a_port_is_named_and_left_alone(inventory: Path, orders: Orders, on_vm: OnVm) -> None:
    on_vm("docker stop temporal-ui")
    on_vm("systemd-run --unit foreign-ui --collect python3 -m http.server 8080 --bind 127.0.0.1")
    try:
        eventually("the foreign service listens", lambda: "8080" in on_vm("ss -ltn"))
        site = play("site", inventory)
        assert site.rc != 0
        assert site.changed == []
        assert "temporal_ui_port" in site.failure
        assert "8080" in site.failure
        assert "foreign-ui" in site.failure or "python3" in site.failure
        assert on_vm("systemctl is-active foreign-ui").strip() == "active"
    finally:
        on_vm("systemctl stop foreign-ui")
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert orders.healthy()


@contextmanager
def replaced(path: Path, content: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(content)
    try:
        yield
    finally:
        path.write_text(before)


def test_wrong_database_password_is_said_plainly(inventory: Path, orders: Orders, run_dir: Path) -> None:
    wrong = "this-is-not-the-password-of-the-server"
    with replaced(run_dir / "secrets" / "postgres-superuser-password", wrong):
        site = play("site", inventory)
    assert site.rc != 0
    assert "password" in site.failure.lower()
    assert "postgres_superuser_password" in site.failure
    assert wrong not in site.output
    assert orders.healthy(), "the running platform must not notice"
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert all("password" in name for name in site.changed), "more than the secret's own file was put back"


def repacked(target: Path, without: str = "", **extra: bytes) -> Path:
    """A copy of the example's package, without one file, with others."""
    with tarfile.open(PACKAGE) as source, tarfile.open(target, "w:gz") as copy:
        for member in source:
            if not without or Path(member.name).name != without:
                copy.addfile(member, source.extractfile(member) if member.isfile() else None)
        for name, content in extra.items():
            info = tarfile.TarInfo(f"dist/{name}.js")
            info.size = len(content)
            copy.addfile(info, io.BytesIO(content))
    return target


def deploy_with(inventory: Path, **application: Any) -> Any:
    """Deploy with some fields of the example application replaced, as an extra variable does it."""
    return play("deploy", inventory, extra={"local_application_overrides": application})


def test_artifact_with_a_wrong_digest(inventory: Path, orders: Orders, live: Callable[[], str]) -> None:
    before = live()
    digest = hashlib.sha256(b"something else").hexdigest()
    deploy = deploy_with(inventory, artifact_sha256=digest)
    assert deploy.rc != 0
    assert digest in deploy.failure
    assert live() == before
    assert orders.healthy()


def test_artifact_without_a_lock_file(inventory: Path, orders: Orders, live: Callable[[], str], tmp_path: Path) -> None:
    before = live()
    deploy = deploy_with(inventory, artifact=str(repacked(tmp_path / "no-lock.tar.gz", without="package-lock.json")))
    assert deploy.rc != 0
    assert "package-lock.json" in deploy.failure
    assert live() == before
    assert orders.healthy()


def test_full_disk_during_a_deploy(
    inventory: Path, orders: Orders, on_vm: OnVm, live: Callable[[], str], tmp_path: Path
) -> None:
    before = live()
    big = repacked(tmp_path / "big.tar.gz", padding=b"// " + bytes(48_000_000))
    releases = "/opt/order-processing/workflow/releases"
    # A file system of 32 MiB laid over the folder that the new release is unpacked in, with the live release inside.
    on_vm(
        f"mkdir -p /mnt/small && mount -t tmpfs -o size=32m tmpfs /mnt/small && chown --reference={releases} /mnt/small"
    )
    on_vm(f"mkdir /mnt/small/{Path(before).name} && mount --bind {before} /mnt/small/{Path(before).name}")
    on_vm(f"mount --rbind /mnt/small {releases}")
    try:
        deploy = deploy_with(inventory, artifact=str(big))
    finally:
        on_vm(f"umount -R {releases}; umount -R /mnt/small")
    assert deploy.rc != 0
    assert "32 MB free" in deploy.failure
    assert "Free some space" in deploy.failure
    assert live() == before
    assert orders.healthy()
    again = play("deploy", inventory)
    assert again.rc == 0, again.failure


def test_a_release_that_crashes_goes_back_by_itself(
    inventory: Path, orders: Orders, live: Callable[[], str], tmp_path: Path
) -> None:
    before = live()
    broken = tmp_path / "crash.tar.gz"
    with tarfile.open(PACKAGE) as source, tarfile.open(broken, "w:gz") as copy:
        for member in source:
            content = source.extractfile(member).read() if member.isfile() else b""  # type: ignore[union-attr]
            if member.name.endswith("dist/api/server.js"):
                content = b"throw new Error('boom at boot');\n"
                member.size = len(content)
            copy.addfile(member, io.BytesIO(content) if member.isfile() else None)
    deploy = deploy_with(inventory, artifact=str(broken))
    assert deploy.rc != 0
    assert "boom at boot" in deploy.failure
    assert live() == before
    eventually("the old release answers", orders.healthy)


def test_unknown_variable_stops_before_anything_changes(inventory: Path) -> None:
    site = play("site", inventory, extra={"temporal_verison": "1.32.2"})
    assert site.rc != 0
    assert "temporal_verison" in site.failure
    assert "temporal_version" in site.failure
    assert site.changed == []


def test_dynamic_configuration_needs_no_restart(inventory: Path, on_vm: OnVm) -> None:
    started = on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server")
    site = play("site", inventory, extra={"temporal_dynamic_config": {"limit.maxIDLength": 200}})
    assert site.rc == 0, site.failure
    assert on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server") == started
    eventually(
        "the server has read the new value",
        lambda: "maxidlength" in on_vm("docker logs --since 5m temporal-server 2>&1").lower(),
    )
    assert play("site", inventory).rc == 0


def test_changed_history_shards_are_refused(inventory: Path, orders: Orders) -> None:
    site = play("site", inventory, extra={"temporal_history_shards": 1024})
    assert site.rc != 0
    assert "temporal_history_shards" in site.failure
    assert "512" in site.failure
    assert orders.healthy()


def test_reboot_brings_everything_back(outputs: dict[str, str], inventory: Path, orders: Orders) -> None:
    case = f"reboot-{time.time_ns()}"
    orders.start(case, waitForSignal=True)
    subprocess.run(["docker", "restart", "--time", "30", outputs["vm"]], check=True, capture_output=True)
    eventually("the API is healthy again", orders.healthy, 120)
    orders.signal(case, "approve")
    eventually("the order completes", lambda: orders.completed(case))
    assert play("status", inventory).rc == 0
