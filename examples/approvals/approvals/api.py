# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m approvals.api``: the HTTP API; on a socket that systemd hands over, else on ``PORT``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from .config import Config
from .model import ID_EXPECTED, Invalid, is_id, parse_decision, parse_request
from .process import identity_of, log, run, words
from .server import serve
from .service import WORKFLOW_PREFIX, Approvals, Refused, Unavailable, UnknownApproval
from .temporal import connect

MAX_BODY_BYTES = 64 * 1024
STARTED = "Approval workflow started successfully"
# Who is logged in, as the proxy in front says, which must set it or take it away from every request.
LOGIN_HEADER = "x-forwarded-user"
NOBODY = "anonymous"


def create_app(approvals: Approvals, enabled: bool = True) -> Starlette:
    """The routes; every answer is JSON, and one that is not a success has ``error`` in words."""

    async def health(_request: HttpRequest) -> JSONResponse:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        if not enabled:
            return JSONResponse({"status": "healthy", "temporal": "disabled", "timestamp": now})
        try:
            await approvals.check()
        except Exception as error:
            body = {"status": "unhealthy", "temporal": "disconnected", "timestamp": now, "error": words(error)}
            return JSONResponse(body, 503)
        return JSONResponse({"status": "healthy", "temporal": "connected", "timestamp": now})

    async def start(request: HttpRequest) -> JSONResponse:
        wanted = parse_request(await _json(request), request.headers.get(LOGIN_HEADER, "").strip() or NOBODY)
        data = {**await approvals.start(wanted), "status": "STARTED"}
        return JSONResponse({"statusCode": 201, "message": STARTED, "data": data}, 201)

    async def show(request: HttpRequest) -> JSONResponse:
        data = await approvals.describe(_approval(request))
        return JSONResponse({"statusCode": 200, "message": "Approval workflow found", "data": data})

    async def decide(request: HttpRequest) -> JSONResponse:
        decision = parse_decision(await _json(request))
        return JSONResponse(await approvals.decide(_approval(request), decision))

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/api/approvals", start, methods=["POST"]),
            Route("/api/approvals/{id}/status", show),
            Route("/api/approvals/{id}/decision", decide, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _answer(lambda error: (error.status_code, error.detail, error.headers)),
            Invalid: _answer(lambda error: (400, str(error), None)),
            UnknownApproval: _answer(lambda error: (404, str(error), None)),
            Refused: _answer(lambda error: (409, str(error), None)),
            Unavailable: _answer(lambda error: (503, str(error), {"retry-after": "5"})),
            Exception: _answer(lambda _error: (500, "Something went wrong here; the log tells what", None)),
        },
    )


def _answer(
    describe: Callable[[Any], tuple[int, str, Mapping[str, str] | None]],
) -> Callable[[HttpRequest, Exception], Awaitable[JSONResponse]]:
    async def handle(request: HttpRequest, error: Exception) -> JSONResponse:
        status, text, headers = describe(error)
        if isinstance(error, HTTPException):
            text = {
                404: f"There is nothing at {request.url.path}",
                405: f"{request.url.path} does not take {request.method}; use {(headers or {}).get('Allow', '')}",
            }.get(status, text)
        details = {"details": [asdict(problem) for problem in error.problems]} if isinstance(error, Invalid) else {}
        return JSONResponse({"error": text, **details}, status, headers)

    return handle


async def _json(request: HttpRequest) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes", {"connection": "close"})
    try:
        return json.loads(body)
    except ValueError as error:
        raise HTTPException(400, f"The body is not JSON: {error}") from error


def _approval(request: HttpRequest) -> str:
    """The id of the request that a workflow's id in the path is made of."""
    found: str = request.path_params["id"]
    identity = found.removeprefix(WORKFLOW_PREFIX)
    if identity == found or not is_id(identity):
        expected = f"{WORKFLOW_PREFIX} and the id of a request: {ID_EXPECTED}"
        raise HTTPException(400, f"'{found[:80]}' is not the workflow id of an approval; expected {expected}")
    return identity


async def api(config: Config) -> int:
    """Serves until SIGTERM."""
    # Lazy: it starts, and says what is wrong, also while Temporal is away.
    client = await connect(config, identity_of(config), lazy=True) if config.enabled else None
    if client is None:
        log.warning("Temporal is switched off by ENABLE_TEMPORAL=false")
    await serve(create_app(Approvals(client, config), config.enabled), config)
    return 0


if __name__ == "__main__":
    run(api)
