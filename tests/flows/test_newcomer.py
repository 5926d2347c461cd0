# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who has the README and nothing else: its commands, from a bare controller and the tarball, on bare hosts.

The hosts are reached over SSH as an ordinary account with sudo; root cannot log in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from over_ssh import OPERATOR, PREPARE
from play import ROOT
from releases import PACKAGE, variant
from test_bad_days import eventually
from test_several_hosts import address, on

SECTION = "## On your own VMs"
GALAXY = "ansible-galaxy collection install durable.temporal"
APPLICATIONS = "inventory/group_vars/all/applications.yml"
# Where no registry can be reached, the programs are built here; hosts trust what stands between this machine and others.
HERE: Mapping[str, Any] = {
    "topology_artifact_source": "go_module",
    "topology_ca_certificates": [str(path) for path in sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))],
}
# Image of the host, and what its README's reader has to add. Preflight names both on Debian 12: its Node.js is too old, and the
# vendor's engine cannot be reached here, so that somebody has put one in.
HOSTS: Mapping[str, Mapping[str, Any]] = {
    "debian13": {},
    "debian12-engine": {"docker_source": "none", "pm2_worker_node_source": "controller"},
}
# What some houses have on every host: another language, a umask with which only root may read what root has written, and an old
# Node.js of their own, which is found before that of the distribution and starts nothing here.
HOUSE = """
set -e
for tool in node npm; do
  printf '#!/bin/sh\\necho v16.20.2 >&2\\nexit 1\\n' >/usr/local/bin/$tool
  chmod 755 /usr/local/bin/$tool
done
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends locales
sed -i 's/^# de_DE.UTF-8/de_DE.UTF-8/' /etc/locale.gen
locale-gen
echo LANG=de_DE.UTF-8 >/etc/default/locale
echo 'Defaults umask=0077, umask_override' >/etc/sudoers.d/house
"""
IN_A_HOUSE = "debian13"


def blocks() -> list[list[str]]:
    """The commands of the README's section, block by block, without their comments."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index(SECTION) :].split("\n## ", 1)[0]
    found = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [[re.sub(r"\s+# .*", "", line) for line in block.splitlines()] for block in found]


@dataclass
class Shell:
    """One line after the other, each in the directory and environment that the one before has left."""

    directory: Path
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    def run(self, line: str, timeout: float = 1200) -> str:
        place = self.directory.parent / "state"
        place.mkdir(exist_ok=True)
        keep = f"\npwd > '{place}/directory'\nenv -0 > '{place}/environment'\n"
        done = subprocess.run(
            ["bash", "-euc", f"{line}{keep}"],
            cwd=self.directory,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
        self.directory = Path((place / "directory").read_text().rstrip("\n"))
        pairs = (place / "environment").read_text().rstrip("\0").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs)
        self.said.append(done.stdout)
        return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tarball")
    build = [
        str(ROOT / ".local/venv/bin/ansible-galaxy"),
        "collection",
        "build",
        "--output-path",
        str(place),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = place.glob("*.tar.gz")
    return built


def clean_environment(home: Path) -> dict[str, str]:
    """Of a person who has just logged in: nothing of this checkout, nothing of Ansible."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "DURABLE_", "PYTHON", "VIRTUAL_ENV"))}
    path = [part for part in kept["PATH"].split(":") if not part.startswith(str(ROOT))]
    cache = kept.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # what was built once is not built again
    return {**kept, "HOME": str(home), "PATH": ":".join(path), "XDG_CACHE_HOME": cache}


@dataclass
class Newcomer:
    vm: str
    address: str
    shell: Shell

    def playbook(self, line: str) -> str:
        """Run a playbook of the README; gives its recap."""
        return self.shell.run(line).split("PLAY RECAP", 1)[1]


@pytest.fixture(scope="module", params=HOSTS)
def newcomer(
    request: pytest.FixtureRequest, tarball: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Newcomer]:
    image = str(request.param)
    vm = f"durable-newcomer-{image.split('-', maxsplit=1)[0]}"
    folder = tmp_path_factory.mktemp("newcomer")
    scripts = ROOT / "scripts"
    make = (
        [scripts / "host-image-engine", image.removesuffix("-engine")]
        if "-engine" in image
        else [scripts / "host-image", image]
    )
    subprocess.run(make, check=True)
    try:
        subprocess.run([scripts / "vm", "new", vm, image], check=True)
        if image == IN_A_HOUSE:
            subprocess.run(["docker", "exec", vm, "sh", "-c", HOUSE], check=True, capture_output=True)
        yield begin(vm, tarball, folder, HOSTS[image])
    finally:
        subprocess.run([scripts / "vm", "down", vm], check=True)


def begin(vm: str, tarball: Path, folder: Path, more: Mapping[str, Any]) -> Newcomer:
    """The README's first block: from nothing to a directory with an inventory of this host."""
    key, known, home = folder / "key", folder / "known_hosts", folder / "home"
    home.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    prepare = ["docker", "exec", "--interactive", vm, "sh", "-c", PREPARE]
    subprocess.run(prepare, input=key.with_suffix(".pub").read_bytes(), check=True, capture_output=True)
    known.write_text(f"{address(vm)} {on(vm, 'cat /etc/ssh/ssh_host_ed25519_key.pub')}")
    # What a person has in an agent and in ~/.ssh/known_hosts.
    keys = {"ANSIBLE_PRIVATE_KEY_FILE": str(key), "ANSIBLE_SSH_COMMON_ARGS": f"-o UserKnownHostsFile={known}"}
    shell = Shell(folder, {**clean_environment(home), **keys})
    install = blocks()[0]
    assert GALAXY in install
    assert any(f"init_user={OPERATOR}" in line for line in install)
    for line in install:
        shell.run(
            line.replace(GALAXY, f"ansible-galaxy collection install {tarball}").replace("vm1.example.com", address(vm))
        )
    assert str(home) in shell.run("ansible-galaxy collection list durable.temporal")
    (shell.directory / "inventory/group_vars/all/here.yml").write_text(json.dumps({**HERE, **more}))
    return Newcomer(vm, address(vm), shell)


def declare(directory: Path, name: str) -> None:
    """What the comment at the top of the file says: delete the brackets, and the "#" in front of the lines of an example."""
    file = directory / APPLICATIONS
    text = file.read_text()
    assert "topology_applications: []" in text
    text = text.replace("topology_applications: []", "topology_applications:")
    text, count = re.subn(
        rf"^#  - name: {name}\n(?:#  .*\n)*", lambda m: re.sub(r"(?m)^#", "", m[0]), text, flags=re.MULTILINE
    )
    assert count == 1
    file.write_text(text)


def call(newcomer: Newcomer, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    """What the edge of the host answers to somebody outside."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "host": "orders.example.com"}
    request = urllib.request.Request(f"http://{newcomer.address}{path}", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def order_completes(newcomer: Newcomer) -> None:
    case = f"newcomer-{time.time_ns()}"
    wanted = {"caseId": case, "blobUrl": f"https://example.com/{case}.json", "tenantId": "t", "userId": "u"}
    status, said = call(newcomer, "/api/workflow/start", wanted)
    assert status in (200, 201, 202), said
    eventually(
        f"order {case} completes", lambda: "COMPLETED" in str(call(newcomer, f"/api/workflow/{case}/status")[1]).upper()
    )


def live(newcomer: Newcomer) -> str:
    return on(newcomer.vm, "readlink -f /opt/order-processing/workflow/current").strip()


def test_the_commands_of_the_readme_work_in_their_order(newcomer: Newcomer) -> None:
    shell = newcomer.shell
    _install, platform, application = blocks()
    assert [line.split()[3] for line in platform] == ["site.yml", "site.yml", "status.yml"]
    assert [line.split()[3] for line in application] == ["site.yml", "deploy.yml", "status.yml", "rollback.yml"]

    for line in platform:
        recap = newcomer.playbook(line)
        if "--check" in line:
            assert not on(newcomer.vm, "ls -A /opt", check=False).strip().replace("containerd", ""), (
                "a check changes nothing"
            )
    assert "changed=0" in recap

    (shell.directory / "build").mkdir()
    shutil.copy(PACKAGE, shell.directory / "build")
    declare(shell.directory, "order-processing")
    site, deploy, status, rollback = application
    newcomer.playbook(site)
    newcomer.playbook(deploy)
    first = live(newcomer)
    order_completes(newcomer)
    newcomer.playbook(status)
    assert "healthy" in shell.said[-1]

    # The next build, so that there is a release to go back to.
    variant(shell.directory / "build/order-processing.tar.gz.next", f"next {time.time()}", package=PACKAGE).rename(
        shell.directory / "build/order-processing.tar.gz"
    )
    newcomer.playbook(deploy)
    assert live(newcomer) != first
    newcomer.playbook(rollback)
    assert live(newcomer) == first
    order_completes(newcomer)

    for again in (site, status):
        assert "changed=0" in newcomer.playbook(again)
    # From the collection itself, as everything else that the documents name.
    assert "changed=0" in newcomer.playbook("ansible-playbook -i inventory durable.temporal.status")


def test_what_the_house_has_stays(newcomer: Newcomer) -> None:
    if not on(newcomer.vm, "test -e /etc/sudoers.d/house && echo house", check=False):
        pytest.skip("this host is in no house")
    for tool in ("node", "npm"):
        assert "v16.20.2" in on(newcomer.vm, f"cat /usr/local/bin/{tool}")


def test_the_account_has_left_nothing_and_root_cannot_log_in(newcomer: Newcomer) -> None:
    # It was the first account of the host, so that its number is that of the account inside of the server's image, 1000.
    image = "-not -path '/opt/*/temporal/secrets/temporal*'"
    assert on(newcomer.vm, f"find /etc /opt /srv /var -xdev -user {OPERATOR} {image}") == ""
    assert on(newcomer.vm, "find /root/.ssh -name authorized_keys -size +0", check=False) == ""


def test_the_host_is_as_its_house_has_it(newcomer: Newcomer) -> None:
    said = newcomer.shell.run("ansible all -i inventory -b -m ansible.builtin.shell -a 'umask; locale'")
    in_a_house = newcomer.vm.endswith(IN_A_HOUSE)
    assert ("0077" in said, "LANG=de_DE.UTF-8" in said) == (in_a_house, in_a_house)


def test_init_refuses_to_overwrite_what_was_changed(newcomer: Newcomer) -> None:
    line = f"ansible-playbook durable.temporal.init -e init_hosts={newcomer.address} -e init_user={OPERATOR} 2>&1 || :"
    said = newcomer.shell.run(line)
    assert f"  {APPLICATIONS}" in said
    assert "Nothing was written." in said
