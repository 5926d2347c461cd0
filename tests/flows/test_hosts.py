# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/hosts.md says what becomes of a host: a bare one and one with the platform are compared with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from play import ROOT

BARE = "durable-hosts-bare"
PAGE = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")
# What the words of the page stand for on the VM of `make up`.
WORDS = {"PROJECT": "order-processing", "APP": "order-processing", "SITE": "*"}
# Written by dpkg, apt, ucf, systemd, the engine and services for themselves, whoever installs or starts them; and where Ansible
# works, which it empties.
STATE = re.compile(
    r"/var/(lib/(dpkg|apt|ucf|systemd|containerd|nginx|chrony|docker|logrotate|unattended-upgrades)|cache|log|tmp)(/|$)"
    r"|/etc/(alternatives|rc\d\.d|ld\.so\.cache|\.updated|mtab|ssl/certs|cni)(/|$)|/root/\.ansible(/|$)"
    r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/home/deploy(/|$)|/var/www/html/index\.nginx-debian\.html$"
    r"|.*/__pycache__(/|$)|.*\.pyc$|/etc/(apt/apt\.conf\.d/(20auto|50unattended)-upgrades|apparmor\.d/local/.*|chrony/.*)$"
    r"|/usr/(lib/python3|share|lib/x86_64-linux-gnu)"
)
# Ours, although they lie where logs of others lie.
LOGS = "/var/log/pm2/"


def rows(heading: str) -> list[str]:
    """The code in the first column of the table below a heading, each piece on its own."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    found = [code for cell in first for code in re.findall(r"`([^`]+)`", cell)]
    assert found, f"no table below {heading}"
    return found


def pattern(row: str) -> str:
    for word, meaning in WORDS.items():
        row = re.sub(rf"\b{word}\b", meaning, row)
    return row.replace("[", "[[]") + ("*" if row.endswith("/") else "")


def compare(heading: str, found: set[str]) -> None:
    """Everything that was found has a row, and each row something that was found."""
    wanted = {row: pattern(row) for row in rows(heading)}
    unnamed = sorted(one for one in found if not any(fnmatchcase(one, glob) for glob in wanted.values()))
    assert unnamed == [], f"docs/hosts.md, {heading}: nothing says so"
    stale = [row for row, glob in wanted.items() if not any(fnmatchcase(one, glob) for one in found)]
    assert stale == [], f"docs/hosts.md, {heading}: the host has none"


@pytest.fixture(scope="module")
def bare() -> Iterator[Callable[[str], str]]:
    vm = ROOT / "scripts" / "vm"
    subprocess.run([vm, "new", BARE, "debian13"], check=True)
    yield (
        lambda command: (
            subprocess.run(
                ["docker", "exec", BARE, "sh", "-c", command], check=True, capture_output=True, text=True, timeout=120
            ).stdout
        )
    )
    subprocess.run([vm, "down", BARE], check=True)


def changed(vm: str) -> dict[str, str]:
    """Path to ``A``, ``C`` or ``D``: what was added, changed or deleted since the host was made."""
    out = subprocess.run(["docker", "diff", vm], check=True, capture_output=True, text=True).stdout
    return {path: kind for kind, path in (line.split(" ", 1) for line in out.splitlines())}


def test_files(bare: Callable[[str], str], on_vm: Callable[..., str], outputs: dict[str, str]) -> None:
    here, before = changed(outputs["vm"]), changed(BARE)
    above = {str(parent) for path in here for parent in Path(path).parents}
    of_packages = set(on_vm("cat /var/lib/dpkg/info/*.list").splitlines())
    of_packages |= set(on_vm("find /usr/bin /usr/sbin -lname '/etc/alternatives/*'").splitlines())
    enabled = re.compile(r"/etc/systemd/system/([\w-]+\.target\.wants/)?[\w.-]+\.(service|socket|timer)")
    units = {row for row in rows("Units") if row.endswith((".service", ".socket", ".timer"))} | {"chronyd.service"}

    def ours(path: str) -> bool:
        if path in above or path in before or path in of_packages:
            return False
        if enabled.fullmatch(path) and Path(path).name in units:
            return False
        return path.startswith(LOGS) or not STATE.match(path)

    edited = {line.split()[-1] for line in on_vm("dpkg --verify || test $? -eq 1").splitlines() if " c /" in line}
    edited |= {path for path, kind in here.items() if kind == "C" and ours(path)}
    compare("Files of others that it changes", edited)
    compare("Files that it makes", {path for path, kind in here.items() if kind == "A" and ours(path)} - edited)
    gone = {path for path, kind in here.items() if kind == "D" and ours(path)}
    assert gone <= {"/etc/systemd/system/getty.target.wants"}, "what was there is gone"  # by systemd's preset


def new(command: str, bare: Callable[[str], str], on_vm: Callable[..., str]) -> set[str]:
    return set(on_vm(command).splitlines()) - set(bare(command).splitlines())


def test_accounts(bare: Callable[[str], str], on_vm: Callable[..., str]) -> None:
    accounts = "getent passwd | cut -d: -f1"
    compare("Accounts", {name for name in new(accounts, bare, on_vm) if not name.startswith("_")})
    assert set(bare("getent passwd").splitlines()) <= set(on_vm("getent passwd").splitlines()), (
        "others are as they were"
    )


def test_no_container_has_the_number_of_an_account_that_was_made_here(on_vm: Callable[..., str]) -> None:
    """It could read the container's files, and end its processes."""
    made = on_vm("getent passwd | grep ':durable.temporal' | cut -d: -f3").split()
    within = on_vm("for one in $(docker ps -q); do docker top $one -eo pid,uid | awk 'NR > 1 {print $2}'; done").split()
    assert len(made) >= 2
    assert within
    assert not set(made) & set(within)


def test_units(bare: Callable[[str], str], on_vm: Callable[..., str]) -> None:
    compare("Units", new("systemctl list-unit-files --state=enabled --no-legend | awk '{print $1}'", bare, on_vm))


def test_packages(bare: Callable[[str], str], on_vm: Callable[..., str]) -> None:
    compare("Packages", new("apt-mark showmanual", bare, on_vm))
    versions = "dpkg-query -W -f '${Package} ${Version}\\n'"
    kept = set(bare(versions).splitlines())
    assert kept <= set(on_vm(versions).splitlines()), "what was there is neither removed nor upgraded"


def test_ports(bare: Callable[[str], str], on_vm: Callable[..., str]) -> None:
    listening = "ss -Hltnp | grep -v containerd | awk '{print $4}' | grep -v ^127.0.0.11:"
    assert bare("ss -Hltn | grep -v ^127.0.0.11: || true").count("LISTEN") <= 1
    compare("Ports", set(on_vm(listening).splitlines()))
