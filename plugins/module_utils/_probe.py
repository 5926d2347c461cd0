# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a Linux host says about itself in ``/proc`` and ``/etc``. No tools, no changes; text in, data out.

Private to this collection.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import shlex
import shutil
import socket
import stat
import struct
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._accounts import complaint
from ansible_collections.durable.temporal.plugins.module_utils._registry import SITE_MARK

# The first line of each file that a role writes.
OURS = "Managed by Ansible (durable.temporal."
_LISTEN = "0A"
# Characters. All public authorities together have a quarter of it.
_LARGEST_PEM = 1_000_000
_CONTAINER_ID = re.compile(r"(?:docker-|/docker/|libpod-|/crio-)([0-9a-f]{12,64})")
_PORT = re.compile(r"(?:(?P<address>\S+):)?(?P<first>\d+)(?:-(?P<last>\d+))?->\d+(?:-\d+)?/tcp")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")

CONTAINER_FORMAT = "\t".join(
    [
        "{{.ID}}",
        "{{.Names}}",
        "{{.Image}}",
        "{{.State}}",
        "{{.Status}}",
        "{{.Ports}}",
        '{{.Label "com.docker.compose.project.working_dir"}}',
    ]
)


class Listener(t.TypedDict):
    """A TCP socket that waits for connections. ``pid`` is 0 and the names are empty when they may not be seen."""

    address: str
    port: int
    pid: int
    process: str
    unit: str
    container: str


def parse_os_release(text: str) -> dict[str, str]:
    """``{"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}``.

    What is unknown is empty.
    """
    fields = {}
    for line in text.splitlines():
        key, found, value = line.strip().partition("=")
        if found and not key.startswith("#"):
            fields[key] = " ".join(shlex.split(value))
    return {
        "id": fields.get("ID", ""),
        "version": fields.get("VERSION_ID", ""),
        "codename": fields.get("VERSION_CODENAME", ""),
        "name": fields.get("PRETTY_NAME", ""),
    }


def parse_listeners(text: str) -> list[tuple[str, int, int]]:
    """Address, port and inode of each listening socket in the text of ``/proc/net/tcp`` or ``/proc/net/tcp6``."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, port = fields[1].split(":")
            found.append((_address(address), int(port, 16), int(fields[9])))
    return found


def _address(text: str) -> str:
    # The kernel prints the address as words in its own byte order.
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    address = socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
    return address.removeprefix("::ffff:") if "." in address else address


def parse_addresses(trie: str, six: str, anywhere: str = "", anywhere_six: str = "") -> list[str]:
    """Addresses and networks that programs of the host can listen on: ``["10.0.0.5", "127.0.0.0/8", "::1"]``.

    :param trie: text of ``/proc/net/fib_trie``.
    :param six: text of ``/proc/net/if_inet6``.
    :param anywhere: text of ``ip_nonlocal_bind`` of IPv4, with which an address may come later.
    :param anywhere_six: the same of IPv6.
    """
    found, last = ["0.0.0.0/0"] if anywhere.strip() == "1" else [], ""
    for line in trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            last = words[1]
        elif last and words[-2:] == ["host", "LOCAL"]:
            found.append(f"{last}{words[0]}".removesuffix("/32"))
    found += ["::/0"] if anywhere_six.strip() == "1" else []
    found += [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) for line in six.splitlines()]
    # Tables of routes may hold the same.
    return list(dict.fromkeys(found))


def addresses() -> list[str]:
    """:func:`parse_addresses` of this host. An address family that the kernel does not tell of is left out."""
    net, settings = "/proc/net", "/proc/sys/net"
    return parse_addresses(
        read(f"{net}/fib_trie"),
        read(f"{net}/if_inet6"),
        read(f"{settings}/ipv4/ip_nonlocal_bind"),
        read(f"{settings}/ipv6/ip_nonlocal_bind"),
    )


def parse_cgroup(text: str) -> tuple[str, str]:
    """The systemd unit and the container id of a process, from its ``/proc/PID/cgroup``; empty when it has none."""
    unit = container = ""
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        last = path.rstrip("/").rpartition("/")[2]
        if match := _CONTAINER_ID.search("/" + "/".join(path.split("/")[-2:])):
            container = match[1]
        # The unit may have groups of its own below it, as a systemd user session has.
        units = [part for part in path.split("/") if part.endswith(".service")]
        if units:
            unit = units[-1]
        elif last.endswith(".scope") and not unit and not container:
            unit = last
    return unit, "" if unit else container


def parse_memory_mb(text: str) -> int:
    """Memory in MiB from ``/proc/meminfo``; 0 when it is not there."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) // 1024 if match else 0


def parse_containers(text: str) -> list[dict[str, t.Any]]:
    """Rows of ``docker ps --all --no-trunc --format CONTAINER_FORMAT`` as dictionaries.

    ``ports`` are those published on the host: ``[{"address": "127.0.0.1", "port": 5432}]``. ``health`` is empty without
    a health check, ``directory`` (of the Compose project) when Compose did not make the container.
    """
    found = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 7:
            continue
        identity, name, image, state, status, ports, directory = fields
        health = _HEALTH.search(status)
        found.append(
            {
                "id": identity,
                "name": name,
                "image": image,
                "state": state,
                "status": status,
                "health": health[1] if health else "",
                "directory": directory,
                "ports": [
                    {"address": (match["address"] or "").strip("[]"), "port": port}
                    for match in map(_PORT.search, ports.split(","))
                    if match
                    for port in range(int(match["first"]), int(match["last"] or match["first"]) + 1)
                ],
            }
        )
    return found


def unknown(users: t.Iterable[str], groups: t.Iterable[str]) -> dict[str, list[str]]:
    """Which accounts and groups the host does not have, wherever it has its accounts from: ``{"users", "groups"}``."""
    return {"users": _without(users, pwd.getpwnam), "groups": _without(groups, grp.getgrnam)}


def _without(names: t.Iterable[str], find: t.Callable[[str], object]) -> list[str]:
    missing = []
    for name in names:
        try:
            find(name)
        except KeyError:
            missing.append(name)
    return missing


def members_of(group: str, text: str) -> list[str]:
    """The accounts that the text of ``/etc/group`` lists for a group."""
    lines = (line.split(":") for line in text.splitlines())
    return next((f[3].split(",") for f in lines if len(f) == 4 and f[0] == group and f[3]), [])


def parse_accounts(text: str) -> dict[str, str]:
    """Why each account in the text of ``/etc/passwd`` must not run applications; empty for those that may."""
    fields = [line.split(":") for line in text.splitlines()]
    return {f[0]: complaint(f[0], int(f[2]), f[6], f[4]) for f in fields if len(f) == 7 and f[2].isdigit()}


def read(path: str, characters: int = -1) -> str:
    """The text of a file, or its first characters; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(characters)
    except OSError:
        return ""


def foreign_command(path: str) -> str:
    """The path again when something lies there that this collection has not written, else empty."""
    return path if os.path.lexists(path) and (os.path.islink(path) or OURS not in read(path, 200)) else ""


def pem_labels(path: str) -> list[str] | None:
    """What a PEM file holds: ``["CERTIFICATE", "CERTIFICATE"]``; ``None`` when there is no such file."""
    if not os.path.isfile(path):
        return None
    return labels_of(read(path, _LARGEST_PEM))


def labels_of(text: str) -> list[str]:
    """What a text in the form of PEM holds, as :func:`pem_labels` tells it of a file."""
    return re.findall(r"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", text, re.MULTILINE)


# As many names of what lies in a directory are looked at.
NAMES = 100
# How often listening sockets are read again while some come and go.
LOOKS = 5


def foreign_pm2(directory: str) -> list[str]:
    """What lies where this collection has its PM2 and Node.js and is not of its making: a ``bin`` that is no link to a version
    beside it, or a ``node`` that is no directory.
    """
    link, tools = os.path.join(directory, "bin"), os.path.join(directory, "node")
    wrong = [tools] if os.path.lexists(tools) and not os.path.isdir(tools) else []
    own = os.path.islink(link) and re.fullmatch(r"v?[0-9][^/]*/bin", os.readlink(link))
    return [link, *wrong] if os.path.lexists(link) and not own else wrong


def firewall(root: str = "/") -> dict[str, t.Any]:
    """The firewall that is active and lets in only what its rules name: ``{"name": "ufw", "allowed": [[80, 80], [443, 443]]}``.

    :returns: an empty name when there is none, or it lets in everything. ``allowed`` has the first and last of each range of
        TCP ports that somebody may reach, ``None`` when that was not read.
    """
    if os.path.isdir(os.path.join(root, "sys/fs/cgroup/system.slice/firewalld.service")):
        return {"name": "firewalld", "allowed": None}
    enabled = re.search(
        r"^ENABLED=[\"']?yes\b", read(os.path.join(root, "etc/ufw/ufw.conf")), re.IGNORECASE | re.MULTILINE
    )
    policy = re.search(r"^DEFAULT_INPUT_POLICY=[\"']?(\w+)", read(os.path.join(root, "etc/default/ufw")), re.MULTILINE)
    if not enabled or not policy or policy[1] == "ACCEPT" or not os.path.exists(os.path.join(root, "usr/sbin/ufw")):
        return {"name": "", "allowed": None}
    rules = read(os.path.join(root, "etc/ufw/user.rules"))
    return {"name": "ufw", "allowed": parse_ufw_rules(rules) if rules else None}


def parse_ufw_rules(text: str) -> list[list[int]]:
    """Ranges of TCP ports that rules of ufw let in, from wherever: ``[[80, 80], [8000, 8010]]``."""
    found = []
    for ports in re.findall(
        r"^### tuple ### (?:allow|limit)\S* (?:tcp|any) (\S+) .* in(?:_\S+)?\s*$", text, re.MULTILINE
    ):
        for one in ports.split(","):
            first, _colon, last = one.partition(":")
            if first == "any":
                found.append([0, 65535])
            elif first.isdecimal() and (last or first).isdecimal():
                found.append([int(first), int(last or first)])
    return found


def directory(path: str) -> dict[str, t.Any] | None:
    """What lies where a directory of this collection is to be; ``None`` when nothing does.

    :returns: the ``owner`` (a name, or a number without one), ``is`` (``directory``, ``link`` or ``file``), the first ``names``
        in it, and ``ours``, whether one of its files was written by this collection.
    """
    try:
        info = os.lstat(path)
    except OSError:
        return None
    try:
        owner = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = str(info.st_uid)
    kind = "link" if stat.S_ISLNK(info.st_mode) else "directory" if stat.S_ISDIR(info.st_mode) else "file"
    ours = any(mark in read(os.path.join(path, name), 200) for name in plain_files(path) for mark in (OURS, SITE_MARK))
    return {"owner": owner, "is": kind, "names": _names(path)[:NAMES], "ours": ours}


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def plain_files(directory: str) -> list[str]:
    """Names of the files in a directory that are no links."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return []


def _owners(inodes: set[int], proc: str) -> dict[int, int]:
    """Inode of a socket → the lowest id of a process that holds it."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, int] = {}
    for pid in sorted(int(p) for p in os.listdir(proc) if p.isdigit()):
        if len(owners) == len(inodes):
            break
        for descriptor in glob.iglob(f"{proc}/{pid}/fd/*"):
            try:
                inode = wanted.get(os.readlink(descriptor))
            except OSError:
                continue
            if inode is not None:
                owners.setdefault(inode, pid)
    return owners


def _sockets(proc: str) -> set[tuple[str, int, int]]:
    """Address, port and inode of each listening socket."""
    return {s for f in ("tcp", "tcp6") for s in parse_listeners(read(f"{proc}/net/{f}"))}


def listeners(containers: t.Sequence[t.Mapping[str, t.Any]], proc: str = "/proc") -> list[Listener]:
    """Every listening TCP socket of this network namespace, with who holds it.

    Without privileges only the sockets of one's own processes have an owner.
    """
    names = {str(c["id"]): str(c["name"]) for c in containers}
    published = {(str(p["address"]), int(p["port"])): str(c["name"]) for c in containers for p in c["ports"]}
    for _attempt in range(LOOKS):
        sockets = _sockets(proc)
        owners = _owners({inode for _address, _port, inode in sockets}, proc)
        # One that was closed meanwhile is nobody's: a container that crashes comes and goes with its port.
        if {one for one in sockets if one[2] not in owners} <= _sockets(proc):
            break
    found: list[Listener] = []
    for address, port, inode in sorted(sockets):
        pid = owners.get(inode, 0)
        unit, container = parse_cgroup(read(f"{proc}/{pid}/cgroup")) if pid else ("", "")
        process = read(f"{proc}/{pid}/comm").strip() if pid else ""
        name = next((n for i, n in names.items() if container and i.startswith(container)), "")
        if process == "docker-proxy":
            # Docker holds the port on behalf of a container.
            name, unit = published.get((address, port), name), ""
        found.append(Listener(address=address, port=port, pid=pid, process=process, unit=unit, container=name))
    held = {(one["address"], one["port"]) for one in found}
    # Without its proxy Docker publishes by rules alone, and no socket is seen.
    for (address, port), name in sorted(published.items()):
        if (address, port) not in held:
            found.append(Listener(address=address, port=port, pid=0, process="", unit="", container=name))
    return found


def room(path: str) -> dict[str, t.Any]:
    """The file system that holds a path, or will: ``{"path", "at", "total_mb", "free_mb", "noexec"}``."""
    at = path
    while not os.path.exists(at) and at not in ("/", ""):
        at = os.path.dirname(at)
    usage = shutil.disk_usage(at or "/")
    noexec = bool(os.statvfs(at or "/").f_flag & os.ST_NOEXEC)
    found = {"total_mb": usage.total // 2**20, "free_mb": usage.free // 2**20}
    return {"path": path, "at": at or "/", **found, "noexec": noexec}
