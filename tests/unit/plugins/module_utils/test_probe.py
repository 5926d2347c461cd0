# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel, systemd and Docker print, read."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _probe as probe

ROLES = Path(__file__).resolve().parents[4] / "roles"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address: str, state: str = "0A", inode: int = 42) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are of a little-endian machine")
def test_listening_sockets_are_read() -> None:
    text = HEAD + row("0100007F:1538") + row("00000000:0050") + row("0100007F:1F90", "01")
    assert probe.parse_listeners(text) == [("127.0.0.1", 5432, 42), ("0.0.0.0", 80, 42)]
    six = HEAD + row("00000000000000000000000000000000:0050") + row("0000000000000000FFFF00000100007F:1538")
    assert probe.parse_listeners(six) == [("::", 80, 42), ("127.0.0.1", 5432, 42)]
    assert probe.parse_listeners("") == []


TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.0.0.0
        /24 link UNICAST
Local:
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.5
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 10.0.0.5
           /32 host LOCAL
"""


def test_addresses_of_the_host_are_read() -> None:
    six = "fd000000000000000000000000000005 02 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n"
    assert probe.parse_addresses(TRIE, six, "0\n", "0\n") == ["10.0.0.5", "127.0.0.0/8", "127.0.0.1", "fd00::5", "::1"]
    assert probe.parse_addresses("", "") == []
    assert probe.parse_addresses("", "", "1\n", "1\n") == ["0.0.0.0/0", "::/0"]
    assert "127.0.0.1" in probe.addresses()


@pytest.mark.parametrize(
    ("text", "unit", "container"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service", ""),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n", "postgresql@17-main.service", ""),
        ("12:pids:/docker/0123456789abcdef\n1:name=systemd:/docker/0123456789abcdef\n", "", "0123456789abcdef"),
        ("0::/system.slice/docker-0123456789abcdef.scope\n", "", "0123456789abcdef"),
        ("1:name=systemd:/docker/0123456789abcdef/system.slice/ssh.service\n", "ssh.service", ""),
        ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope", ""),
        ("0::/\n", "", ""),
        ("", "", ""),
    ],
)
def test_the_unit_or_container_of_a_process_is_read(text: str, unit: str, container: str) -> None:
    assert probe.parse_cgroup(text) == (unit, container)


def test_the_operating_system_is_read() -> None:
    text = 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n# x=y\nHOME_URL=https://example.org\n'
    read = {"id": "ubuntu", "version": "24.04", "codename": "noble", "name": "Ubuntu 24.04.3 LTS"}
    assert probe.parse_os_release(text) == read
    assert probe.parse_os_release("") == {"id": "", "version": "", "codename": "", "name": ""}


def test_memory_is_read() -> None:
    assert probe.parse_memory_mb("MemTotal:        8048576 kB\nMemFree: 1 kB\n") == 7859
    assert probe.parse_memory_mb("") == 0


def test_containers_are_read() -> None:
    lines = [
        "abc\tdb\tpostgres:17\trunning\tUp 3 minutes (healthy)\t127.0.0.1:5432->5432/tcp, [::1]:5432->5432/tcp\t/opt/x",
        "def\tweb\tnginx\trunning\tUp 1 second (health: starting)\t0.0.0.0:8000-8001->80-81/tcp, 9000/tcp\t",
        "ghi\told\tx\texited\tExited (0) 2 days ago\t\t",
        "nonsense",
    ]
    db, web, old = probe.parse_containers("\n".join(lines))
    assert db["ports"] == [{"address": "127.0.0.1", "port": 5432}, {"address": "::1", "port": 5432}]
    assert (db["health"], web["health"], old["health"]) == ("healthy", "starting", "")
    assert (db["directory"], web["directory"]) == ("/opt/x", "")
    assert [p["port"] for p in web["ports"]] == [8000, 8001]


def test_members_of_a_group_are_read() -> None:
    text = "root:x:0:\ndocker:x:104:deploy,admin\nnobody\n"
    assert probe.members_of("docker", text) == ["deploy", "admin"]
    assert probe.members_of("root", text) == probe.members_of("podman", text) == []


UFW = """### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 443 0.0.0.0/0 any 10.0.0.0/8 in
### tuple ### allow tcp 8000:8010 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any 7777 0.0.0.0/0 any 0.0.0.0/0 in_eth0
### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 81,82 0.0.0.0/0 any 0.0.0.0/0 WWW%20Full - in
### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### deny any 83 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any 85 0.0.0.0/0 any 0.0.0.0/0 out
### tuple ### route:allow tcp 99 0.0.0.0/0 any 0.0.0.0/0 in
"""


def test_the_firewall_and_what_it_lets_in_are_read(tmp_path: Path) -> None:
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/default").mkdir()
    (tmp_path / "usr/sbin").mkdir(parents=True)
    none = {"name": "", "allowed": None}
    assert probe.firewall(str(tmp_path)) == none
    (tmp_path / "etc/ufw/ufw.conf").write_text("# x\nENABLED=yes\n")
    (tmp_path / "etc/default/ufw").write_text('DEFAULT_INPUT_POLICY="DROP"\n')
    assert probe.firewall(str(tmp_path)) == none  # its package is gone
    (tmp_path / "usr/sbin/ufw").touch()
    assert probe.firewall(str(tmp_path)) == {"name": "ufw", "allowed": None}
    (tmp_path / "etc/ufw/user.rules").write_text(UFW)
    allowed = [[80, 80], [443, 443], [8000, 8010], [7777, 7777], [22, 22], [81, 81], [82, 82]]
    assert probe.firewall(str(tmp_path)) == {"name": "ufw", "allowed": allowed}
    assert probe.parse_ufw_rules("### tuple ### allow any any 0.0.0.0/0 any 10.0.0.0/8 in\n") == [[0, 65535]]
    (tmp_path / "etc/default/ufw").write_text('DEFAULT_INPUT_POLICY="ACCEPT"\n')
    assert probe.firewall(str(tmp_path)) == none
    (tmp_path / "etc/default/ufw").write_text('DEFAULT_INPUT_POLICY="REJECT"\n')
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    assert probe.firewall(str(tmp_path)) == none
    (tmp_path / "sys/fs/cgroup/system.slice/firewalld.service").mkdir(parents=True)
    assert probe.firewall(str(tmp_path)) == {"name": "firewalld", "allowed": None}


def test_a_socket_of_this_process_is_found_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = [one for one in probe.listeners([]) if one["port"] == port]
    assert found["address"] == "127.0.0.1"
    assert found["pid"] == os.getpid()
    assert found["process"]


def test_a_socket_that_is_closed_while_its_owner_is_looked_for_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, stays = ("127.0.0.1", 1, 2**40), ("127.0.0.1", 2, 2**41)
    seen = iter([{gone, stays}, {stays}])
    monkeypatch.setattr(probe, "_sockets", lambda _proc: next(seen, {stays}))
    assert [(one["port"], one["pid"]) for one in probe.listeners([])] == [(2, 0)]


def test_sockets_that_come_and_go_for_ever_end_the_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    inodes = iter(range(2**40, 2**41))
    monkeypatch.setattr(probe, "_sockets", lambda _proc: {("127.0.0.1", 1, next(inodes))})
    assert [one["port"] for one in probe.listeners([])] == [1]


def test_a_port_that_docker_publishes_without_a_socket_is_found() -> None:
    container = {"id": "a", "name": "db", "ports": [{"address": "127.0.0.1", "port": 1}]}
    (found,) = [one for one in probe.listeners([container]) if one["port"] == 1]
    assert found["container"] == "db"


def test_a_path_that_is_not_there_yet_stands_for_its_parent(tmp_path: Path) -> None:
    room = probe.room(str(tmp_path / "a" / "b"))
    assert room["at"] == str(tmp_path)
    assert room["total_mb"] >= room["free_mb"] > 0


def test_a_command_of_ours_is_told_from_another(tmp_path: Path) -> None:
    ours, other, link = tmp_path / "ours", tmp_path / "other", tmp_path / "link"
    ours.write_text("#!/bin/sh\n# Managed by Ansible (durable.temporal.pm2_worker).\n")
    other.write_text("#!/usr/bin/env node\n")
    link.symlink_to(ours)
    assert [probe.foreign_command(str(path)) for path in (ours, tmp_path / "none")] == ["", ""]
    assert [probe.foreign_command(str(path)) for path in (other, link)] == [str(other), str(link)]


def test_a_pm2_of_others_where_ours_belongs_is_told(tmp_path: Path) -> None:
    link, tools = tmp_path / "bin", tmp_path / "node"
    assert probe.foreign_pm2(str(tmp_path)) == []
    tools.mkdir()
    link.symlink_to("7.0.4/bin")
    assert probe.foreign_pm2(str(tmp_path)) == []
    tools.rmdir()
    tools.write_text("")
    link.unlink()
    link.symlink_to("/srv/pm2/bin")
    assert probe.foreign_pm2(str(tmp_path)) == [str(link), str(tools)]
    link.unlink()
    link.mkdir()
    assert probe.foreign_pm2(str(tmp_path)) == [str(link), str(tools)]


def test_plain_files_are_told_from_links_and_directories(tmp_path: Path) -> None:
    (tmp_path / "b.log").write_text("")
    (tmp_path / "a.log").write_text("")
    (tmp_path / "orders").mkdir()
    (tmp_path / "link.log").symlink_to("a.log")
    assert probe.plain_files(str(tmp_path)) == ["a.log", "b.log"]
    assert probe.plain_files(str(tmp_path / "none")) == []


def test_a_pem_file_says_what_it_holds(tmp_path: Path) -> None:
    chain = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    (tmp_path / "chain.pem").write_text(f"of orders.example.com\n{chain}{chain}")
    (tmp_path / "key.pem").write_text("-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----\n")
    (tmp_path / "other").write_bytes(b"\x30\x82\x00")
    assert probe.pem_labels(str(tmp_path / "chain.pem")) == ["CERTIFICATE", "CERTIFICATE"]
    assert probe.pem_labels(str(tmp_path / "key.pem")) == ["EC PRIVATE KEY"]
    assert probe.pem_labels(str(tmp_path / "other")) == []
    assert probe.pem_labels(str(tmp_path / "nosuch")) is None
    assert probe.pem_labels(str(tmp_path)) is None


def test_a_directory_tells_whose_it_is_and_what_it_holds(tmp_path: Path) -> None:
    owner = pwd.getpwuid(os.getuid()).pw_name
    place = tmp_path / "temporal"
    assert probe.directory(str(place)) is None
    (place / "inner").mkdir(parents=True)
    assert probe.directory(str(place)) == {"owner": owner, "is": "directory", "names": ["inner"], "ours": False}
    (place / "compose.yaml").write_text((ROLES / "postgres/templates/postgres.yaml.j2").read_text())
    assert probe.directory(str(place)) == {
        "owner": owner,
        "is": "directory",
        "names": ["compose.yaml", "inner"],
        "ours": True,
    }
    (tmp_path / "link").symlink_to(place)
    found = [probe.directory(str(path)) for path in (tmp_path / "link", place / "compose.yaml")]
    assert [one and one["is"] for one in found] == ["link", "file"]


def test_accounts_and_groups_are_looked_for_where_the_host_has_them() -> None:
    assert probe.unknown(["root", "nosuchaccount"], ["root", "nosuchgroup"]) == {
        "users": ["nosuchaccount"],
        "groups": ["nosuchgroup"],
    }
