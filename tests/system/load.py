# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests at a constant rate, while something happens to the platform; counts what was lost.

All of them start orders: nobody may repeat a POST, so a request that is dropped anywhere shows. The rate does not
wait for answers, as customers do not.

    with Load("http://127.0.0.1:8000", rate=40) as load:
        ...  # deploy, restart, reload
    assert load.lost == 0, load.report()
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from api import new_case_id, order_body


class Load:
    """
    :param rate: requests a second
    :param clients: connections that are kept alive and used again; the rate holds while one of them is free
    """

    def __init__(self, base: str, rate: float = 20, clients: int = 32) -> None:
        self.base = urlsplit(base)
        self.rate = rate
        self.answers: Counter[str] = Counter()  # "202", or what went wrong
        self.releases: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._next = 0
        self._prefix = new_case_id("load")
        self._began = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def sent(self) -> int:
        return sum(self.answers.values())

    @property
    def lost(self) -> int:
        return self.sent - self.answers["202"]

    def report(self) -> dict[str, Any]:
        ordered = sorted(self.seconds) or [0.0]
        return {
            "sent": self.sent,
            "lost": self.lost,
            "answers": dict(self.answers),
            "releases": dict(self.releases),
            "p50_seconds": round(ordered[len(ordered) // 2], 3),
            "p99_seconds": round(ordered[int(len(ordered) * 0.99)], 3),
        }

    def _client(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            with self._lock:
                number, self._next = self._next, self._next + 1
            if self._ended.wait(max(0.0, self._began + number / self.rate - time.monotonic())):
                break
            began = time.monotonic()
            connection = connection or http.client.HTTPConnection(self.base.hostname or "", self.base.port, timeout=30)
            try:
                body = json.dumps(order_body(f"{self._prefix}-{number}"))
                connection.request("POST", "/api/workflow/start", body, {"content-type": "application/json"})
                response = connection.getresponse()
                response.read()
                answer, release = str(response.status), response.headers.get("x-release", "none")
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                answer, release = type(error).__name__, "none"
                if connection:
                    connection.close()
                connection = None
            with self._lock:
                self.answers[answer] += 1
                self.releases[release] += 1
                self.seconds.append(time.monotonic() - began)
        if connection:
            connection.close()


def main() -> None:
    """``load.py URL RATE SECONDS``: prints the report, exits 1 when something was lost."""
    base, rate, seconds = sys.argv[1:4]
    with Load(base, float(rate)) as load:
        time.sleep(float(seconds))
    print(json.dumps(load.report()))
    sys.exit(1 if load.lost else 0)


if __name__ == "__main__":
    main()
