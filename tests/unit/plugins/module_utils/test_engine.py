# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container engine is taken, left alone or refused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.module_utils import _compose
from ansible_collections.durable.temporal.plugins.module_utils._directories import PENDING, fingerprint
from ansible_collections.durable.temporal.plugins.module_utils._engine import (
    OWN,
    RELEASES,
    SOURCES,
    Engine,
    daemon,
    digests,
    judge,
    look,
    major,
)

ROOT = Path(__file__).resolve().parents[4]
NOTHING = Engine(
    program=False,
    version="",
    compose="",
    package="",
    own=False,
    settings={},
    edited=False,
    containers=[],
    idle=[],
    swarm=False,
)
WANTED = daemon(
    {
        "docker_bind_address": "127.0.0.1",
        "docker_log_max_size": "10m",
        "docker_log_max_files": 3,
        "docker_daemon_options": {"mtu": 1400},
    }
)
THEIRS = digests({"data-root": "/srv/docker", "live-restore": True})


def engine(of: Engine, **other: t.Any) -> Engine:
    return t.cast("Engine", {**of, **other})


DEBIAN = engine(NOTHING, program=True, version="26.1.5+dfsg1", compose="2.26.1-4", package="docker.io")
VENDOR = engine(NOTHING, program=True, version="28.3.0", compose="v2.38.1", package="docker-ce")
PODMAN = engine(NOTHING, program=True, version="28.3.0", compose="v2.38.1", package="podman-docker")
OWN_ENGINE = engine(DEBIAN, own=True, settings=digests(WANTED), containers=["postgres"])


@pytest.mark.parametrize(
    ("source", "there", "release"),
    [
        ("auto", NOTHING, "debian-13"),
        ("auto", NOTHING, "debian-12"),
        ("distribution", NOTHING, "debian-13"),
        ("vendor", NOTHING, "debian-12"),
        ("auto", DEBIAN, "debian-13"),
        ("distribution", DEBIAN, "debian-13"),
        ("auto", engine(VENDOR, own=True), "debian-12"),
        ("vendor", engine(VENDOR, own=True), "debian-13"),
        # What an installation that was cut off leaves.
        ("distribution", engine(NOTHING, program=True), "debian-13"),
        ("distribution", engine(DEBIAN, version="", compose=""), "debian-13"),
        # What is declared is not lost.
        ("distribution", engine(DEBIAN, settings=digests({"mtu": 1400, "live-restore": True})), "debian-13"),
        ("auto", OWN_ENGINE, "debian-13"),
        ("distribution", engine(DEBIAN, idle=["shop_default"]), "debian-13"),
        # Another value of an option is what a run is for; one that was changed on the host to what is declared, too.
        ("auto", engine(OWN_ENGINE, settings=THEIRS), "debian-13"),
        ("auto", engine(OWN_ENGINE, edited=True), "debian-13"),
    ],
)
def test_an_engine_of_that_source_is_installed_and_configured(source: str, there: Engine, release: str) -> None:
    assert judge(source, there, release, WANTED) == (False, "")


@pytest.mark.parametrize(
    ("source", "there", "release"),
    [
        ("none", DEBIAN, "debian-13"),
        ("none", VENDOR, "debian-12"),
        ("none", engine(DEBIAN, package=""), "debian-12"),
        ("auto", VENDOR, "debian-13"),
        ("auto", VENDOR, "debian-12"),
        ("vendor", VENDOR, "debian-12"),
        ("auto", engine(VENDOR, own=True), "debian-13"),
        ("auto", DEBIAN, "debian-12"),
        ("auto", engine(VENDOR, package="moby-engine"), "ubuntu-24.04"),
        ("auto", engine(VENDOR, package=""), "debian-13"),
        ("auto", engine(DEBIAN, settings=THEIRS), "debian-13"),
        ("auto", engine(DEBIAN, settings=None), "debian-13"),
        ("auto", engine(DEBIAN, containers=["shop"]), "debian-13"),
        ("auto", engine(DEBIAN, swarm=True), "debian-13"),
        ("auto", engine(DEBIAN, idle=["shop_default"]), "debian-13"),
    ],
)
def test_somebody_elses_engine_is_used_as_it_is(source: str, there: Engine, release: str) -> None:
    assert judge(source, there, release, WANTED) == (True, "")


@pytest.mark.parametrize(
    ("source", "there", "release", "said"),
    [
        ("none", NOTHING, "debian-13", "the host has no program docker; expected Docker 25 or newer with Compose v2"),
        ("none", engine(DEBIAN, version=""), "debian-13", "no engine answers"),
        ("none", engine(PODMAN, version="5.4.2"), "debian-13", "its program docker is Podman's"),
        ("auto", engine(PODMAN, version=""), "debian-13", "its program docker is Podman's"),
        ("none", engine(DEBIAN, version="20.10.24+dfsg1"), "debian-12", "the engine on the host is 20.10.24+dfsg1"),
        ("none", engine(DEBIAN, compose=""), "debian-12", "`docker compose version` answers nothing"),
        ("none", engine(DEBIAN, compose="1.29.2"), "debian-12", "`docker compose version` answers 1.29.2"),
        ("auto", engine(DEBIAN, version="20.10.24+dfsg1"), "debian-12", "expected 25 or newer"),
        ("auto", engine(VENDOR, version="24.0.7"), "debian-13", "expected 25 or newer"),
        ("auto", engine(VENDOR, version=""), "debian-13", "no engine answers"),
        ("auto", engine(VENDOR, compose=""), "debian-13", "remove it"),
        ("distribution", engine(DEBIAN, version="24.0.5"), "ubuntu-22.04", "Upgrade its packages."),
        ("distribution", VENDOR, "debian-13", "an engine from elsewhere (package docker-ce, version 28.3.0)"),
        ("distribution", engine(VENDOR, version=""), "debian-13", "an engine from elsewhere (package docker-ce)"),
        ("vendor", DEBIAN, "debian-13", "an engine from elsewhere (package docker.io, version 26.1.5+dfsg1)"),
        (
            "distribution",
            engine(DEBIAN, settings=THEIRS),
            "debian-13",
            "/etc/docker/daemon.json has data-root. Expected",
        ),
        ("distribution", engine(DEBIAN, settings=None), "debian-13", "has something that is no JSON"),
        (
            "distribution",
            engine(DEBIAN, containers=["shop"], swarm=True),
            "debian-13",
            "(shop), it is part of a swarm.",
        ),
        ("auto", engine(DEBIAN, settings=THEIRS, version=""), "debian-13", "no engine answers"),
        ("auto", engine(OWN_ENGINE, settings=THEIRS, edited=True), "debian-13", "it has data-root of its own"),
        ("vendor", engine(DEBIAN, package=""), "debian-13", "(of no package that is known, version 26.1.5+dfsg1)"),
    ],
)
def test_what_will_not_do_is_refused_with_the_variable(source: str, there: Engine, release: str, said: str) -> None:
    _as_it_is, reason = judge(source, there, release, WANTED)
    assert said in reason
    assert reason.startswith(f"docker_source is {source}")
    assert reason.endswith(".")


def test_the_engine_is_seen_as_docker_and_dpkg_tell_it(tmp_path: Path) -> None:
    answers = {
        "version": (0, "26.1.5+dfsg1\n", ""),
        "compose": (0, "2.26.1-4\n", ""),
        "ps": (0, "shop\nmail\n", ""),
        "network": (0, "shop_default\n", ""),
        "info": (0, "active\n", ""),
    }
    dpkg = "docker.io\tamd64\tconfig-files\t26\t\ndocker-ce\tamd64\tinstalled\t5:28\t\n"
    stamp, settings = tmp_path / "stamp", tmp_path / "daemon.json"
    places = ([str(stamp)], str(settings))
    settings.write_text('{"mtu": 1400}')
    stamp.write_text(fingerprint({str(settings): '{"mtu": 1400}'}) + "\n")

    def seen() -> Engine:
        return look(lambda command: answers[command[1]], "/usr/bin/docker", dpkg, *places)

    whole = engine(
        NOTHING,
        program=True,
        version="26.1.5+dfsg1",
        compose="2.26.1-4",
        package="docker-ce",
        own=True,
        settings=digests({"mtu": 1400}),
        containers=["mail", "shop"],
        idle=["mail", "shop", "shop_default"],
        swarm=True,
    )
    assert seen() == whole
    settings.write_text('{"mtu": 1500}')
    assert seen() == engine(whole, settings=digests({"mtu": 1500}), edited=True)
    # An interrupted run of ours, and files that nobody can read.
    stamp.write_text(f"{PENDING}\n")
    settings.write_text("{")
    assert seen() == engine(whole, settings=None)
    nowhere = ([str(tmp_path / "no")], str(tmp_path / "no"))
    assert look(lambda _command: (1, "half", "no"), "/usr/bin/docker", "", *nowhere) == engine(NOTHING, program=True)
    assert look(lambda command: answers[command[1]], None, "", *nowhere) == NOTHING


def test_versions_are_read_as_they_are_written() -> None:
    assert [major(v) for v in ("26.1.5+dfsg1", "v2.38.1", "", "dev")] == [26, 2, 0, 0]


def test_the_role_and_the_judgement_know_the_same() -> None:
    role = ROOT / "roles" / "docker"
    variables = yaml.safe_load((role / "vars" / "main.yml").read_text())
    assert tuple(variables["__docker_distribution_packages"]) == RELEASES
    packages = {"distribution": variables["__docker_distribution_packages"]["debian-13"]}
    packages["vendor"] = variables["__docker_vendor_packages"]
    assert all(package in packages[source] for package, source in SOURCES.items() if source)
    written = "".join(path.read_text() for path in (role / "tasks").glob("*.yml"))
    assert OWN[0] in written
    assert Path(OWN[1]).stem in written


def test_compose_says_that_the_engine_is_too_old() -> None:
    error = "can't set healthcheck.start_interval as feature require Docker Engine v25 or later"
    assert "older than 25" in _compose.explain(error)
