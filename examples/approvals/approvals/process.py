# SPDX-License-Identifier: GPL-3.0-or-later
"""What every program of this application does as a process: logs, word to systemd, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timezone
from typing import Any, NoReturn

from .config import Config, ConfigError, read_config

log = logging.getLogger("approvals")


class JsonLines(logging.Formatter):
    """One JSON object per line: every collector reads that."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **self._fields,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = words(record.exc_info[1])
        return json.dumps(entry, default=str)


def words(error: BaseException) -> str:
    """An error with its causes on one line."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
        if text not in found:
            found.append(text)
        cause = cause.__cause__ or getattr(cause, "cause", None)
    return " <- ".join(found)


def notify(**state: str) -> bool:
    """Tells systemd, such as ``notify(READY="1", STATUS="polling")``; False when nobody listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    message = "\n".join(f"{key}={value}" for key, value in state.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(message.encode(), address)
    except OSError as error:  # no reason to stop working, or not to stop
        log.warning("NOTIFY_SOCKET takes no message", extra={"fields": {"error": words(error)}})
        return False
    return True


def identity_of(config: Config) -> str:
    """How the server knows this process."""
    return f"{os.getpid()}@{socket.gethostname()}#{config.release}"


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; call it in the running loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def within(seconds: float, stop: asyncio.Event) -> bool:
    """Waits for ``stop``, at most so long; whether it came."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def run(program: Callable[[Config], Coroutine[Any, Any, int]]) -> NoReturn:
    """Runs ``program`` to its exit status and leaves."""
    try:
        config = read_config()
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonLines({"process": f"{program.__name__} {os.getpid()}", "release": config.release}))
        logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
        for name in ("temporalio", "uvicorn"):
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
        status = asyncio.run(program(config))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except Exception as error:
        log.exception("gave up")
        print(f"error: {words(error)}", file=sys.stderr)
        status = 1
    leave(status)


def leave(status: int) -> NoReturn:
    """Ends the process at once: taking the interpreter down beside the SDK's native threads sometimes crashes it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
