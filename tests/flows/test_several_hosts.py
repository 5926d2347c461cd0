# SPDX-License-Identifier: GPL-3.0-or-later
"""An application on two hosts: switched by turns, and after a failure on one both are on one release again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from load import Load
from play import ROOT, play
from releases import API, Edit, before, deploy_with, variant
from test_bad_days import Orders, eventually
from test_deploy import QUICK, Host

PORT = 8012
VMS = {"one": "durable-several-1", "two": "durable-several-2"}
# Broken on the second host only: as a candidate there, or not before it is live.
AT_ONCE: Mapping[str, Edit] = {
    API: before(f"if (require('os').hostname() === '{VMS['two']}') throw new Error('boom on two');")
}
WHEN_LIVE: Mapping[str, Edit] = {
    API: before(
        f"if (require('os').hostname() === '{VMS['two']}' && process.env.PORT === '3000') throw new Error('boom on two');"
    )
}


@dataclass(frozen=True)
class Platform:
    inventory: Path
    api_url: str
    hosts: Mapping[str, Host]

    @property
    def live(self) -> set[str]:
        return {host.live for host in self.hosts.values()}


def on(vm: str, command: str, check: bool = True) -> str:
    done = subprocess.run(["docker", "exec", vm, "sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"{command!r} exited {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def address(vm: str) -> str:
    shown = subprocess.run(["docker", "inspect", vm], check=True, capture_output=True, text=True).stdout
    (network,) = json.loads(shown)[0]["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("several")
    vm = str(ROOT / "scripts" / "vm")
    try:
        subprocess.run([vm, "up", VMS["one"], "debian13", "-p", f"127.0.0.1:{PORT}:80"], check=True)
        subprocess.run([vm, "up", VMS["two"], "debian13"], check=True)
        first = {"hosts": {"one": {}}}
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "community.docker.docker",
                    "local_checkout": str(ROOT),
                    "secrets_directory": str(folder / "secrets"),
                },
                "hosts": {
                    name: {"ansible_host": host, "topology_address": address(host)} for name, host in VMS.items()
                },
                "children": {
                    **dict.fromkeys(("postgres", "temporal", "temporal_ui", "edge"), first),
                    "app": {"hosts": {name: {} for name in VMS}},
                },
            }
        }
        (folder / "hosts.yml").write_text(json.dumps(inventory))
        (folder / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
        site = play("site", folder)
        assert site.rc == 0, site.failure
        deploy = play("deploy", folder)
        assert deploy.rc == 0, deploy.failure
        hosts = {name: Host(lambda command, check=True, vm=vm: on(vm, command, check)) for name, vm in VMS.items()}
        yield Platform(folder, f"http://127.0.0.1:{PORT}", hosts)
    finally:
        for host in VMS.values():
            subprocess.run([vm, "down", host], check=True)


def one_release(platform: Platform, release: str) -> None:
    assert platform.live == {release}
    for host in platform.hosts.values():
        eventually("the processes run the live release", lambda host=host: host.running == {release})  # type: ignore[misc]
        assert host.leftovers() == ""
    assert Orders(platform.api_url).healthy()


def test_both_hosts_serve_and_are_switched_by_turns(platform: Platform, tmp_path: Path) -> None:
    (old,) = platform.live
    with Load(platform.api_url, rate=50) as load:
        deploy = deploy_with(platform.inventory, artifact=str(variant(tmp_path / "new.tar.gz", "new")), extra=QUICK)
        assert deploy.rc == 0, deploy.failure
        (new,) = platform.live
        back = play("rollback", platform.inventory, extra=QUICK)
        assert back.rc == 0, back.failure
    assert load.report.lost == 0, load.report
    assert set(load.report.releases) == {old, new}
    one_release(platform, old)


@pytest.mark.parametrize("edits", [AT_ONCE, WHEN_LIVE], ids=["refused as a candidate", "fails when live"])
def test_a_failure_on_one_host_leaves_both_on_the_old_release(
    platform: Platform, tmp_path: Path, edits: Mapping[str, Edit]
) -> None:
    (old,) = platform.live
    with Load(platform.api_url, rate=50) as load:
        artifact = str(variant(tmp_path / "broken.tar.gz", edits=edits))
        deploy = deploy_with(platform.inventory, artifact=artifact, extra=QUICK)
    assert deploy.rc != 0
    assert "boom on two" in deploy.failure
    one_release(platform, old)
    if edits is AT_ONCE:
        assert load.report.lost == 0, load.report
        assert set(load.report.releases) == {old}
    assert play("deploy", platform.inventory, extra=QUICK).rc == 0
