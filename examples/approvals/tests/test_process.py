# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from approvals.config import ConfigError, Tls, Versioning, read_config
from approvals.ledger import Attempt, Ledger
from approvals.process import notify, words


def test_the_release_and_its_shared_directory_are_told_by_the_working_directory(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "r7"
    release.mkdir(parents=True)
    instance = tmp_path / "instances"
    instance.symlink_to(release)
    assert read_config({}, instance).release == "dev"
    (release / "REVISION").write_text('{"id": "r7"}')
    config = read_config({}, instance)
    assert (config.release, config.data_directory) == ("r7", tmp_path / "shared")
    (release / "REVISION").write_text("r7")
    with pytest.raises(ConfigError, match="not JSON"):
        read_config({}, instance)


def test_a_key_or_a_certificate_is_never_sent_over_plain_text_unasked(tmp_path: Path) -> None:
    assert read_config({}, tmp_path).tls is None
    assert read_config({"TEMPORAL_API_KEY": "k"}, tmp_path).tls == Tls(None, None, None)
    files = {"TEMPORAL_TLS_CERT": "c.pem", "TEMPORAL_TLS_KEY": "k.pem"}
    assert read_config(files, tmp_path).tls == Tls(None, "c.pem", "k.pem")
    assert read_config({**files, "TEMPORAL_TLS": "false"}, tmp_path).tls is None


def test_every_mistake_in_the_environment_is_told(tmp_path: Path) -> None:
    wrong = {
        "TEMPORAL_ADDRESS": "db1",
        "PORT": "http",
        "ENABLE_TEMPORAL": "maybe",
        "TEMPORAL_BUILD_ID": "b",
        "TEMPORAL_TLS_KEY": "k.pem",
    }
    with pytest.raises(ConfigError) as error:
        read_config(wrong, tmp_path)
    for name in wrong:
        assert name in str(error.value)
    versioned = {"TEMPORAL_DEPLOYMENT_NAME": "approvals", "TEMPORAL_BUILD_ID": "b"}
    assert read_config(versioned, tmp_path).versioning == Versioning("approvals", "b")


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"@approvals-test-{tmp_path.name}-{id(tmp_path)}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path.replace("@", "\0", 1) if abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify(READY="1", STATUS="polling")
        assert systemd.recv(100) == b"READY=1\nSTATUS=polling"
    assert not notify(READY="1")  # nobody is there any more, which is no reason to fail
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify(READY="1")


def test_an_error_is_told_with_its_causes() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert words(error) == "ValueError: outer <- KeyError: 'inner'"


def test_a_step_is_written_once_and_every_attempt_is_seen(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shared")
    ledger.open()
    ledger.open()
    first, second, third = (Attempt("audit", "w", "asked-1", "run", number, "r1") for number in (1, 2, 3))
    ledger.failed(first)
    assert ledger.write(second, "bob", "please decide")
    assert not ledger.write(third, "bob", "please decide")
    assert ledger.write(Attempt("audit", "v", "asked-1", "run", 1, "r1"), "bob", "please decide")
    (row,) = ledger.report("w")
    assert (row["attempts"], row["failed"], row["repeated"], row["recipient"]) == (3, 1, 1, "bob")
    assert len(ledger.report()) == 2
