# SPDX-License-Identifier: GPL-3.0-or-later
"""Each generated secret is a canary: it may be where it is needed, closed to others, and nowhere else.

A failure names the secret and the place, never the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from vm import Vm

# Where each secret may lie on the host, and why; it is closed to group and others there. Any other place is a leak.
SECRETS = r"/opt/[^/]+/temporal/secrets"
PLACES = {
    # Mounted into PostgreSQL's container, which is initialised with it; the way in when a rotation was cut off.
    "postgres-superuser-password": [rf"{SECRETS}/postgres/superuser-password"],
    # Mounted into the server's container, which asks for it with each connection.
    "temporal-database-password": [rf"{SECRETS}/temporal/database-password"],
}
OF_ENVIRONMENTS = [
    r"/etc/durable-temporal/[^/]+/ecosystem\.config\.(json|js)",  # the environment of the application's processes
    r"/var/lib/durable-temporal/home/[^/]+/\.pm2/dump\.pm2(\.bak)?",  # PM2's copy of it, from which it resurrects them after a reboot
    r"/etc/durable-temporal/[^/]+/[^/]+\.[0-9a-f]{8}\.env",  # the same of processes that systemd runs
    rf"{SECRETS}/temporal-ui/environment",  # what the UI's container reads when it starts
]
SEARCHED = ["/dev/shm", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"]
PATTERNS = "/run/durable-canaries"  # a tmpfs: searched for from memory, and gone with the test
ONE = PATTERNS + "-one"


@pytest.fixture(scope="module")
def canaries(secrets_dir: Path) -> Mapping[str, str]:
    found = {path.name: path.read_text().strip() for path in sorted(secrets_dir.rglob("[!.]*")) if path.is_file()}
    assert found, f"there are no secrets in {secrets_dir}"
    # A short or many-lined value cannot be told from other text.
    return {name: value for name, value in found.items() if len(value) >= 8 and "\n" not in value}


@pytest.fixture(scope="module")
def patterns(vm: Vm, canaries: Mapping[str, str]) -> Iterator[str]:
    """A file on the host with one value per line; the values never appear in an argument."""
    write = 'umask 077 && cat > "$1"'
    vm.sh(write, PATTERNS, stdin="".join(f"{value}\n" for value in canaries.values()))
    yield PATTERNS
    vm.run("rm", "-f", PATTERNS, ONE)


def may_hold(name: str, path: str) -> bool:
    """Whether a file of the host may hold this secret."""
    return any(re.fullmatch(place, path) for place in PLACES.get(name, OF_ENVIRONMENTS))


def names_in(vm: Vm, canaries: Mapping[str, str], path: str) -> list[str]:
    """Which secrets a file of the host holds."""
    held = []
    for name, value in canaries.items():
        vm.sh('umask 077 && cat > "$1"', ONE, stdin=f"{value}\n")
        if vm.succeeds("grep", "-q", "-a", "-F", "-f", ONE, "--", path):
            held.append(name)
    return held


def told(canaries: Mapping[str, str], text: str) -> list[str]:
    """Which secrets a text tells."""
    return [name for name, value in canaries.items() if value in text]


def files_with(vm: Vm, patterns: str, *roots: str) -> list[str]:
    # grep says 1 when it finds nothing, and 2 also when a file vanished under it.
    script = 'p=$1; shift; grep -r -l -a -F -D skip -f "$p" -- "$@" 2>/dev/null; [ $? -le 2 ]'
    present = [root for root in roots if vm.succeeds("test", "-d", root)]
    found = vm.sh(script, patterns, *present).splitlines()
    return sorted(path for path in found if path not in {PATTERNS, ONE})


def test_files_of_the_host(vm: Vm, canaries: Mapping[str, str], patterns: str) -> None:
    """Configuration, release trees, logs, image layers, container data, and everything else on the disk."""
    found = files_with(vm, patterns, *SEARCHED)
    held = {path: names_in(vm, canaries, path) for path in found}
    wrong = {path: [name for name in names if not may_hold(name, path)] for path, names in held.items()}
    assert not any(wrong.values()), {path: names for path, names in wrong.items() if names}
    # The search works: what the platform needs is found where it may be.
    assert found, "no secret was found anywhere, not even where it belongs"
    for path in found:
        modes = [int(vm.run("stat", "-c", "%a", str(each)).strip(), 8) for each in (Path(path), *Path(path).parents)]
        assert any(mode & 0o077 == 0 for mode in modes), f"{path} is open to others: {[f'{mode:o}' for mode in modes]}"
        assert not vm.succeeds("cat", path, user="nobody"), f"nobody reads {path}"


def test_the_journal(vm: Vm, canaries: Mapping[str, str]) -> None:
    assert told(canaries, vm.run("journalctl", "--no-pager", "--all", "--output", "export", timeout=300)) == []


def test_what_docker_tells(vm: Vm, canaries: Mapping[str, str]) -> None:
    containers = vm.containers()
    assert containers
    for name in containers:
        assert told(canaries, vm.run("docker", "inspect", name)) == [], f"docker inspect {name}"
        assert told(canaries, vm.sh('docker logs "$1" 2>&1', name)) == [], f"docker logs {name}"
    for image in set(vm.run("docker", "images", "--quiet", "--no-trunc").split()):
        assert told(canaries, vm.run("docker", "image", "inspect", image)) == [], f"docker image inspect {image}"
        history = vm.run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", image)
        assert told(canaries, history) == [], f"docker history {image}"


def test_the_process_list(vm: Vm, canaries: Mapping[str, str]) -> None:
    """Command lines are seen by everybody; environments by their owners, so another user reads what he can."""
    commands = vm.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert "systemd" in commands
    assert told(canaries, commands) == []
    environments = vm.sh("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'", user="nobody")
    assert told(canaries, environments) == []


def test_environments_of_processes(vm: Vm, canaries: Mapping[str, str]) -> None:
    """Only the application's own processes have secrets in theirs, and only those of applications."""
    read = "for each in /proc/[0-9]*/environ; do printf '%s ' \"$(stat -c %U \"$each\")\"; tr '\\0\\n' '  ' <\"$each\"; echo; done"
    holders: dict[str, set[str]] = {}
    for line in vm.sh(f"{{ {read}; }} 2>/dev/null").splitlines():
        for name in told(canaries, line):
            holders.setdefault(name, set()).add(line.split(" ", 1)[0])
    assert not set(holders) & set(PLACES), holders
    assert all("root" not in users for users in holders.values()), holders


def test_environments_inside_containers(vm: Vm, canaries: Mapping[str, str]) -> None:
    for name, container in vm.containers().items():
        assert told(canaries, "\n".join(container.inspected["Config"]["Env"] or [])) == [], name


def test_logs_of_the_controller(canaries: Mapping[str, str], logs_dir: Path) -> None:
    logs = [path for path in logs_dir.rglob("*") if path.is_file()]
    assert logs, f"there are no logs in {logs_dir}: a run without a log proves nothing"
    leaks = {str(path): told(canaries, path.read_text(errors="replace")) for path in logs}
    assert not any(leaks.values()), {path: names for path, names in leaks.items() if names}


def test_secrets_on_the_controller_are_closed(secrets_dir: Path) -> None:
    assert secrets_dir.stat().st_mode & 0o077 == 0
    for path in secrets_dir.rglob("[!.]*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_search_finds_a_planted_canary(vm: Vm, canaries: Mapping[str, str], patterns: str) -> None:
    """It is worth nothing unless it can fail."""
    planted = "/var/log/durable-planted-canary"
    name, value = next(iter(canaries.items()))
    vm.sh('umask 077 && cat > "$1"', planted, stdin=f"password={value};\n")
    try:
        assert planted in files_with(vm, patterns, "/var/log")
        assert name in names_in(vm, canaries, planted)
    finally:
        vm.run("rm", "-f", planted)
