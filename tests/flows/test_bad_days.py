# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on a real host: a clear message or self-healing, and nothing lost."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play import play
from releases import FAILS_WHEN_ALONE, FAILS_WHEN_LIVE, PACKAGE, deploy_with, variant

OnVm = Callable[..., str]


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
        body = {
            "caseId": case,
            "blobUrl": "https://example.blob.core.windows.net/o/1",
            "tenantId": "t",
            "userId": "u",
            "teams": {"chatId": "19:orders@thread.v2", "messageId": "1700000000000", "activityId": "f:4711"},
        }
        code, _answer = request("POST", f"{self.base}/api/workflow/start", {**body, **more})
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


def test_postgresql_stops_and_a_waiting_order_survives(
    inventory: Path, orders: Orders, on_vm: OnVm, tmp_path: Path
) -> None:
    case = f"db-{time.time_ns()}"
    orders.start(case, waitForSignal=True)
    on_vm("docker stop temporal-postgres")
    path = tmp_path / "status.json"
    report = play("status", inventory, extra={"status_report": str(path)})
    assert report.rc != 0
    (host,) = json.loads(path.read_text())["hosts"].values()
    rows = [row for row in host["checks"] if row["component"] == "temporal-postgres"]
    assert [row["status"] for row in rows] == ["failed"]
    assert "exited" in rows[0]["found"]
    assert "docker logs" in rows[0]["message"]
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert play("status", inventory).rc == 0
    eventually("the API is healthy", orders.healthy)
    orders.signal(case, "approve")
    eventually("the order completes", lambda: orders.completed(case))


@dataclass(frozen=True)
class Foreign:
    """Somebody else's service on a port of ours: how to start and stop it, who it says it is, and what it holds.

    ``identity`` prints what changes when it is restarted, ``contents`` what changes when it is written to.
    """

    variable: str
    port: int
    ours: str
    start: str
    stop: str
    name: str
    identity: str
    contents: str


FOREIGN_UNIT = "systemctl show -p MainPID -p ActiveState -p ExecMainStartTimestampMonotonic foreign"
FOREIGN_ROLES = (
    "docker exec -u postgres foreign psql -X -At -c"
    " \"select (select string_agg(rolname, ',' order by rolname) from pg_roles where rolname !~ '^pg_'),"
    " (select string_agg(datname, ',' order by datname) from pg_database),"
    " (select count(*) from pg_settings where sourcefile like '%auto.conf')\""
)
FOREIGN = {
    "ui": Foreign(
        variable="temporal_ui_port",
        port=8080,
        ours="temporal-ui",
        start="systemd-run --quiet --unit foreign --collect python3 -m http.server 8080 --bind 127.0.0.1",
        stop="systemctl stop foreign",
        name="foreign.service",
        identity=FOREIGN_UNIT,
        contents="true",
    ),
    "postgres": Foreign(
        variable="postgres_port",
        port=5432,
        ours="temporal-postgres",
        start="docker run -d --name foreign -e POSTGRES_PASSWORD=theirs -p 127.0.0.1:5432:5432"
        " $(docker inspect -f '{{.Config.Image}}' temporal-postgres)",
        stop="docker rm -f -v foreign",
        name="the container foreign",
        identity="docker inspect -f '{{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}' foreign",
        contents=FOREIGN_ROLES,
    ),
    "temporal": Foreign(
        variable="temporal_grpc_port",
        port=7233,
        ours="temporal-server",
        start="systemd-run --quiet --unit foreign --collect temporal server start-dev --headless --ip 127.0.0.1",
        stop="systemctl stop foreign",
        name="foreign.service",
        identity=FOREIGN_UNIT,
        contents="temporal operator namespace list --output json | grep '\"name\"' | sort",
    ),
}


@pytest.mark.parametrize("which", FOREIGN)
def test_foreign_service_on_a_port_is_named_and_left_alone(
    inventory: Path, orders: Orders, on_vm: OnVm, which: str
) -> None:
    foreign = FOREIGN[which]
    on_vm(f"docker stop {foreign.ours}")
    try:
        on_vm(foreign.start)

        def contents() -> str:
            return on_vm(foreign.contents, check=False)

        eventually("the foreign service listens", lambda: f":{foreign.port} " in on_vm("ss -ltn"))
        if foreign.contents != "true":
            eventually("the foreign service answers", lambda: contents() != "")
        before = (on_vm(foreign.identity), contents())
        site = play("site", inventory)
        assert site.rc != 0
        assert site.changed == []
        assert foreign.variable in site.failure
        assert f"{foreign.port}" in site.failure
        assert foreign.name in site.failure
        assert (on_vm(foreign.identity), contents()) == before, "the foreign service was touched"
    finally:
        on_vm(foreign.stop)
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    eventually("the API is healthy", orders.healthy)


# Holds what another package manager would, until it is told to go.
PACKAGE_MANAGER = """
import fcntl, os, time
with open("/var/lib/dpkg/lock-frontend", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    open("/run/package-manager", "w").close()
    while os.path.exists("/run/package-manager"):
        time.sleep(0.1)
"""


def test_another_package_manager_at_work_is_waited_for(inventory: Path, orders: Orders, on_vm: OnVm) -> None:
    on_vm("DEBIAN_FRONTEND=noninteractive apt-get -y -q remove acl")
    on_vm(f"systemd-run --collect --unit package-manager python3 -c '{PACKAGE_MANAGER}'")
    try:
        eventually("the lock is held", lambda: on_vm("ls /run/package-manager", check=False) != "")
        with ThreadPoolExecutor(1) as executor:
            site = executor.submit(play, "site", inventory)
            # One that does not wait gives up at once.
            eventually(
                "apt-get waits for the lock, or the run has ended",
                lambda: site.done() or any(int(age) >= 3 for age in on_vm("ps -C apt-get -o etimes=", False).split()),
                120,
            )
            on_vm("rm /run/package-manager")
            done = site.result()
    finally:
        on_vm("systemctl stop package-manager", check=False)
    assert done.rc == 0, done.failure
    assert "installed" in on_vm("dpkg-query -W -f '${db:Status-Status}' acl")
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
    assert site.changed == []
    assert "password" in site.failure.lower()
    assert "postgres_superuser_password" in site.failure
    assert wrong not in site.output
    assert orders.healthy(), "the running platform must not notice"
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert site.changed == [], "the run with the wrong password had changed something"


def test_a_setting_with_which_postgresql_does_not_start_is_put_back(inventory: Path, orders: Orders) -> None:
    for wrong, told in (
        ({"shared_preload_libraries": "auto_explain, nosuch"}, "'nosuch', which is not installed there"),
        ({"shared_buffers": "400GB"}, "The server runs again, with what it had: shared_buffers"),
    ):
        site = play("site", inventory, extra={"postgres_custom_config": wrong})
        assert site.rc != 0
        assert told in site.failure
        eventually("the platform is back", orders.healthy)
    again = play("site", inventory)
    assert (again.rc, again.changed) == (0, []), again.failure


def test_a_data_disk_that_is_not_mounted_begins_no_other_database(inventory: Path, orders: Orders, on_vm: OnVm) -> None:
    data = "/opt/order-processing/temporal/postgres-data"
    case = f"disk-{time.time_ns()}"
    orders.start(case, waitForSignal=True)
    on_vm(f"docker stop temporal-postgres && mv {data} {data}.away && mkdir {data} && docker start temporal-postgres")
    try:
        # As after a reboot.
        said = "docker logs --tail 5 temporal-postgres 2>&1"
        eventually("the container refuses", lambda: "there is no superuser password" in on_vm(said))
        site = play("site", inventory)
        assert site.rc != 0
        assert site.changed == []
        assert site.failure.startswith("durable.temporal.preflight : "), site.failure
        assert f"postgres_data_directory is {data}, where a database was made, and there is none now" in site.failure
    finally:
        # Nothing was written into it.
        on_vm(
            f"docker stop temporal-postgres && rmdir {data} && mv {data}.away {data} && docker start temporal-postgres"
        )
    eventually("the platform is back", orders.healthy)
    # It waits until the server has the database again; the health of the application says nothing about that.
    site = play("site", inventory)
    assert (site.rc, site.changed) == (0, []), site.failure
    orders.signal(case, "approve")
    eventually("the order completes", lambda: orders.completed(case))


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


def test_artifact_with_a_wrong_digest(inventory: Path, orders: Orders, live: Callable[[], str]) -> None:
    before = live()
    digest = hashlib.sha256(b"something else").hexdigest()
    deploy = deploy_with(inventory, artifact_sha256=digest)
    assert deploy.rc != 0
    assert digest in deploy.failure
    assert deploy.changed == []
    assert live() == before
    assert orders.healthy()


def test_artifact_without_a_lock_file(inventory: Path, orders: Orders, live: Callable[[], str], tmp_path: Path) -> None:
    before = live()
    deploy = deploy_with(inventory, artifact=str(repacked(tmp_path / "no-lock.tar.gz", without="package-lock.json")))
    assert deploy.rc != 0
    assert "it has no package-lock.json" in deploy.failure
    assert "on the controller" in deploy.failure, "it was transferred before it was looked at"
    assert deploy.changed == []
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


APPLICATION = "/opt/order-processing/workflow"
LEFTOVERS = rf"find {APPLICATION} -maxdepth 2 \( -name '*.partial' -o -name '*.new' -o -name .lock \)"


@pytest.fixture
def small_disk(inventory: Path, on_vm: OnVm, live: Callable[[], str]) -> Iterator[str]:
    """The application's root on a file system of its own, with the live release and what is shared.

    Its size is a little more than the least that the check for free space asks for, so that this is seen to suffice.
    """
    before = Path(live()).name
    disk = "/mnt/small"
    # PM2's unit sees the file systems that were there when it started.
    on_vm(
        f"set -e; mkdir -p {disk}; mount -t tmpfs -o size=460m tmpfs {disk}; cd {disk};"
        f" mkdir -p releases/{before} shared; ln -s releases/{before} current;"
        f" chown --reference={APPLICATION} .; chown --reference={APPLICATION}/releases releases;"
        f" mount --bind {APPLICATION}/shared shared;"
        f" mount --bind {APPLICATION}/releases/{before} releases/{before}; mount --rbind {disk} {APPLICATION};"
        " systemctl restart order-processing-pm2"
    )
    try:
        yield disk
    finally:
        on_vm(f"umount -R -l {APPLICATION}; umount -R -l {disk}; rmdir {disk}; systemctl restart order-processing-pm2")
    deploy = play("deploy", inventory)
    assert deploy.rc == 0, deploy.failure


# What takes all room at which time; the check for free space comes too late or says yes. Inodes are room as well.
FULL = {
    "before it begins": "cat /dev/zero >{disk}/fill",
    "while it is unpacked": "mount -o remount,nr_inodes=$(($(df --output=iused {disk} | tail -n 1) + 8)) {disk}",
    "while npm installs": "systemd-run --quiet --collect --unit fill sh -c"
    " 'until [ -e {disk}/releases/*.partial/node_modules ]; do sleep 0.05; done; cat /dev/zero >{disk}/fill'",
}
MAKE_ROOM = "systemctl stop fill 2>/dev/null; rm -f {disk}/fill; mount -o remount,nr_inodes=1000000 {disk}"


def test_full_disk_half_way_leaves_nothing_and_the_next_run_finishes(
    inventory: Path, orders: Orders, on_vm: OnVm, live: Callable[[], str], small_disk: str, tmp_path: Path
) -> None:
    eventually("the API is healthy on its small disk", orders.healthy)
    before = live()
    other = str(repacked(tmp_path / "other.tar.gz", padding=b"another release"))
    for when, fill in FULL.items():
        on_vm(fill.format(disk=small_disk), check=False)
        deploy = deploy_with(inventory, artifact=other)
        assert deploy.rc != 0, f"not full {when}"
        assert re.search("No space left on device|ENOSPC", deploy.failure), when
        assert "Free some space" in deploy.failure, when
        assert live() == before, when
        assert on_vm(LEFTOVERS) == "", f"left {when}"
        assert orders.healthy(), when
        on_vm(MAKE_ROOM.format(disk=small_disk))
    deploy = deploy_with(inventory, artifact=other)
    assert deploy.rc == 0, deploy.failure
    assert live() != before
    assert on_vm(LEFTOVERS) == ""
    assert orders.healthy()


# The directories that the application's processes work in.
RUNNING = f"for pid in $(pgrep -f '^node {APPLICATION}/current/dist'); do readlink /proc/$pid/cwd; done | sort -u"


def goes_back(inventory: Path, artifact: Path, on_vm: OnVm, live: Callable[[], str]) -> str:
    """Deploys what must not stay live; what the run has said."""
    before = live()
    deploy = deploy_with(inventory, artifact=str(artifact))
    assert deploy.rc != 0
    assert "is live again" in deploy.failure, deploy.failure
    assert live() == before
    # Also the workers, which did not crash.
    assert on_vm(RUNNING).split() == [before]
    return deploy.failure


def test_a_release_that_fails_only_when_it_is_live_goes_back_by_itself(
    inventory: Path, orders: Orders, on_vm: OnVm, live: Callable[[], str], tmp_path: Path
) -> None:
    said = goes_back(inventory, variant(tmp_path / "live.tar.gz", edits=FAILS_WHEN_LIVE), on_vm, live)
    assert "boom when live" in said
    eventually("the old release answers", orders.healthy)


def test_a_release_that_fails_when_its_forerunner_has_ended_goes_back_by_itself(
    inventory: Path, orders: Orders, on_vm: OnVm, live: Callable[[], str], tmp_path: Path
) -> None:
    said = goes_back(inventory, variant(tmp_path / "alone.tar.gz", edits=FAILS_WHEN_ALONE), on_vm, live)
    assert "boom when alone" in said
    eventually("the old release answers", orders.healthy)


def test_unknown_variable_stops_before_anything_changes(inventory: Path) -> None:
    site = play("site", inventory, extra={"temporal_verison": "1.32.2"})
    assert site.rc != 0
    assert "temporal_verison" in site.failure
    assert "temporal_version" in site.failure
    assert site.changed == []


def test_dynamic_configuration_needs_no_restart(inventory: Path, on_vm: OnVm) -> None:
    started = on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server")
    since = on_vm("date +%s").strip()
    site = play("site", inventory, extra={"temporal_dynamic_config": {"limit.maxIDLength": 200}})
    assert site.rc == 0, site.failure
    assert on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server") == started
    eventually(
        "the server has read the new value",
        lambda: "maxidlength" in on_vm(f"docker logs --since {since} temporal-server 2>&1").lower(),
    )
    assert play("site", inventory).rc == 0


def test_changed_history_shards_are_refused(inventory: Path, orders: Orders, on_vm: OnVm) -> None:
    started = on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server")
    site = play("site", inventory, extra={"temporal_history_shards": 1024})
    assert site.rc != 0
    assert "temporal_history_shards" in site.failure
    assert "512" in site.failure
    assert site.changed == [], "the server's configuration must not name a number that it cannot have"
    assert on_vm("docker inspect -f '{{.State.StartedAt}}' temporal-server") == started
    assert orders.healthy()


def test_reboot_brings_everything_back(outputs: dict[str, str], inventory: Path, orders: Orders) -> None:
    case = f"reboot-{time.time_ns()}"
    orders.start(case, waitForSignal=True)
    subprocess.run(["docker", "restart", "--time", "30", outputs["vm"]], check=True, capture_output=True)
    eventually("the API is healthy again", orders.healthy, 120)
    orders.signal(case, "approve")
    eventually("the order completes", lambda: orders.completed(case))
    assert play("status", inventory).rc == 0
