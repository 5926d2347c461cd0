# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options, and connections that cannot be made, with the real SDK."""

from __future__ import annotations

import socket
import typing as t
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._client import Settings, Temporal, pem
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError

PLAIN = {"address": "127.0.0.1:7233", "timeout_seconds": 2.0}


def settings(**options: t.Any) -> Settings:
    return Settings.from_params({**PLAIN, **options})


@pytest.mark.parametrize(
    "address", ["127.0.0.1:7233", "temporal.example.com:443", "[::1]:7233", "temporal-server:7233"]
)
def test_addresses(address: str) -> None:
    assert settings(address=address).address == address


@pytest.mark.parametrize("address", ["", "127.0.0.1", "http://x:7233", "x:port", "x:7233/ui", ":7233", "a b:1"])
def test_wrong_addresses_are_named(address: str) -> None:
    with pytest.raises(TemporalError, match="expected host:port such as") as error:
        settings(address=address)
    assert error.value.kind == "option"


@pytest.mark.parametrize(
    ("options", "tls"),
    [
        ({}, False),
        ({"tls": True}, True),
        ({"tls_ca_file": "/ca.pem"}, True),
        ({"tls_ca_data": "PEM"}, True),
        ({"tls_server_name": "x"}, True),
        ({"api_key": "k"}, True),
        ({"api_key": "k", "tls": False}, False),
    ],
)
def test_tls_follows_from_the_other_options(options: dict[str, t.Any], tls: bool) -> None:
    assert settings(**options).tls is tls


def test_contradictions_are_named() -> None:
    with pytest.raises(TemporalError, match="tls is off, but tls_ca_file is set"):
        settings(tls=False, tls_ca_file="/ca.pem")
    with pytest.raises(TemporalError, match="timeout_seconds is 0: expected more"):
        settings(timeout_seconds=0)


def test_the_timeout_is_a_duration() -> None:
    assert settings(timeout_seconds=1.5).timeout == timedelta(seconds=1.5)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_nothing_listens(closed_port: int) -> None:
    with pytest.raises(TemporalError, match="nothing listens there") as error:
        Temporal(settings(address=f"127.0.0.1:{closed_port}"))
    assert error.value.kind == "unreachable"


def test_a_server_that_says_nothing_runs_into_the_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(TemporalError, match="Temporal at 127") as error:
            Temporal(settings(address=f"127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.2))
    assert error.value.kind == "deadline"


def test_a_certificate_is_a_file_or_text(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("from the file")
    given = settings(tls_ca_file=str(tmp_path / "ca.pem"), tls_cert_data="from the option", tls_key_data="")
    assert [pem(option, given) for option in ("tls_ca", "tls_cert", "tls_key")] == [
        b"from the file",
        b"from the option",
        None,
    ]


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemporalError, match=r"tls_ca_file is .*missing.pem: No such file") as error:
        Temporal(settings(tls_ca_file=str(tmp_path / "missing.pem")))
    assert error.value.kind == "option"
