# SPDX-License-Identifier: GPL-3.0-or-later
"""An application on two hosts behind a third, all of them with their secrets from one vault.

The hosts are switched by turns, and after a failure on one both are on one release again.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from load import Load
from play import ROOT, play
from releases import API, Edit, before, deploy_with, variant
from test_azure_secrets import APPLICATION, PLATFORM, Vault
from test_bad_days import Orders, eventually
from test_deploy import QUICK, Host

PORT = 8012
VMS = {"one": "durable-several-1", "two": "durable-several-2", "edge": "durable-several-edge"}
FORKS = "--forks=5"
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
    vault: Vault
    reads: Mapping[str, Any]  # what the vault saw while the hosts were set up
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
    scripts = ROOT / "scripts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DURABLE_RUN_DIR", str(folder))
        patch.setenv("DURABLE_CHECKOUT", str(ROOT))
        try:
            yield set_up(folder, scripts, patch)
        finally:
            for host in VMS.values():
                subprocess.run([scripts / "vm", "down", host], check=True)
            subprocess.run([scripts / "vault", "down"], check=True)


def set_up(folder: Path, scripts: Path, patch: pytest.MonkeyPatch) -> Platform:
    subprocess.run([scripts / "vault", "up"], check=True)
    vault = Vault(json.loads((folder / "vault" / "double.json").read_text()))
    patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.about["metadata"])
    for name, host in VMS.items():
        published = ["-p", f"127.0.0.1:{PORT}:80"] if name == "edge" else []
        subprocess.run([scripts / "vm", "new", host, "debian13", *published], check=True)
    first = {"hosts": {"one": {}}}
    inventory = {
        "all": {
            "vars": {"ansible_connection": "community.docker.docker"},
            # Plain HTTP, although the vault has a certificate: the load asks as fast as it can.
            "hosts": {
                name: {"ansible_host": host, "topology_address": address(host), "topology_tls": {}}
                for name, host in VMS.items()
            },
            "children": {
                **dict.fromkeys(("postgres", "temporal", "temporal_ui"), first),
                "app": {"hosts": {"one": {}, "two": {}}},
                "edge": {"hosts": {"edge": {}}},
            },
        }
    }
    place = folder / "inventory"
    place.mkdir()
    (place / "hosts.yml").write_text(json.dumps(inventory))
    (place / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
    vault.ask("reset", {})
    site = play("site", place, FORKS)
    assert site.rc == 0, site.failure
    reads = vault.ask("summary")
    deploy = play("deploy", place, FORKS)
    assert deploy.rc == 0, deploy.failure
    hosts = {name: Host(lambda command, check=True, vm=VMS[name]: on(vm, command, check)) for name in ("one", "two")}
    return Platform(place, f"http://127.0.0.1:{PORT}", vault, reads, hosts)


def one_release(platform: Platform, release: str) -> None:
    assert platform.live == {release}
    for host in platform.hosts.values():
        eventually("the processes run the live release", lambda host=host: host.running == {release})  # type: ignore[misc]
        assert host.leftovers() == ""
    assert Orders(platform.api_url).healthy()


def test_each_secret_is_asked_for_once_for_all_hosts(platform: Platform) -> None:
    assert platform.reads["reads"] == dict.fromkeys(PLATFORM | APPLICATION, 1)
    assert platform.reads["tokens"] == 1
    for playbook, expected in (("site", PLATFORM | APPLICATION), ("deploy", APPLICATION)):
        platform.vault.ask("reset", {})
        again = play(playbook, platform.inventory, FORKS)
        assert again.rc == 0, again.failure
        assert again.changed == []
        seen = platform.vault.ask("summary")
        assert seen["reads"].keys() >= expected
        assert set(seen["reads"].values()) == {1}
        assert seen["tokens"] == 1
        assert seen["requests"] == len(seen["reads"]) + 1, "and nothing else"


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


def test_a_removal_takes_its_site_from_the_edge_before_its_processes_end(platform: Platform) -> None:
    site = "/etc/nginx/conf.d/order-processing.conf"
    assert on(VMS["edge"], f"ls {site}")
    extra = {"remove_application": "order-processing", "topology_applications": []}
    removed = play("remove", platform.inventory, extra=extra)
    assert removed.rc == 0, removed.failure
    changed = [(task.name.rpartition(" : ")[2], task.host) for task in removed.having("changed")]
    assert changed[0] == ("Take its site from the edge", "edge")
    assert {host for _name, host in changed[1:]} == {"one", "two"}
    assert on(VMS["edge"], f"ls {site}", check=False) == ""
    again = play("remove", platform.inventory, extra=extra)
    assert (again.rc, again.changed) == (0, []), again.failure
