# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a PM2 daemon: its socket, and who holds a port."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _pm2_daemon
from ansible_collections.durable.temporal.plugins.module_utils._pm2_daemon import (
    Background,
    Daemon,
    Pm2Error,
    ask,
    has_port,
    listens,
)

ROW = {"name": "worker", "pid": 0, "pm_id": 4, "pm2_env": {"status": "errored"}}


def packed(*parts: bytes, version: int = 1) -> bytes:
    """An AMP message."""
    return bytes([version << 4 | len(parts)]) + b"".join(struct.pack(">I", len(part)) + part for part in parts)


@pytest.fixture
def answered(tmp_path: Path) -> t.Iterator[t.Callable[[bytes], list[bytes]]]:
    """A daemon that answers the next call with these bytes; gives what it was asked."""
    asked: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "rpc.sock"))
    server.listen()

    def once(answer: bytes) -> None:
        connection, _address = server.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(answer)

    def arrange(answer: bytes) -> list[bytes]:
        threading.Thread(target=once, args=(answer,), daemon=True).start()
        return asked

    yield arrange
    server.close()


def daemon(home: Path) -> Daemon:
    return Daemon({"pm2_home": str(home), "user": "workflow", "group": ""}, "/opt/pm2/bin/pm2", 60)


def test_a_listing_is_asked_of_the_daemon(tmp_path: Path, answered: t.Callable[[bytes], list[bytes]]) -> None:
    asked = answered(packed(b"j:" + json.dumps({"args": [[ROW]]}).encode(), b"s:0:0"))
    (instance,) = daemon(tmp_path).listing()
    assert (instance.name, instance.number, instance.status) == ("worker", "4", "errored")
    call = b"j:" + json.dumps({"type": "call", "method": "getMonitorData", "args": [{}]}).encode()
    assert asked == [packed(call, b"s:0:0")]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        packed(b"j:{}", version=2),
        packed(b"j:[1]"),
        packed(b'j:{"error": "no"}'),
        packed(b'j:{"args": 1}'),
        b"\x11\0",
    ],
)
def test_what_is_not_understood_is_left_to_the_command(
    tmp_path: Path, answered: t.Callable[[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(Daemon, "call", lambda _self, *arguments: json.dumps([ROW]) if arguments == ("jlist",) else "")
    answered(answer)
    assert [i.name for i in daemon(tmp_path).listing()] == ["worker"]
    with pytest.raises(OSError, match="No such file"):
        ask(tmp_path / "no-rpc.sock", "getMonitorData")


class Rpc:
    """A daemon's socket in memory. ``launching`` instances are about to start for so many listings."""

    def __init__(self, running: t.Iterable[int], launching: dict[int, int] | None = None, deaf: bool = False) -> None:
        self.running = set(running)
        self.launching = launching or {}
        self.deaf = deaf
        self.told: list[tuple[int, int]] = []

    def ask(self, _path: Path, method: str, *arguments: t.Any, timeout_seconds: float = 1) -> list[t.Any]:
        if method == "getMonitorData":
            self.launching = {number: left - 1 for number, left in self.launching.items() if left}
            status = {number: "launching" if number in self.launching else "waiting restart" for number in self.running}
            return [[{**ROW, "pm_id": n, "pm2_env": {"status": status[n]}} for n in sorted(self.running)]]
        (number,) = arguments
        if self.deaf:
            raise ValueError("unknown id")
        self.told.append((number, self.launching.get(number, 0)))
        self.running.discard(number)
        return [{}]


def test_an_instance_that_is_about_to_start_is_not_told_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pm2_daemon, "RETURN_SECONDS", 0)
    rpc = Rpc([3, 4, 5], launching={5: 4})
    monkeypatch.setattr(_pm2_daemon, "ask", rpc.ask)
    daemon(tmp_path).end([])
    daemon(tmp_path).end(["9"])
    assert rpc.told == []
    daemon(tmp_path).end(["4", "5"])
    assert rpc.told == [(4, 0), (5, 0)]
    assert rpc.running == {3}
    monkeypatch.setattr(_pm2_daemon, "LAUNCH_SECONDS", 0)
    rpc.launching = {3: 10**9}
    daemon(tmp_path).end(["3"])
    assert rpc.running == set()


def test_a_candidate_that_is_about_to_start_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**ROW, "name": "worker-candidate", "pm_id": 3, "pm2_env": {"status": "launching", "autorestart": False}}
    left, told = [row], []

    def ask(_path: Path, method: str, *arguments: t.Any, timeout_seconds: float = 1) -> list[t.Any]:
        if method == "deleteProcessId":
            told.extend(arguments)
            left.clear()
        return [list(left)]

    monkeypatch.setattr(_pm2_daemon, "ask", ask)
    begun = time.monotonic()
    assert [i.name for i in daemon(tmp_path).settled(30)] == ["worker-candidate"]
    daemon(tmp_path).end(["3"])
    assert told == [3]
    assert time.monotonic() - begun < 10


class Returning(Rpc):
    """Starts an instance again once it was deleted, as PM2 does with one that had just begun to start."""

    def __init__(self, crashes: bool, autorestart: bool) -> None:
        super().__init__([3])
        self.row = {
            "status": "waiting restart" if crashes else "online",
            "autorestart": autorestart,
            "restart_delay": 50,
        }
        self.listings = 0

    def ask(self, _path: Path, method: str, *arguments: t.Any, timeout_seconds: float = 1) -> list[t.Any]:
        if method != "getMonitorData":
            return super().ask(_path, method, *arguments)
        self.listings += 1
        if self.listings == 4:
            self.running = {3}
        return [[{**ROW, "pm_id": n, "pm2_env": self.row} for n in sorted(self.running)]]


@pytest.mark.parametrize(
    ("crashes", "autorestart", "told"), [(True, True, [3, 3]), (False, True, [3]), (True, False, [3])]
)
def test_an_instance_that_crashes_is_not_left_when_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crashes: bool, autorestart: bool, told: list[int]
) -> None:
    rpc = Returning(crashes, autorestart)
    monkeypatch.setattr(_pm2_daemon, "ask", rpc.ask)
    daemon(tmp_path).end(["3"])
    assert [number for number, _launching in rpc.told] == told


def test_what_cannot_be_told_is_left_to_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(_pm2_daemon, "RETURN_SECONDS", 0)
    monkeypatch.setattr(_pm2_daemon, "ask", Rpc([6, 7], deaf=True).ask)
    monkeypatch.setattr(Daemon, "call", lambda _self, *arguments: called.append(arguments))
    daemon(tmp_path).end(["6", "7"])
    assert called == [("delete", "6", "7")]


def test_a_process_that_listens_is_known(tmp_path: Path) -> None:
    assert not listens(os.getpid())
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert not listens(os.getpid())
        server.listen()
        assert listens(os.getpid())
        port = server.getsockname()[1]
        assert has_port(os.getpid(), port)
        assert not has_port(os.getpid(), port - 1)
        assert not has_port(os.getppid(), port), "somebody else's"
        (tmp_path / "pm2.pid").write_text(str(os.getpid()))
        assert daemon(tmp_path).has_port(port)
        (tmp_path / "pm2.pid").unlink()
        assert not daemon(tmp_path).has_port(port)
    assert not listens(2**22 + 1)


def test_what_ends_in_the_background_reports_its_failure() -> None:
    go = threading.Event()

    def end() -> None:
        go.wait(5)
        raise Pm2Error("cannot end 3 4")

    assert Background(None).done
    ending = Background(end)
    assert not ending.done
    go.set()
    with pytest.raises(Pm2Error, match="cannot end 3 4"):
        ending.wait()
    with pytest.raises(Pm2Error, match="cannot end 3 4"):
        assert ending.done
