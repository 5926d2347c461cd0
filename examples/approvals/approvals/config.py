# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the environment decides, read once and checked at the start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """The environment is not usable; the message has every problem and what to do."""


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; without any, the system's certificates are trusted."""

    ca: str | None
    certificate: str | None
    key: str | None


@dataclass(frozen=True)
class Versioning:
    """Makes a worker part of a Worker Deployment."""

    deployment_name: str
    build_id: str


@dataclass(frozen=True)
class Config:
    """What the programs of this application need to know."""

    enabled: bool
    address: str
    namespace: str
    task_queue: str
    ui_url: str
    """Where people see workflows, without a slash at its end."""
    api_key: str | None
    tls: Tls | None
    versioning: Versioning | None
    release: str
    data_directory: Path
    log_level: str
    grace_seconds: int
    fail_activity: str | None
    host: str
    port: int
    drain_ms: int
    replay_limit: int


def read_config(environment: Mapping[str, str] | None = None, directory: Path | None = None) -> Config:
    """Reads the configuration; raises :class:`ConfigError` with all that is wrong."""
    environment = os.environ if environment is None else environment
    problems: list[str] = []

    def text(name: str, default: str = "") -> str:
        return environment.get(name, "").strip() or default

    def number(name: str, default: int, low: int, high: int) -> int:
        value = text(name, str(default))
        if re.fullmatch(r"[0-9]{1,9}", value) and low <= int(value) <= high:
            return int(value)
        problems.append(f"{name} is '{value}'; expected a whole number from {low} to {high}")
        return default

    def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
        value = text(name, default).lower()
        if value not in choices:
            problems.append(f"{name} is '{value}'; expected one of {', '.join(choices)}")
        return value

    directory = directory or Path.cwd()
    api_key = text("TEMPORAL_API_KEY") or None
    files = Tls(text("TEMPORAL_TLS_CA") or None, text("TEMPORAL_TLS_CERT") or None, text("TEMPORAL_TLS_KEY") or None)
    # An API key over plain text would give the key away, so with one TLS is on unless it is switched off in words.
    wanted = any((files.ca, files.certificate, files.key, api_key))
    tls = choice("TEMPORAL_TLS", "true" if wanted else "false", ("true", "false")) == "true"
    if bool(files.certificate) != bool(files.key):
        problems.append("TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY must be set together")
    deployment, build = text("TEMPORAL_DEPLOYMENT_NAME"), text("TEMPORAL_BUILD_ID")
    if bool(deployment) != bool(build):
        problems.append("TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_BUILD_ID must be set together")

    config = Config(
        enabled=choice("ENABLE_TEMPORAL", "true", ("true", "false")) == "true",
        address=text("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=text("TEMPORAL_NAMESPACE", "default"),
        task_queue=text("TEMPORAL_TASK_QUEUE", "gloria-workflows"),
        ui_url=text("TEMPORAL_UI_URL", "http://localhost:8233").rstrip("/"),
        api_key=api_key,
        tls=files if tls else None,
        versioning=Versioning(deployment, build) if deployment and build else None,
        release=release_of(directory),
        data_directory=Path(text("APPROVALS_DATA_DIR", str(_data_directory(directory)))),
        log_level=choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        grace_seconds=number("WORKER_GRACE_SECONDS", 20, 0, 3600),
        fail_activity=text("APPROVALS_FAIL_ACTIVITY") or None,
        host=text("HOST", "127.0.0.1"),
        port=number("PORT", 3100, 0, 65535),
        drain_ms=number("DRAIN_MS", 3000, 0, 60_000),
        replay_limit=number("REPLAY_LIMIT", 50, 1, 10_000),
    )
    if not re.fullmatch(r"[^\s:]+:\d+|\[[^\]]+\]:\d+", config.address):
        problems.append(f"TEMPORAL_ADDRESS is '{config.address}'; expected host:port, such as 127.0.0.1:7233")
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", config.ui_url):
        problems.append(f"TEMPORAL_UI_URL is '{config.ui_url}'; expected a URL such as http://localhost:8233")
    if problems:
        raise ConfigError(f"The environment is not usable: {'; '.join(problems)}. Correct it and start again.")
    return config


def release_of(directory: Path) -> str:
    """The release that runs: ``id`` of the file REVISION in the working directory, or ``dev``.

    Not from a variable: the environment belongs to the host and outlives releases.
    """
    try:
        return str(json.loads((directory / "REVISION").read_text())["id"])
    except (FileNotFoundError, NotADirectoryError):
        return "dev"
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{directory}/REVISION is not JSON with the key 'id': {error}") from error


def _data_directory(directory: Path) -> Path:
    """``<root>/shared`` for ``<root>/releases/<id>``: it outlives releases."""
    real = directory.resolve()
    return real.parent.parent / "shared" if real.parent.name == "releases" else real / ".data"
