# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of a host: what is there, whose it is, and whether it will do.

Private to this collection. One judgement for the role docker and for preflight.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._directories import PENDING, fingerprint
from ansible_collections.durable.temporal.plugins.module_utils._probe import read

# From this release on a health check may have a start_interval, which our Compose files use.
OLDEST: t.Final = 25
# What the role writes when it has configured an engine of its own, and the vendor's repository before that.
OWN: t.Final = ("/var/lib/durable-temporal/docker", "/etc/apt/sources.list.d/durable-temporal-docker.sources")
# Releases whose own packages have Compose v2, as the role docker names them. Debian 12 has v1.
RELEASES: t.Final = ("debian-13", "ubuntu-22.04", "ubuntu-24.04")
# Package of the engine → the source that has it. Others are of neither.
SOURCES: t.Final = {"docker.io": "distribution", "docker-ce": "vendor", "moby-engine": "", "podman-docker": ""}

# The engine's settings. JSON has no room for a line that says whose they are.
SETTINGS: t.Final = "/etc/docker/daemon.json"

# Options of the role docker that decide about them.
OPTIONS: t.Final = ("docker_bind_address", "docker_log_max_size", "docker_log_max_files", "docker_daemon_options")

Run = t.Callable[[list[str]], tuple[int, str, str]]


class Engine(t.TypedDict):
    """What a host has. ``version`` and ``compose`` are empty when nothing answers, ``package`` when dpkg knows of none.

    ``settings`` are those of :data:`SETTINGS`, name to digest of the value, which may be a secret; ``None`` when it has no
    JSON. ``edited`` says that they are not as we have left them, ``containers`` are the names of those that run, ``idle`` those
    of stopped ones and of networks that somebody has made.
    """

    program: bool
    version: str
    compose: str
    package: str
    own: bool
    settings: dict[str, str] | None
    edited: bool
    containers: list[str]
    idle: list[str]
    swarm: bool


def daemon(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What :data:`SETTINGS` is to be.

    :param options: at least :data:`OPTIONS`, by name.
    """
    return {
        "ip": options["docker_bind_address"],
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": options["docker_log_max_size"], "max-file": str(options["docker_log_max_files"])},
        **options["docker_daemon_options"],
    }


_NAMES = ("--format", "{{.Names}}")


def look(run: Run, program: str | None, dpkg: str, own: t.Sequence[str] = OWN, settings: str = SETTINGS) -> Engine:
    """Look at the engine of this host.

    :param run: runs a command; returns code, output, error.
    :param program: path of ``docker``, if there is one.
    :param dpkg: what ``_packages.listed`` returned.
    :param own: files that only we write, the first of them the stamp of the settings.
    """
    installed = {fields[0] for line in dpkg.splitlines() if (fields := line.split("\t"))[2:3] == ["installed"]}

    def answer(*arguments: str) -> str:
        code, out, _error = run([program, *arguments]) if program else (1, "", "")
        return out.strip() if code == 0 else ""

    content, stamp = read(settings), read(own[0])
    return Engine(
        program=program is not None,
        version=answer("version", "--format", "{{.Server.Version}}"),
        compose=answer("compose", "version", "--short"),
        package=next((name for name in SOURCES if name in installed), ""),
        own=any(os.path.exists(path) for path in own),
        settings=_parsed(content),
        edited=stamp.strip() not in ("", PENDING, fingerprint({settings: content})),
        containers=sorted(answer("ps", *_NAMES).split()),
        idle=sorted(
            [
                *answer("ps", "--all", "--filter", "status=exited", "--filter", "status=created", *_NAMES).split(),
                *answer("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}").split(),
            ]
        ),
        swarm=answer("info", "--format", "{{.Swarm.LocalNodeState}}") not in ("", "inactive"),
    )


def _parsed(content: str) -> dict[str, str] | None:
    try:
        found = json.loads(content or "{}")
    except ValueError:
        return None
    return digests(found) if isinstance(found, dict) else None


def digests(settings: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Name to digest of the value."""
    return {k: hashlib.sha256(json.dumps(v, sort_keys=True).encode()).hexdigest() for k, v in settings.items()}


def major(version: str) -> int:
    """``26`` of ``26.1.5+dfsg1``; 0 when there is none."""
    match = re.match(r"v?(\d+)", version)
    return int(match[1]) if match else 0


def judge(source: str, engine: Engine, release: str, wanted_settings: t.Mapping[str, t.Any]) -> tuple[bool, str]:
    """Whether the engine is used as it is, and why that does not work: a sentence, or nothing.

    :param source: the option ``docker_source``. An engine that is somebody else's is never replaced by another one.
    :param release: of the host, such as ``debian-13``.
    :param wanted_settings: what :func:`daemon` makes of the options.
    """
    if source == "none":
        return True, _fits(engine, "docker_source is none", "set docker_source to distribution or vendor")
    if not (engine["package"] or engine["version"]):
        return False, ""
    wanted = source if source != "auto" else "distribution" if release in RELEASES else "vendor"
    same = SOURCES.get(engine["package"]) == wanted
    found = f"docker_source is {source}, and the engine on the host ({_shown(engine)}) is somebody else's"
    # Ours, or what an interrupted run of ours may have left: the repository of the vendor is written before its packages.
    if same and (engine["own"] or wanted == "distribution"):
        if engine["version"] and major(engine["version"]) < OLDEST:
            return False, f"docker_source is {source}, and {_too_old(engine, 'upgrade its packages')}"
        differing = _differing(engine, wanted_settings)
        if engine["own"]:
            return False, _edited(source, differing) if engine["edited"] else ""
        theirs = _theirs(engine, differing)
        # Whoever names the source takes over what stands still; by itself that is left to those who have made it.
        if source != "auto" or not (theirs or engine["idle"]):
            return False, f"{found}: {theirs}. {_TAKE}" if theirs else ""
        return True, _fits(engine, found, "remove it")
    if source == "distribution" or (source == "vendor" and not same):
        return False, (
            f"docker_source is {source}, and the host has an engine from elsewhere ({_shown(engine)}); expected none, "
            "because installing one would remove it. Set docker_source to none to use it as it is, or remove it."
        )
    return True, _fits(engine, found, "remove it")


_TAKE = (
    "Expected an engine without settings, containers and swarm of others, because it is configured and restarted. Set "
    "docker_source to none to use it as it is; or declare its settings in docker_daemon_options, and stop its containers."
)


def _differing(engine: Engine, wanted: t.Mapping[str, t.Any]) -> list[str]:
    """Names of the settings on the host that would be lost or replaced."""
    if engine["settings"] is None:
        return ["something that is no JSON"]
    return sorted(name for name, _digest in engine["settings"].items() - digests(wanted).items())


def _edited(source: str, differing: t.Sequence[str]) -> str:
    if not differing:
        return ""
    return (
        f"docker_source is {source}, and {SETTINGS} was changed on the host: it has {', '.join(differing)} of its own; "
        "expected what docker_daemon_options and the other options of the role docker say. Declare that in "
        "docker_daemon_options, or take it out of the file."
    )


def _theirs(engine: Engine, differing: t.Sequence[str]) -> str:
    """What an engine that we have not configured would lose; nothing when there is nothing."""
    parts = [f"{SETTINGS} has {', '.join(differing)}"] if differing else []
    if engine["containers"]:
        parts.append(f"containers run ({', '.join(engine['containers'])})")
    if engine["swarm"]:
        parts.append("it is part of a swarm")
    return ", ".join(parts)


def _shown(engine: Engine) -> str:
    package = f"package {engine['package']}" if engine["package"] else "of no package that is known"
    return f"{package}, version {engine['version']}" if engine["version"] else package


def _too_old(engine: Engine, remedy: str) -> str:
    return (
        f"the engine on the host is {engine['version']}; expected {OLDEST} or newer, which knows start_interval of health "
        f"checks. {remedy[0].upper()}{remedy[1:]}."
    )


def _fits(engine: Engine, why: str, otherwise: str) -> str:
    """What keeps an engine from being used as it is; nothing when it will do."""
    wanted = f"Docker {OLDEST} or newer with Compose v2"
    if engine["package"] == "podman-docker":
        return (
            f"{why}, and its program docker is Podman's; expected {wanted}. Install that in its place, or {otherwise}."
        )
    if not engine["program"]:
        return f"{why}, and the host has no program docker; expected {wanted}. Install it, or {otherwise}."
    if not engine["version"]:
        return f"{why}, and no engine answers to `docker version`; expected {wanted}. Start it, or {otherwise}."
    if major(engine["version"]) < OLDEST:
        return f"{why}, and {_too_old(engine, f'upgrade it, or {otherwise}')}"
    if major(engine["compose"]) < 2:
        found = engine["compose"] or "nothing"
        return (
            f"{why}, and `docker compose version` answers {found}; expected Compose v2 or newer. Install its plugin, "
            f"or {otherwise}."
        )
    return ""
