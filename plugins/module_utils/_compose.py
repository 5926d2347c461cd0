# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one Compose project of several fragments should be, and what to do when it is not. Pure, apart from digests.

Private to this collection. The words: a *fragment* is one Compose file of the project; its *inputs* are the files that
define containers (the fragment and its env files); *config files* are mounted into containers, which read them at
start. The *record* is what was applied last, whether or not the containers became healthy with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

# Compose merges in this order; files that it does not name follow, sorted.
FRAGMENT_ORDER = ("postgres.yaml", "temporal.yaml", "temporal-ui.yaml")

ABSENT = "absent"

_PS_FIELDS = (
    "{{.ID}}",
    "{{.Names}}",
    "{{.State}}",
    "{{.Status}}",
    "{{.Image}}",
    '{{.Label "com.docker.compose.service"}}',
    '{{.Label "com.docker.compose.config-hash"}}',
    '{{.Label "com.docker.compose.oneoff"}}',
)
PS_FORMAT = "\t".join(_PS_FIELDS)
INSPECT_FORMAT = '{"id":{{json .Id}},"name":{{json .Name}},"restarts":{{.RestartCount}},"state":{{json .State}}}'

_HEALTH = re.compile(r"\((healthy|unhealthy|health: starting)\)")
# A container that crashed this often since the wait began does not recover by itself: Docker's pauses between attempts
# (0.1, 0.2, 0.4, ... seconds) add up to about 3 seconds by then.
CRASHES_ALLOWED = 5

Action = t.Literal["up", "restart", "wait", "remove"]


@dataclass(frozen=True)
class Container:
    """One container of the project. ``health`` is ``""`` without a health check, else as Docker names it."""

    id: str
    name: str
    service: str
    state: str
    health: str
    image: str
    config_hash: str
    status: str = ""

    @property
    def serving(self) -> bool:
        return self.state == "running" and self.health in ("", "healthy")

    def describe(self) -> str:
        """``running``, ``running, unhealthy``, ``exited``, ..."""
        return f"{self.state}, {self.health}" if self.health else self.state


def parse_containers(output: str) -> dict[str, list[Container]]:
    """Containers by service from ``docker ps --format PS_FORMAT``; without those of ``compose run``."""
    found: dict[str, list[Container]] = {}
    for line in output.splitlines():
        if not line.strip():
            continue
        identity, name, state, status, image, service, config_hash, oneoff = line.split("\t")
        if oneoff.lower() == "true":
            continue
        health = _HEALTH.search(status)
        word = health.group(1).removeprefix("health: ") if health else ""
        found.setdefault(service, []).append(
            Container(identity, name, service, state, word, image, config_hash, status)
        )
    return found


def ordered_fragments(names: t.Iterable[str]) -> list[str]:
    """The project's files in the order of ``COMPOSE_FILE``: known names first, the others sorted."""
    unique = set(names)
    known = [name for name in FRAGMENT_ORDER if name in unique]
    return known + sorted(unique - set(known))


def fragments_in(directory: Path) -> list[str]:
    """Names of the YAML files that lie directly in the project directory."""
    if not directory.is_dir():
        return []
    return [
        entry.name
        for entry in directory.iterdir()
        if entry.suffix in (".yaml", ".yml") and not entry.name.startswith(".") and entry.is_file()
    ]


def env_text(present: str, wanted: t.Mapping[str, str]) -> str:
    """The text of ``.env`` with the wanted keys set. Lines with other keys stay as the operator wrote them."""
    rest = dict(wanted)
    lines: list[str] = []
    for line in present.splitlines():
        key = line.partition("=")[0].strip()
        if key in rest:
            lines.append(f"{key}={rest.pop(key)}")
        elif key not in wanted:
            lines.append(line)
    lines.extend(f"{key}={value}" for key, value in rest.items())
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents below a directory; ``absent`` when there is nothing."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not path.is_dir():
        return ABSENT
    total = hashlib.sha256()
    for entry in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{entry.relative_to(path)}\0{digest(entry)}\n".encode())
    return total.hexdigest()


def digest_text(text: str) -> str:
    """The digest that a file with this text has."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Record:
    """What was applied of one fragment last.

    ``inputs`` and ``config`` map paths to digests; ``services`` maps a service to ``{"config_hash", "image"}`` of its
    container. What is missing from it is to be applied again.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    services: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: t.Any) -> Record:
        """From the state file; anything unexpected counts as never recorded, which costs one ``up``."""
        if not isinstance(data, dict) or not all(
            isinstance(data.get(k), dict) for k in ("inputs", "config", "services")
        ):
            return cls()
        return cls(dict(data["inputs"]), dict(data["config"]), dict(data["services"]))

    def without_changes(self, inputs: t.Mapping[str, str], config: t.Mapping[str, str]) -> Record:
        """What is still true while these are being applied: after an interruption, all that differs is applied again."""
        return Record(
            {path: now for path, now in self.inputs.items() if inputs.get(path) == now},
            {path: now for path, now in self.config.items() if config.get(path) == now},
            dict(self.services),
        )

    def as_json(self) -> dict[str, t.Any]:
        return {"inputs": self.inputs, "config": self.config, "services": self.services}


@dataclass(frozen=True)
class Step:
    """What one service needs, and why. ``before`` describes its container now.

    ``reread`` says for ``up`` that a mounted file has changed, too: a container that is not made anew must restart.
    """

    service: str
    action: Action
    why: tuple[str, ...]
    before: str
    reread: bool = False


def changed_paths(wanted: t.Mapping[str, str], recorded: t.Mapping[str, str]) -> list[str]:
    """Paths whose digest is not the recorded one, and recorded paths that no longer count."""
    return sorted(path for path in {*wanted, *recorded} if wanted.get(path) != recorded.get(path))


def decide(
    services: t.Sequence[str],
    containers: t.Mapping[str, t.Sequence[Container]],
    inputs: t.Mapping[str, str],
    config: t.Mapping[str, tuple[str, t.Collection[str]]],
    record: Record,
    restart: bool = False,
) -> list[Step]:
    """The steps that make the services what they should be, in the order given; a service without a step is right.

    :param services: services of the fragment.
    :param containers: what exists in the project.
    :param inputs: path to digest of everything that defines the containers.
    :param config: path to (digest, services that must restart when it changes).
    :param record: what was applied last.
    :param restart: the caller wants a restart of all services in any case.
    """
    edited = changed_paths(inputs, record.inputs)
    steps: list[Step] = []
    for service in services:
        present = list(containers.get(service, ()))
        before = ", ".join(c.describe() for c in present) or ABSENT
        up = _up_reasons(service, present, record, edited)
        again = [
            f"{path} changed"
            for path, (now, readers) in config.items()
            if service in readers and record.config.get(path) != now
        ]
        if up:
            steps.append(Step(service, "up", tuple(up), before, bool(again)))
            continue
        container = present[0]
        if container.health == "unhealthy" or container.state == "restarting":
            again.append(f"it is {container.describe()}")
        if restart:
            again.append("a restart was asked for")
        if again:
            steps.append(Step(service, "restart", tuple(again), before))
        elif not container.serving:
            steps.append(Step(service, "wait", (f"it is {container.describe()}",), before))
    for service in sorted(set(record.services) - set(services)):
        if containers.get(service):
            steps.append(Step(service, "remove", ("the fragment has it no more",), containers[service][0].describe()))
    return steps


def _up_reasons(service: str, present: t.Sequence[Container], record: Record, edited: t.Sequence[str]) -> list[str]:
    """Why ``up`` must run for one service; empty when its container is the recorded one and runs."""
    if not present:
        return ["it does not exist"]
    if len(present) > 1:
        return ["an earlier run was interrupted: it has " + " and ".join(c.name for c in present)]
    container = present[0]
    why = [f"{path} changed" for path in edited]
    if container.state not in ("running", "restarting"):
        why.append(f"it is {container.describe()}")
    known = record.services.get(service)
    if not known and not edited:
        why.append("an earlier run did not come to it")
    if known and not edited:
        if known.get("config_hash") != container.config_hash:
            why.append("its container was made from another definition")
        if known.get("image") != container.image:
            why.append("its image was replaced")
    return why


@dataclass(frozen=True)
class Progress:
    """One container while it is awaited: ``verdict`` is ``ready``, ``waiting`` or ``failed``."""

    name: str
    verdict: t.Literal["ready", "waiting", "failed"]
    found: str
    probe: str = ""


def judge(inspected: t.Mapping[str, t.Any], crashes_before: int = 0) -> Progress:
    """Judge one element of ``docker inspect --format INSPECT_FORMAT``.

    :param crashes_before: restarts by the policy that were counted before the wait began.
    """
    state = inspected["state"]
    name = str(inspected["name"]).lstrip("/")
    health = state.get("Health") or {}
    status = str(state.get("Status"))
    crashes = int(inspected["restarts"]) - crashes_before
    log = health.get("Log") or []
    probe = str(log[-1].get("Output", "")).strip() if log else ""
    found = status
    if status != "running":
        found += f" (exit code {state.get('ExitCode')})"
    elif health:
        found += f", {health.get('Status')}"
    if crashes > 0:
        found += f", restarted {crashes} times"
    if state.get("OOMKilled"):
        found += ", killed because its memory limit was reached"
    if state.get("Error"):
        found += f", {state['Error']}"
    if status == "running" and health.get("Status", "healthy") in ("healthy", "none", ""):
        return Progress(name, "ready", found)
    if status in ("exited", "dead", "created") or crashes >= CRASHES_ALLOWED:
        return Progress(name, "failed", found, probe)
    return Progress(name, "waiting", found, probe)


_TROUBLE = re.compile(r"\b(error|fatal|panic)\b", re.IGNORECASE)
# What a person needs of a line in JSON, as the Temporal server writes it.
_LEVELS, _WORDS = ("error", "fatal", "panic", "dpanic"), ("msg", "error")


def telling(*logs: str, lines: int = 5) -> str:
    """The last lines of a container's logs that speak of an error, each once; the last lines of all when none does.

    :param logs: standard output and standard error. Their order is not known, so that each has its last lines.
    """
    errors: list[str] = []
    for log in logs:
        found: dict[str, None] = {}
        for text in filter(None, (_trouble(line.strip()) for line in log.splitlines())):
            found.pop(text, None)
            found[text] = None
        errors += [*found][-lines:]
    return "\n".join(errors or [line for log in logs for line in log.splitlines() if line.strip()][-lines:])


def _trouble(line: str) -> str:
    """What a line says of an error; empty when it speaks of none."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return line if _TROUBLE.search(line) else ""
    if str(entry.get("level")).lower() not in _LEVELS:
        return ""
    return ": ".join(dict.fromkeys(str(entry[word]) for word in _WORDS if entry.get(word))) or line


_PORT = re.compile(
    r"(?P<address>[\d.]+|\[[0-9a-f:]*\]):(?P<port>\d+)(?=[^\n]*(?:address already in use|port is already allocated))"
)
_PORT_LATE = re.compile(r"Bind for (?P<address>\S+):(?P<port>\d+) failed")
_NAME = re.compile(r"container name \"/?(?P<name>[^\"]+)\" is already in use")
_IMAGE = re.compile(r"No such image: (?P<image>\S+)|(?:pull access denied for|manifest for) (?P<pull>[^\s,]+)")


def taken_port(error: str) -> tuple[str, int] | None:
    """Address and port from Docker's message about a port that something else holds."""
    match = _PORT_LATE.search(error) or _PORT.search(error)
    return (match["address"], int(match["port"])) if match else None


def explain(error: str, holder: str = "") -> str:
    """A sentence with the next step for the known ways in which ``docker`` fails; else the last lines of its words.

    :param error: standard error of the command.
    :param holder: who listens on the port, when the caller could find out.
    """
    port = taken_port(error)
    if port:
        who = f" by {holder}" if holder else ""
        return (
            f"{port[0]}:{port[1]} is already taken{who}; it was expected to be free for this service. "
            f"Stop what listens there (ss -ltnp 'sport = :{port[1]}'), or choose another port."
        )
    name = _NAME.search(error)
    if name:
        return (
            f"A container named {name['name']} already exists and does not belong to this project, so it was left "
            f"alone. Remove or rename it (docker inspect {name['name']}), or choose another container name."
        )
    image = _IMAGE.search(error)
    if image:
        wanted = (image["image"] or image["pull"]).rstrip(",;")
        return (
            f"The image {wanted} is not on this host and could not be pulled. Load it, or check its name and version."
        )
    if "Cannot connect to the Docker daemon" in error or "error during connect" in error:
        return "The Docker engine does not answer. Look at: systemctl status docker"
    if "start_interval" in error:
        return "The Docker engine is older than 25, which knows start_interval of health checks. Upgrade it, and run the docker role."
    if "is not a docker command" in error or "unknown flag: --ansi" in error:
        return "Docker Compose v2 (the command `docker compose`) is not installed. Run the docker role, or install it."
    return "docker compose failed: " + "\n".join(error.strip().splitlines()[-8:])
