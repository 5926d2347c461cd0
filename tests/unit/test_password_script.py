# SPDX-License-Identifier: GPL-3.0-or-later
"""Which password the server is given for a connection, while there are one or two."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "roles" / "temporal" / "files" / "database-password.sh"


class Server:
    """A server that asks; ``uptime`` and ``started`` are in seconds since the machine started."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "secrets").mkdir()
        text = SCRIPT.read_text()
        for there, here in {
            "/run/secrets/temporal": "secrets",
            "/proc/uptime": "uptime",
            "/proc/$PPID/stat": "stat",
        }.items():
            assert there in text
            text = text.replace(there, str(place / here))
        (place / "script").write_text(text)

    def has(self, **passwords: str) -> None:
        for name, value in passwords.items():
            (self.place / "secrets" / name.replace("_", "-")).write_text(value)

    def asks(self, uptime: float, started: float) -> str:
        (self.place / "uptime").write_text(f"{uptime:.2f} 9.99\n")
        fields = ["S", *["1"] * 18, str(round(started * 100)), *["1"] * 30]
        (self.place / "stat").write_text(f"7 (a (server) of) {' '.join(fields)}\n")
        done = subprocess.run(["sh", str(self.place / "script")], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_one_password_is_always_given(server: Server) -> None:
    server.has(database_password="old")
    assert {server.asks(1000 + n / 100, 1) for n in range(4)} == {"old"}


def test_two_take_turns_by_the_clock(server: Server) -> None:
    server.has(database_password="old", database_password_60303c4e="new")
    assert [server.asks(1000 + n / 100, 1) for n in range(4)] == ["old", "new", "old", "new"]


def test_a_server_that_starts_stays_with_one_of_them(server: Server) -> None:
    server.has(database_password="old", database_password_60303c4e="new")
    for started in (1000.00, 1000.01):
        assert len({server.asks(1005 + n / 100, started) for n in range(4)}) == 1
    assert server.asks(1005, 1000.00) != server.asks(1005, 1000.01), "the next start may take the other one"
    assert len({server.asks(1011 + n / 100, 1000) for n in range(4)}) == 2


def test_what_is_being_written_is_no_password(server: Server) -> None:
    server.has(database_password="old")
    (server.place / "secrets" / ".database-password.abc").write_text("half")
    assert {server.asks(1000 + n / 100, 1) for n in range(4)} == {"old"}
