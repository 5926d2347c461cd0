# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ecosystem file that a release brings: what it says otherwise than the inventory, which is what counts.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._application import DEFINITION
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, run_as

FILES = ("ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.json")
# It is a program. What it prints by itself comes before the mark.
MARK = "durable.temporal ecosystem:"
READ = (
    "const found = require(process.argv[1]);"
    "const apps = Array.isArray(found) ? found : found.apps || [found];"
    f"process.stdout.write('\\n{MARK}' + JSON.stringify(apps));"
)
SECONDS = 15

COMPARED = (
    "script",
    "exec_mode",
    "instances",
    "args",
    "node_args",
    "max_memory_restart",
    "restart_delay",
    "min_uptime",
    "kill_timeout",
    "wait_ready",
    "listen_timeout",
)
# What the collection decides itself, as the reference of the role says. Not worth a word.
DECIDED = {
    *(
        "name",
        "cwd",
        "env",
        "autorestart",
        "max_restarts",
        "vizion",
        "pmx",
        "disable_source_map_support",
        "source_map_support",
        "time",
    ),
    *("out_file", "error_file", "output", "error", "log_file", "log", "merge_logs", "combine_logs", "log_date_format"),
}
OTHER_NAMES = {"interpreter_args": "node_args", "node_arguments": "node_args", "exec_interpreter": "interpreter"}
UNITS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Unreadable(Exception):
    """The file of the release cannot be read; the text says why."""


def find(release: Path) -> Path | None:
    """The ecosystem file of a release, if it brings one."""
    return next((release / name for name in FILES if (release / name).is_file()), None)


def read(file: Path, account: Account, environment: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """What the file says, read by Node.js as the application's user, which runs the release anyway.

    :param environment: of the processes, since such files fall back to defaults where a variable is missing.
    :raises Unreadable: it is no such file, or takes too long.
    """
    try:
        result = run_as(account, ["node", "-e", READ, str(file)], environment, str(file.parent), SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreadable(str(error)) from None
    _before, marked, text = result.stdout.rpartition(f"\n{MARK}")
    if result.returncode != 0 or not marked:
        lines = [line.strip() for line in result.stderr.splitlines()]
        raise Unreadable(next((line for line in lines if re.match(r"\w*Error\b", line)), "it says nothing"))
    apps: t.Any = None
    with contextlib.suppress(ValueError):
        apps = json.loads(text)
    if not isinstance(apps, list) or not all(isinstance(app, dict) for app in apps):
        raise Unreadable("it has no list of apps")
    return apps


def differences(packaged: t.Iterable[t.Mapping[str, t.Any]], declared: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """What the packaged file says otherwise, a phrase each. Values of variables are never told: they may be secrets.

    :param packaged: the apps of the release's file.
    :param declared: those of ours.
    """
    theirs = {str(app.get("name", "")): _plain(app) for app in packaged}
    ours = {str(app["name"]): app for app in declared}
    found = [f"{name} is not declared, and does not run" for name in theirs if name not in ours]
    found += [f"{name} is declared, and not in it" for name in ours if name not in theirs]
    for name, process in ours.items():
        if name in theirs:
            found += [f"{name}: {phrase}" for phrase in _of_process(theirs[name], process)]
    return found


def told(release: Path, account: Account, declared: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """A sentence on what the file of a release says otherwise than the inventory; empty when there is nothing to tell.

    :param declared: the apps of our ecosystem.
    """
    if not (file := find(release)):
        return ""
    environment = {key: value for app in declared for key, value in app["env"].items() if key != DEFINITION}
    try:
        found = differences(read(file, account, environment), declared)
    except Unreadable as error:
        return f"{file.name} of release {release.name} is not used, and could not be compared with what is declared: {error}"
    if not found:
        return ""
    return (
        f"{file.name} of release {release.name} is not used, and differs from the processes that are declared: "
        f"{'; '.join(found)}. Declare what is meant, and let the file say the same, or leave it out of the release."
    )


def _plain(app: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {OTHER_NAMES.get(key, key): value for key, value in app.items()}


def _of_process(theirs: t.Mapping[str, t.Any], ours: t.Mapping[str, t.Any]) -> list[str]:
    found = []
    for option in COMPARED:
        if option in theirs and _value(option, theirs[option]) != _value(option, ours.get(option)):
            found.append(f"{option} is {theirs[option]!r} in it, and {_shown(ours.get(option))} declared")
    for option, value in theirs.items():
        if option not in COMPARED and option not in DECIDED and value not in (None, False, "", [], {}):
            found.append(f"{option} is not used")
    variables = {key: _text(value) for key, value in (theirs.get("env") or {}).items()}
    declared = {key: _text(value) for key, value in ours["env"].items() if key != DEFINITION}
    if missing := sorted(set(variables) - set(declared)):
        found.append(f"it sets {', '.join(missing)}, which is not declared")
    if others := sorted(key for key in variables if key in declared and variables[key] != declared[key]):
        found.append(f"it has other values for {', '.join(others)}")
    return found


def _shown(value: t.Any) -> str:
    return "not" if value in (None, "") else repr(value)


def _text(value: t.Any) -> str:
    """As PM2 puts it into an environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(option: str, value: t.Any) -> t.Any:
    """An option's value, such that equal ones are equal however they are written."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "").strip()
    if option == "script":
        return text.removeprefix("./")
    if option == "exec_mode":
        return text.removesuffix("_mode") or "fork"
    if option == "node_args":
        # Ours begins with what the collection needs itself.
        return re.sub(r"^--require=\S+/crash-log\.cjs ?", "", text)
    if option in ("restart_delay", "min_uptime", "kill_timeout", "listen_timeout"):
        return _scaled(text, UNITS)
    return _scaled(text, SIZES) if option == "max_memory_restart" else text.lower() if option == "wait_ready" else text


def _scaled(text: str, units: t.Mapping[str, int]) -> float | str:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    return float(found[1]) * units[found[2]] if found and found[2] in units else text
