# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that run processes share, whatever runs them: health, candidates, one run at a time.

Private to this collection.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import re
import socket
import time
import typing as t
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

POLL_SECONDS = 0.1
# Of what a program has logged: so many lines hold the cause, which is the last line in Python and above its frames in Node.js.
LOG_LINES = 20
# Lines of a stack trace that are about Node.js and PM2, not about the application.
INTERNAL = re.compile(r"\s+at .*(node:internal|/node_modules/(pm2|async)/)")

# What a JSON answer may call itself, in any case of letters.
WELL = ("healthy", "ok", "up", "pass", "passing", "ready", "running", "alive", "serving", "available", "success")


# An application of this host is not behind a proxy. Ansible's open_url would do too, but takes each module that carries it
# to a host a tenth of a second more.
class _Here(HTTPRedirectHandler):
    """An answer that sends elsewhere, such as to a login, is no answer."""

    def redirect_request(self, *_arguments: t.Any, **_options: t.Any) -> None:
        return None


DIRECT = build_opener(ProxyHandler({}), _Here())


class BusyError(Exception):
    """Another run is at work; the text is for the operator."""


def last_lines(source: str, lines: t.Iterable[str]) -> str:
    """The end of what a program has logged, for a message; empty when that is nothing. Not more than the end is held.

    :param source: the file or unit that they are from.
    """
    end = collections.deque((line for line in lines if not INTERNAL.search(line)), LOG_LINES)
    return f"\nLast lines of {source}:\n  " + "\n  ".join(line.rstrip("\n")[:300] for line in end) if end else ""


TAKEN = re.compile(r"address already in use", re.IGNORECASE)


def tried_and_refused(release: str, error: Exception, said: str) -> str:
    """Why a candidate is refused, for a message.

    :param said: what it has logged, as :func:`last_lines` gives it.
    """
    hint = (
        " It listens on a port that is taken: have it listen on PORT, which is another one for a candidate, or set "
        "candidate: false."
        if TAKEN.search(said)
        else ""
    )
    return f"release {release} was tried beside the live one and refused: {error}.{hint}{said}"


def health(url: str) -> tuple[bool, str]:
    """Whether an address answers as a healthy application does, and what it answered."""
    try:
        with DIRECT.open(Request(url, headers={"Accept": "application/json"}), timeout=5) as answer:
            code, body = int(answer.status), answer.read(4096).decode(errors="replace")
    except HTTPError as error:
        code, body = error.code, error.read(4096).decode(errors="replace")
    except Exception as error:
        return False, str(getattr(error, "reason", error))
    answered = f"{code} {body.strip()[:200]}".strip()
    with contextlib.suppress(ValueError):
        data = json.loads(body)
        said = data.get("status") if isinstance(data, dict) else None
        if code == 200 and isinstance(said, str) and said.lower() not in WELL:
            return False, f"{answered} (its status is none of {', '.join(WELL)})"
    return code == 200, answered


def on_port(url: str, declared: str, port: int) -> str:
    """An address of an application as its candidate has it; empty when the address is not on the application's port."""
    parts = urlsplit(url)
    if not declared or str(parts.port or "") != declared:
        return ""
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()


def spare_port() -> int:
    """A TCP port of this host that nobody uses now."""
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        return int(spare.getsockname()[1])


@contextlib.contextmanager
def alone(path: Path, wait_seconds: float) -> t.Iterator[int]:
    """Keep other runs away; yields the open file, which holds the lock as long as any program has it open.

    :raises BusyError: another run was still at work after ``wait_seconds``.
    """
    end = time.monotonic() + wait_seconds
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise BusyError(
                        f"another run has been at work on its processes for {wait_seconds:.0f} s; deploy again when it is done"
                    ) from None
                time.sleep(POLL_SECONDS)
        yield file.fileno()
