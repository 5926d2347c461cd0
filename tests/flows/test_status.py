# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a platform can be broken is red or degraded in `status`, with its cause, and green again afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from play import play

OnVm = Callable[..., str]
HOME = "/opt/order-processing/workflow"
OF_WORKERS = (
    "order-processing-pm2 jlist --silent | python3 -c 'import json, sys; "
    'print(*(row["pid"] for row in json.load(sys.stdin) if row["name"] == "workflow-worker"))' + "'"
)
# The server tells of a worker that has hung only when it has not polled for a minute and a half.
SECONDS = 150.0

SITE = "/etc/nginx/conf.d/order-processing.conf"
RELOAD = "systemctl reload nginx"


@dataclass(frozen=True)
class Way:
    """How something is broken and mended on the host, and the row of the report that must tell of it."""

    breaks: str
    mends: str
    component: str
    name: str
    status: str
    found: str
    extra: Mapping[str, Any] = field(default_factory=dict)


WAYS = {
    "the workers are stopped": Way(
        "order-processing-pm2 stop workflow-worker",
        "order-processing-pm2 start workflow-worker",
        "order-processing",
        "workflow-worker",
        "failed",
        "0 of 2 online",
    ),
    "the API is stopped": Way(
        "order-processing-pm2 stop workflow-api",
        "order-processing-pm2 start workflow-api",
        "order-processing",
        "workflow-api",
        "failed",
        "0 of 2 online",
    ),
    # As a program that hangs stands still.
    "the workers live and poll nothing": Way(
        f"{OF_WORKERS} >/run/hung && kill -STOP $(cat /run/hung)",
        "kill -CONT $(cat /run/hung)",
        "order-processing",
        "polls order-processing-queue (workflow)",
        "failed",
        "0 pollers of 4 processes",
    ),
    "another release runs than the live one": Way(
        f"readlink {HOME}/current >/run/live && cp -a $(readlink -f {HOME}/current) {HOME}/releases/20200101000000-0000 && "
        f"ln -sfn {HOME}/releases/20200101000000-0000 {HOME}/current",
        f"ln -sfn $(cat /run/live) {HOME}/current && rm -r {HOME}/releases/20200101000000-0000",
        "order-processing",
        "workflow-worker",
        "failed",
        "2 of 2 online",
    ),
    "another Node.js than the declared one": Way(
        "readlink /opt/pm2/node/node >/run/node && cp $(readlink -f /opt/pm2/node/node) /root/node && "
        "ln -sfn /root/node /opt/pm2/node/node",
        "ln -sfn $(cat /run/node) /opt/pm2/node/node && rm /root/node",
        "order-processing",
        "Node.js",
        "degraded",
        "/opt/pm2/node-",
    ),
    "the unit is dead": Way(
        "systemctl stop order-processing-pm2",
        "systemctl start order-processing-pm2",
        "order-processing-pm2",
        "service",
        "failed",
        "inactive",
    ),
    "a disk is full": Way(
        "mkdir /srv/small && mount -t tmpfs -o size=1m tmpfs /srv/small && "
        "dd if=/dev/zero of=/srv/small/full bs=1k count=1000 2>/dev/null",
        "umount /srv/small && rmdir /srv/small",
        "host",
        "room at /srv/small",
        "failed",
        "2 % of",
        {"status_paths": ["/", "/srv/small"]},
    ),
    "a disk takes nothing any more": Way(
        "mkdir /srv/small && mount -t tmpfs -o size=1m,ro tmpfs /srv/small",
        "umount /srv/small && rmdir /srv/small",
        "host",
        "writes at /srv/small",
        "failed",
        "read-only",
        {"status_paths": ["/", "/srv/small"]},
    ),
    "the data of the database is gone": Way(
        "data=$(echo /opt/*/*/postgres-data) && mv $data/PG_VERSION $data/gone",
        "data=$(echo /opt/*/*/postgres-data) && mv $data/gone $data/PG_VERSION",
        "data",
        "/opt/",
        "failed",
        "gone",
    ),
    # What runs goes on, and only the next start would tell.
    "the live release is out of reach of its account": Way(
        "chmod 700 /opt/order-processing",
        "chmod 755 /opt/order-processing",
        "order-processing",
        "next start",
        "degraded",
        "which may not pass /opt/order-processing",
    ),
    "the settings of the engine are broken": Way(
        "cp -p /etc/docker/daemon.json /run/daemon.json && echo '{' >/etc/docker/daemon.json",
        "cp -p /run/daemon.json /etc/docker/daemon.json",
        "docker",
        "configuration",
        "degraded",
        "unexpected end of JSON input",
    ),
    "the socket of the engine is masked": Way(
        "systemctl mask docker.socket",
        "systemctl unmask docker.socket",
        "docker",
        "docker.socket",
        "degraded",
        "masked",
    ),
    "secrets can be read by everybody": Way(
        "cd /opt/order-processing/temporal && find secrets -printf '%m %p\\n' >/run/modes && chmod -R a+rX secrets",
        "cd /opt/order-processing/temporal && while read -r mode path; do chmod $mode $path; done </run/modes",
        "platform",
        "secrets",
        "failed",
        "which everybody may read",
    ),
    "the edge is down": Way("systemctl stop nginx", "systemctl start nginx", "nginx", "service", "failed", "inactive"),
    "the UI is down": Way(
        "docker stop temporal-ui", "docker start temporal-ui", "temporal-ui", "container", "failed", "exited"
    ),
    "Temporal is down": Way(
        "docker stop temporal-server",
        "docker start temporal-server",
        "temporal-server",
        "container",
        "failed",
        "exited",
    ),
    "the database is down": Way(
        "docker stop temporal-postgres",
        "docker start temporal-postgres && docker restart temporal-server",
        "temporal-postgres",
        "container",
        "failed",
        "exited",
    ),
    "a service would not come back at boot": Way(
        "systemctl disable nginx", "systemctl enable nginx", "nginx", "service", "degraded", "active, and disabled"
    ),
    "a container would not come back at boot": Way(
        "docker update --restart no temporal-ui",
        "docker update --restart unless-stopped temporal-ui",
        "temporal-ui",
        "container",
        "degraded",
        "restart policy no",
    ),
    "the edge answers itself": Way(
        f"cp {SITE} /run/site && sed -i '0,/server_tokens off;/s//server_tokens off; return 503;/' {SITE} && {RELOAD}",
        f"cp /run/site {SITE} && {RELOAD}",
        "order-processing",
        "nginx answers on port",
        "failed",
        "HTTP 503",
    ),
    "nginx would not start again": Way(
        "echo 'nonsense;' > /etc/nginx/conf.d/broken.conf",
        "rm /etc/nginx/conf.d/broken.conf",
        "nginx",
        "configuration",
        "failed",
        "nonsense",
    ),
    "a namespace is missing": Way(
        "true", "true", "temporal", "namespaces", "failed", "0 of 1", {"status_namespaces": ["nobody-made-it"]}
    ),
}


@pytest.fixture
def look(inventory: Path, tmp_path: Path) -> Callable[[Mapping[str, Any]], tuple[int, list[dict[str, str]]]]:
    """The report on the VM: exit code of the playbook, and rows."""

    def run(extra: Mapping[str, Any]) -> tuple[int, list[dict[str, str]]]:
        path = tmp_path / "status.json"
        report = play("status", inventory, extra={"status_report": str(path), **extra})
        (host,) = json.loads(path.read_text())["hosts"].values()
        return report.rc, host["checks"]

    return run


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_broken_is_told(way: Way, look: Callable[..., tuple[int, list[dict[str, str]]]], on_vm: OnVm) -> None:
    code, rows = look({})
    assert (code, bad(rows)) == (0, []), "the platform must be healthy before it is broken"
    try:
        on_vm(way.breaks)
        row = until_told(way, look)
    finally:
        on_vm(way.mends)
    assert way.found in row["found"]
    assert row["message"], "what to do next is said"
    deadline = time.monotonic() + SECONDS
    while bad(rows := look({})[1]):
        assert time.monotonic() < deadline, f"still not healthy: {bad(rows)}"


def until_told(way: Way, look: Callable[..., tuple[int, list[dict[str, str]]]]) -> dict[str, str]:
    deadline = time.monotonic() + SECONDS
    while True:
        code, rows = look(way.extra)
        found = [row for row in rows if row["component"] == way.component and row["name"].startswith(way.name)]
        told = [row for row in found if row["status"] == way.status]
        if told:
            assert (code != 0) == any(row["status"] == "failed" for row in rows)
            return told[0]
        assert time.monotonic() < deadline, f"not told within {SECONDS:.0f} s: {found or rows}"


def bad(rows: list[dict[str, str]]) -> list[str]:
    return [f"{row['component']} {row['name']}: {row['found']}" for row in rows if row["status"] != "healthy"]
