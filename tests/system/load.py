#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests at a constant rate, while something happens to the platform; counts what was lost.

The loop is open: a request is sent when it is due, whatever became of those before it, as customers do. Its time is
counted from when it was due. A lost request is one without a 2xx answer of a release that may answer.

A server may close a connection that idles just when the next request is sent. Clients send one that may be repeated again
then (RFC 9112, 9.3.1), unless something of an answer has come. So does this one with a GET, on a connection that was used
before, and counts it as sent again. A POST is lost.

    load.py http://127.0.0.1:8000 --rate 100 --seconds 30 --mix post --keep-alive --release A --release B

prints a line for people and, as the last line of stdout, the report as JSON; ends with 1 when something was lost, 2 when
it could not begin. SIGINT and SIGTERM stop it early: what is on its way is waited for, and reported. In tests:

    with Load(base, mix="post", releases=[old, new]) as load:
        ...  # deploy, restart, reload
    assert load.report.lost == 0, load.report

POST is ``start`` of an order that is open: the application answers 202 again and nothing piles up, but for all proxies
it is a POST that nobody may repeat. With ``--new-orders`` each is a new order instead (mind the rate).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from api import new_case_id, order_body

MIXES = {
    "get": ("health", "health", "health", "status"),
    "mixed": ("health", "post", "status", "post"),
    "post": ("post",),
}
OPEN_CASES = 8  # the orders that are asked for, and started again
FAILURES_KEPT = 20
LATE_SECONDS = 0.05


@dataclass
class Report:
    """What became of the requests; times in milliseconds."""

    sent: int = 0
    answered_2xx: int = 0
    sent_again: int = 0  # on another connection, as the one that it was on had been closed
    other_answers: dict[str, int] = field(default_factory=dict)  # by status code
    transport_errors: dict[str, int] = field(default_factory=dict)  # by kind
    wrong_releases: dict[str, int] = field(default_factory=dict)  # 2xx of a release that may not answer
    releases: dict[str, int] = field(default_factory=dict)  # of all answers
    release_seconds: dict[str, list[float]] = field(default_factory=dict)  # first and last answer, since the beginning
    p50: float = 0
    p99: float = 0
    max: float = 0
    late_p99: float = 0  # how late requests were sent: the tool's own precision
    late_max: float = 0
    late: int = 0  # sent more than 50 ms late
    seconds: float = 0
    cpu_percent: float = 0  # of one core, for the tool
    failures: list[str] = field(default_factory=list)  # the first ones, in words

    @property
    def lost(self) -> int:
        return self.sent - self.answered_2xx + sum(self.wrong_releases.values())

    def __str__(self) -> str:
        releases = ", ".join(f"{name} {count}" for name, count in self.releases.items())
        wrong = {**self.other_answers, **self.transport_errors}
        wrong.update({f"release {name}": count for name, count in self.wrong_releases.items()})
        return (
            f"{self.sent} sent, {self.lost} lost{f' {wrong}' if wrong else ''}, {self.sent_again} sent again; p50 {self.p50} p99 {self.p99}"
            f" max {self.max} ms; releases: {releases or 'none'}; sent late {self.late} (p99 {self.late_p99},"
            f" max {self.late_max} ms), {self.cpu_percent} % of a core"
        )


class Answer(NamedTuple):
    code: int
    release: str


class Connection:
    """One HTTP/1.1 connection, as little of it as counting needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.reusable = True
        self.used = False

    async def exchange(self, request: bytes) -> Answer:
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await self.reader.readexactly(size + 2)
            while await self.reader.readuntil(b"\r\n") != b"\r\n":
                pass
        elif "content-length" in headers:
            await self.reader.readexactly(int(headers["content-length"]))
        else:
            await self.reader.read()
            self.reusable = False
        self.reusable = self.reusable and headers.get("connection", "").lower() != "close"
        return Answer(int(head[0].split()[1]), headers.get("x-release", "none"))

    def close(self) -> None:
        self.writer.close()


def _closed_before(error: Exception) -> bool:
    """Whether the other side had closed the connection, and nothing of an answer has come."""
    return isinstance(error, ConnectionError) or (isinstance(error, asyncio.IncompleteReadError) and not error.partial)


class Sender:
    """Sends what is due and keeps the accounts.

    :param base: ``http://HOST:PORT``
    :param releases: those that may answer; empty means any
    """

    def __init__(
        self, base: str, *, rate: float, mix: str, keep_alive: bool, releases: Iterable[str], timeout: float, new: bool
    ) -> None:
        address = urlsplit(base)
        self.host, self.port = address.hostname or "", address.port or 80
        self.rate, self.kinds, self.keep_alive, self.timeout, self.new = rate, MIXES[mix], keep_alive, timeout, new
        self.allowed = set(releases)
        self.report = Report()
        self.prefix = new_case_id("load")
        self.stopping = asyncio.Event()
        self._idle: list[Connection] = []
        self._times: list[float] = []
        self._lateness: list[float] = []
        self._began = 0.0

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUser-Agent: load\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        if not self.keep_alive:
            head += "Connection: close\r\n"
        return f"{head}\r\n".encode() + data

    def open_case(self, number: int) -> str:
        return f"{self.prefix}-open-{number % OPEN_CASES}"

    def start(self, case: str) -> bytes:
        return self.request("POST", "/api/workflow/start", {**order_body(case), **WAITING})

    def nth(self, number: int) -> tuple[str, bytes]:
        """What the request with this number is, in words and in bytes."""
        kind = self.kinds[number % len(self.kinds)]
        if kind == "health":
            return "GET /health", self.request("GET", "/health")
        if kind == "status":
            return "GET status", self.request("GET", f"/api/workflow/{self.open_case(number)}/status")
        if self.new:
            return "POST start", self.request("POST", "/api/workflow/start", order_body(f"{self.prefix}-{number}"))
        return "POST start", self.start(self.open_case(number))

    async def prepare(self) -> None:
        """Open the orders that requests speak about."""
        for number in range(OPEN_CASES):
            answer = await self.once(self.start(self.open_case(number)))
            if not 200 <= answer.code < 300:
                raise OSError(f"an order to ask for could not be started: the answer was {answer.code}")

    async def clean(self) -> None:
        """End those orders. Best effort: what was measured stands."""
        for number in range(OPEN_CASES):
            path = f"/api/workflow/{self.open_case(number)}/signal/cancel"
            try:
                await self.once(self.request("POST", path, {"by": "load"}))
            except (OSError, EOFError, ValueError) as error:
                print(f"{self.open_case(number)} stays open: {error!r}", file=sys.stderr)

    async def run(self, seconds: float) -> Report:
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        used, self._began = time.process_time(), loop.time()
        while True:
            due = self._began + self.report.sent / self.rate
            if (seconds and self.report.sent / self.rate >= seconds) or await self._stopped_before(due):
                break
            task = loop.create_task(self._count(self.report.sent, due))
            self.report.sent += 1
            running.add(task)
            task.add_done_callback(running.discard)
        self.report.seconds = round(loop.time() - self._began, 1)
        if running:
            await asyncio.wait(running)
        self.report.cpu_percent = round(100 * (time.process_time() - used) / (loop.time() - self._began or 1), 1)
        while self._idle:
            self._idle.pop().close()
        self._summarise()
        return self.report

    async def _stopped_before(self, due: float) -> bool:
        pause = due - asyncio.get_running_loop().time()
        if pause > 0 and not self.stopping.is_set():
            await asyncio.sleep(pause if pause < 1 else 1)
            if pause >= 1:
                return await self._stopped_before(due)
        return self.stopping.is_set()

    async def once(self, request: bytes) -> Answer:
        async with asyncio.timeout(self.timeout):
            while True:
                connection = await self._connection()
                try:
                    answer = await connection.exchange(request)
                    break
                except BaseException as error:
                    connection.close()
                    again = connection.used and request.startswith(b"GET ")
                    if not (again and isinstance(error, Exception) and _closed_before(error)):
                        raise
                    self.report.sent_again += 1
        connection.used = True
        if self.keep_alive and connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():  # the other side said in time that it closed
                return connection
            connection.close()
        return Connection(*await asyncio.open_connection(self.host, self.port))

    async def _count(self, number: int, due: float) -> None:
        loop, report = asyncio.get_running_loop(), self.report
        self._lateness.append(loop.time() - due)
        what, request = self.nth(number)
        try:
            code, release = await self.once(request)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self._failed(due, what, report.transport_errors, type(error).__name__)
        else:
            now = round(loop.time() - self._began, 2)
            report.releases[release] = report.releases.get(release, 0) + 1
            report.release_seconds.setdefault(release, [now, now])[1] = now
            if not 200 <= code < 300:
                self._failed(due, what, report.other_answers, str(code))
            else:
                report.answered_2xx += 1
                if self.allowed and release not in self.allowed:
                    self._failed(due, what, report.wrong_releases, release)
        self._times.append(loop.time() - due)

    def _failed(self, due: float, what: str, account: dict[str, int], kind: str) -> None:
        account[kind] = account.get(kind, 0) + 1
        if len(self.report.failures) < FAILURES_KEPT:
            self.report.failures.append(f"{due - self._began:.2f} s: {what}: {kind}")

    def _summarise(self) -> None:
        times, lateness = sorted(self._times) or [0.0], sorted(self._lateness) or [0.0]

        def at(ordered: Sequence[float], share: float) -> float:
            return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

        self.report.p50, self.report.p99, self.report.max = at(times, 0.5), at(times, 0.99), at(times, 1)
        self.report.late_p99, self.report.late_max = at(lateness, 0.99), at(lateness, 1)
        self.report.late = sum(each > LATE_SECONDS for each in lateness)


WAITING = {"waitForSignal": True, "approvalTimeoutSeconds": 3600}


class Load:
    """The tool as a process of its own, so that nothing in the test makes it late."""

    def __init__(
        self,
        base: str,
        *,
        rate: float = 100,
        mix: str = "mixed",
        keep_alive: bool = True,
        releases: Iterable[str] = (),
        new_orders: bool = False,
        timeout: float = 30,
    ) -> None:
        self._command = [sys.executable, str(Path(__file__).resolve()), base, "--rate", str(rate), "--mix", mix]
        self._command += ["--timeout", str(timeout), "--keep-alive" if keep_alive else "--no-keep-alive"]
        self._command += ["--new-orders"] if new_orders else []
        for release in releases:
            self._command += ["--release", release]
        self.report = Report()

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout
        assert self._process.stderr
        if not self._process.stdout.readline().startswith("running"):
            raise OSError(f"the load did not begin: {self._process.stderr.read()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=120)
        assert self._process.returncode in {0, 1}, err
        self.report = Report(**{key: found for key, found in json.loads(out.splitlines()[-1]).items() if key != "lost"})


async def measure(options: argparse.Namespace) -> Report:
    sender = Sender(
        options.base,
        rate=options.rate,
        mix=options.mix,
        keep_alive=options.keep_alive,
        releases=options.release,
        timeout=options.timeout,
        new=options.new_orders,
    )
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, sender.stopping.set)
    await sender.prepare()
    print(f"running: {options.rate:g} a second, {options.mix}, keep-alive {options.keep_alive}", flush=True)
    report = await sender.run(options.seconds)
    await sender.clean()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description="Requests at a constant rate; counts what was lost.")
    parser.add_argument("base", help="http://HOST:PORT, from outside")
    parser.add_argument("--rate", type=float, default=100, help="requests a second (default 100)")
    parser.add_argument("--seconds", type=float, default=0, help="0, the default: until SIGINT or SIGTERM")
    parser.add_argument("--mix", choices=sorted(MIXES), default="mixed")
    parser.add_argument("--keep-alive", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--release", action="append", default=[], help="a release that may answer; may be repeated")
    parser.add_argument("--new-orders", action="store_true", help="every POST is a new order")
    parser.add_argument("--timeout", type=float, default=30, help="seconds after which a request is lost")
    try:
        report = asyncio.run(measure(parser.parse_args()))
    except (OSError, EOFError, ValueError) as error:
        print(f"cannot begin: {error!r}", file=sys.stderr)
        return 2
    print(report)
    print(json.dumps({**asdict(report), "lost": report.lost}))
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
