# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves an ASGI application on a socket that outlives the process, and stops without losing a request."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .config import Config
from .process import log, notify

# Longer than the 60 seconds for which a proxy in front keeps an idle connection: the proxy closes first.
_KEEP_ALIVE_SECONDS = 76
_FIRST_FD = 3


def listening_socket(config: Config) -> socket.socket:
    """The socket that systemd hands over (sd_listen_fds(3)), else a new one on the configured port."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ.get("LISTEN_FDS", "0")) >= 1:
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)  # not meant for children
        os.set_inheritable(_FIRST_FD, False)
        return socket.socket(fileno=_FIRST_FD)
    return socket.create_server((config.host, config.port), backlog=1024)


class Edge:
    """Around the application: names the release, writes a line per request, and ends connections while draining."""

    def __init__(self, app: ASGIApp, release: str) -> None:
        self._app = app
        self._release = release.encode()
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-release", self._release)]
                if self.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            line = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round((time.perf_counter() - started) * 1000),
            }
            level = "error" if status >= 500 else "debug" if scope["path"] == "/health" else "info"
            getattr(log, level)("request", extra={"fields": line})


class Server(uvicorn.Server):
    """Stops in two steps: takes no new connection but answers on the open ones, and then closes them."""

    def __init__(self, edge: Edge, config: Config) -> None:
        super().__init__(
            uvicorn.Config(
                edge,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=config.grace_seconds,
            )
        )
        self._edge = edge
        self._drain_seconds = config.drain_ms / 1000
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        where = sockets[0].getsockname() if sockets else None
        log.info("listening", extra={"fields": {"address": where}})
        notify(READY="1", STATUS=f"listening on {where}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called for SIGTERM and SIGINT, between any two instructions."""
        self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        log.info("draining")
        notify(STOPPING="1", STATUS="answering on open connections")
        self._edge.draining = True
        # A connection that is closed while a proxy sends the next request on it loses that request; so idle ones stay
        # until the proxy has had its answer with "Connection: close", or the time is over.
        try:
            for server in self.servers:
                server.close()
            until = time.monotonic() + self._drain_seconds
            await asyncio.sleep(0.1)  # what the kernel has handed out becomes a connection here
            while self.server_state.connections and time.monotonic() < until:
                await asyncio.sleep(0.05)
        finally:
            self.should_exit = True


async def serve(app: ASGIApp, config: Config) -> None:
    """Serves until SIGTERM or SIGINT."""
    edge = Edge(app, config.release)
    await Server(edge, config).serve(sockets=[listening_socket(config)])
    log.info("stopped")
