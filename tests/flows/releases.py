# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of the example application that differ on purpose, and their deployment."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from play import ROOT, Run, play

PACKAGE = ROOT / "examples" / "order_processing" / "order-processing.tar.gz"
API, WORKER, BUNDLE = "dist/api/server.js", "dist/worker.js", "dist/workflow-bundle.js"
Edit = Callable[[bytes], bytes]


def before(text: str) -> Edit:
    """Puts a line before the program."""
    return lambda program: text.encode() + b"\n" + program


def instead(text: str) -> Edit:
    return lambda _program: text.encode() + b"\n"


def early_timer(bundle: bytes) -> bytes:
    """Workflow code that waits before its first activity: those that have begun cannot go on in it."""
    first = b"const order = await forward.validateOrder(input);"
    assert bundle.count(first) == 1, "the workflow code has changed: say here which line comes first"
    return bundle.replace(first, b"await (0, workflow_1.sleep)(10); " + first)


def with_left_pad(manifest: bytes) -> bytes:
    """A package that needs what its lock file does not have."""
    declared = json.loads(manifest)
    declared["dependencies"]["left-pad"] = "1.3.0"
    return json.dumps(declared).encode()


READY = "process.send && process.send('ready'); setInterval(() => {}, 1000);"
UNHEALTHY = (
    "require('http').createServer((q, r) => { r.statusCode = 500; r.end('{\"status\":\"unhealthy\"}'); })"
    ".listen(process.env.PORT, () => process.send('ready'));"
)
SILENT = "const say = process.send; process.send = (m, ...more) => m === 'ready' || say.call(process, m, ...more);"
NOWHERE = "process.env.TEMPORAL_ADDRESS = '127.0.0.1:1';"
QUEUE = "process.env.TEMPORAL_TASK_QUEUE = 'order-processing-queue';"
LIVE = "if (process.env.PORT === '3000' && process.env.TEMPORAL_TASK_QUEUE === 'order-processing-queue') "

# Name → what is wrong with the release: edits of its files, and what the refusal says.
BROKEN: dict[str, tuple[Mapping[str, Edit], str]] = {
    # PM2 would start it again and again: told when it has ended, not when the wait of a minute is over.
    "crashes at boot": (
        {API: instead("throw new Error('boom at boot');")},
        r"\(after [0-3]?[0-9] s\)[\s\S]*boom at boot",
    ),
    "never listens": ({API: instead(READY)}, "ECONNREFUSED|refused|answers"),
    "answers 500": ({API: instead(UNHEALTHY)}, "500"),
    "cannot reach Temporal": ({API: before(NOWHERE), WORKER: before(NOWHERE)}, "Temporal|503"),
    "worker crashes": (
        {WORKER: instead("throw new Error('no work today');")},
        r"\(after [0-3]?[0-9] s\)[\s\S]*no work today",
    ),
    "never says that it is ready": (
        {WORKER: before(SILENT)},
        "workflow-worker runs for .*has not said that it is ready",
    ),
    "does not fit its lock file": ({"package.json": with_left_pad}, r"Missing: left-pad@1\.3\.0 from lock file"),
    "worker never polls": ({WORKER: instead(READY)}, "pollers"),
    "polls the live queue": (
        {WORKER: before(QUEUE)},
        "polls the task queue order-processing-queue of the live release",
    ),
    "cannot replay": ({BUNDLE: early_timer}, r"orderProcessing order-\S+: .*TMPRL1100"),
}
# What no candidate shows: it fails only with the port and the task queue of the live release.
FAILS_WHEN_LIVE: Mapping[str, Edit] = {API: before(LIVE + "throw new Error('boom when live');")}
# It fails as soon as no process of another release runs on the host.
ALONE = """setInterval(() => {
  const { readdirSync, readlinkSync } = require('fs');
  const others = readdirSync('/proc').filter((pid) => {
    try {
      const place = readlinkSync(`/proc/${pid}/cwd`);
      return place.includes('/releases/') && place !== process.cwd();
    } catch {
      return false;
    }
  });
  if (others.length === 0) throw new Error('boom when alone');
}, 100);"""
FAILS_WHEN_ALONE: Mapping[str, Edit] = {API: before(LIVE + ALONE)}


def variant(target: Path, name: str = "", edits: Mapping[str, Edit] | None = None, package: Path = PACKAGE) -> Path:
    """A release like the packaged one, but for some files. ``name`` alone makes it another release that works."""
    wanted = dict(edits or {})
    with tarfile.open(package) as source, tarfile.open(target, "w:gz") as copy:
        for member in source:
            file = source.extractfile(member) if member.isfile() else None
            content = file.read() if file else b""
            edit = wanted.pop(member.name.removeprefix("./"), None)
            if edit:
                content = edit(content)
                member.size = len(content)
            copy.addfile(member, io.BytesIO(content) if file else None)
        if name:
            marker = tarfile.TarInfo("dist/name.txt")
            marker.size = len(name.encode())
            copy.addfile(marker, io.BytesIO(name.encode()))
    assert not wanted, f"the package has no {', '.join(wanted)}"
    return target


def deploy_with(inventory: Path, *arguments: str, extra: Mapping[str, Any] | None = None, **application: Any) -> Run:
    """Deploy with some fields of the example application replaced, as an extra variable does it."""
    return play("deploy", inventory, *arguments, extra={"local_application_overrides": application, **(extra or {})})
