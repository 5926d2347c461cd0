# SPDX-License-Identifier: GPL-3.0-or-later
"""The load tool counts right: against a server that fails on purpose, each way a known number of times."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from load import Load

GOOD = ("200 OK", "r1")


class Server:
    """Answers as the plan says: the n-th request after the preparation gets the n-th behaviour, all others a good one.

    A behaviour is ``(status, release)``, ``"reset"``, ``"close"`` (no answer), ``"half"`` (a cut answer) or ``"hang"``.
    """

    def __init__(self, plan: dict[int, object], keep_alive: bool = True) -> None:
        self.plan, self.keep_alive = plan, keep_alive
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self.measured = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _behaviour(self, line: str, body: bytes) -> object:
        with self._lock:
            self.seen[line.split(maxsplit=1)[0]] += 1
            # The tool opens eight orders before it measures, and cancels them afterwards.
            preparing = sum(self.seen.values()) <= 8 or b"cancel" in line.encode()
            if preparing:
                return GOOD
            self.measured += 1
            return self.plan.get(self.measured, GOOD)

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline().decode():
            length = 0
            while (header := stream.readline().decode().strip().lower()) != "":
                if header.startswith("content-length:"):
                    length = int(header.split(":")[1])
            behaviour = self._behaviour(line, stream.read(length))
            if behaviour == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            if behaviour == "close":
                break
            if behaviour == "hang":
                time.sleep(30)
                break
            if behaviour == "half":
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-release: r1\r\ncontent-length: 100\r\n\r\nhalf")
                break
            status, release = behaviour  # type: ignore[misc]
            last = "" if self.keep_alive else "connection: close\r\n"
            connection.sendall(
                f"HTTP/1.1 {status}\r\nx-release: {release}\r\n{last}content-length: 2\r\n\r\n{{}}".encode()
            )
            if not self.keep_alive:
                break
        stream.close()
        connection.close()


@contextmanager
def serving(plan: dict[int, object], keep_alive: bool = True) -> Iterator[Server]:
    server = Server(plan, keep_alive)
    try:
        yield server
    finally:
        server.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_nothing_is_lost_on_a_good_server(keep_alive: bool) -> None:
    with serving({}) as server:
        with Load(server.base, rate=200, mix="mixed", keep_alive=keep_alive, releases=["r1"]) as load:
            until(lambda: server.measured >= 100)
        report = load.report
    assert report.lost == 0, report
    assert report.sent == report.answered_2xx == server.measured == report.releases["r1"]
    # Every other request is a POST; so are the eight beginnings and endings.
    assert server.seen["POST"] - 16 == report.sent // 2
    # A connection that is busy is not waited for, so a slow machine opens more of them.
    assert server.connections < report.sent if keep_alive else server.connections >= report.sent


def test_every_kind_of_loss_is_counted_as_what_it_is() -> None:
    plan: dict[int, object] = {
        3: ("502 Bad Gateway", "none"),
        5: ("503 Service Unavailable", "r1"),
        7: "reset",
        9: "close",
        11: "half",
        13: ("200 OK", "r0"),
        15: ("200 OK", "r2"),
        17: ("409 Conflict", "r0"),
        19: "hang",
    }
    with serving(plan) as server:
        with Load(server.base, rate=100, mix="post", releases=["r1", "r2"], timeout=1) as load:
            until(lambda: server.measured >= 60)
        report = load.report
    assert report.other_answers == {"502": 1, "503": 1, "409": 1}
    assert report.transport_errors == {"ConnectionResetError": 1, "IncompleteReadError": 2, "TimeoutError": 1}
    assert report.wrong_releases == {"r0": 1}
    assert report.lost == 8
    assert report.sent == server.measured
    assert report.releases == {"none": 1, "r0": 2, "r2": 1, "r1": report.sent - 8}
    assert len(report.failures) == 8
    assert "POST start" in report.failures[0]


def test_a_get_on_a_connection_that_was_just_closed_is_sent_again_as_clients_do() -> None:
    plan: dict[int, object] = {20: "close", 30: "reset", 40: "half", 50: ("502 Bad Gateway", "none")}
    with serving(plan) as server:
        with Load(server.base, rate=20, mix="get") as load:
            until(lambda: server.measured >= 70)
        report = load.report
    # A slow machine opens a connection more, and one that is new is not given a second chance.
    closed = report.transport_errors.get("IncompleteReadError", 0) + report.transport_errors.get(
        "ConnectionResetError", 0
    )
    assert report.sent_again + closed == 3, report
    assert report.sent_again >= 1, report
    assert report.transport_errors["IncompleteReadError"] >= 1  # half an answer
    assert report.lost == 1 + closed
    assert report.sent + report.sent_again == server.measured


def test_the_loop_is_open_while_the_server_hangs() -> None:
    with serving(dict.fromkeys(range(1, 1000), "hang")) as server:
        with Load(server.base, rate=100, mix="get", timeout=1) as load:
            until(lambda: server.measured >= 150)
        report = load.report
    assert report.lost == report.sent == report.transport_errors["TimeoutError"]
    assert report.sent >= 150  # with a closed loop one a second


def test_a_server_that_goes_away_is_not_overlooked() -> None:
    with serving({}, keep_alive=False) as server, Load(server.base, rate=100, mix="get", keep_alive=False) as load:
        until(lambda: server.measured >= 20)
        server.close()
        time.sleep(0.5)
    assert load.report.transport_errors["ConnectionRefusedError"] >= 10
    assert load.report.answered_2xx >= 20


def test_it_says_so_when_it_cannot_begin() -> None:
    with pytest.raises(OSError, match="did not begin: cannot begin"), Load("http://127.0.0.1:9"):
        pass
