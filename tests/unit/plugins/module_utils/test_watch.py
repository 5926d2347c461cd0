# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a healthy answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._watch import health, tried_and_refused


class Answers(BaseHTTPRequestHandler):
    code, body = 200, ""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/login" else self.code)
        if 300 <= self.code < 400:
            self.send_header("Location", "/login")
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/health"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (200, "", True),
        (200, "all is well", True),
        (200, '{"status": "healthy"}', True),
        (200, '{"status": "ok", "info": {}}', True),
        (200, '{"status": "UP"}', True),
        (200, '{"status": 200}', True),
        (200, '{"temporal": "connected"}', True),
        (200, '["ok"]', True),
        (200, '{"status": "starting"}', False),
        (200, '{"status": "DOWN"}', False),
        (200, '{"status": "error"}', False),
        (200, '{"status": ""}', False),
        (503, '{"status": "ok"}', False),
        (404, "", False),
        # To a login, which would answer 200.
        (302, "", False),
    ],
)
def test_answers(monkeypatch: pytest.MonkeyPatch, url: str, code: int, body: str, expected: bool) -> None:
    monkeypatch.setattr(Answers, "code", code)
    monkeypatch.setattr(Answers, "body", body)
    found, said = health(url)
    assert found == expected
    assert said.startswith(str(code))


def test_a_status_that_is_not_known_says_which_are(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(Answers, "body", '{"status": "fine"}')
    assert "its status is none of healthy, ok, up" in health(url)[1]


def test_no_answer() -> None:
    assert health("http://127.0.0.1:1/health") == (False, "[Errno 111] Connection refused")


@pytest.mark.parametrize(
    "said", ["Error: listen EADDRINUSE: address already in use 127.0.0.1:4100", "OSError: Address already in use"]
)
def test_a_candidate_that_finds_its_port_taken_is_told_what_to_do(said: str) -> None:
    text = tried_and_refused("r2", ValueError("api is stopped"), f"\nLast lines of x:\n  {said}")
    assert text.startswith(
        "release r2 was tried beside the live one and refused: api is stopped. It listens on a port that is"
    )
    assert "set candidate: false." in text
    assert text.endswith(said)
    assert tried_and_refused("r2", ValueError("x"), "") == "release r2 was tried beside the live one and refused: x."
