# SPDX-License-Identifier: GPL-3.0-or-later
"""A vault, its token service and a machine's metadata service, for tests and for a VM without a cloud.

    python tests/azure_vault/vault_double.py DIRECTORY [--address 127.0.0.1] [--vault NAME] [--port N] [--tls-port N]

writes ``DIRECTORY/double.json`` (mode 0600) when it answers: its addresses, its certificate authority, the identities
that it knows, and the key for ``/_control``. It ends on SIGTERM or SIGINT, and keeps its secrets in ``secrets.json``
beside that file (mode 0600), so that a double that is started again has them.

One plain port is the metadata service, the way in for tests (``/_control``), and a proxy: a client that goes through it
reaches ``NAME.vault.azure.net`` and ``login.microsoftonline.com`` by their real names, so that nothing about names, TLS
and audiences has to be relaxed. The TLS port is the same without a proxy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import ssl
import struct
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vault_certificates import Authority, client_pair
from vault_services import AUTHORITIES, GITHUB, RESOURCES, Answer, Application, Request, Services, Version


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    double: Double
    tls: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of this side."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _host = ""  # the name that a tunnel leads to
    _tls = False

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request.settimeout(30)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            self._tls = True
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written: requests are counted instead."""

    def do_CONNECT(self) -> None:
        host, _colon, _port = self.path.rpartition(":")
        double = self.server.double
        known = host in {*AUTHORITIES, GITHUB} or host in {f"{double.services.vault}.{suffix}" for suffix in RESOURCES}
        if not known:
            self.send_error(502, "No such host")
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        self._host, self._tls = host, True
        self.connection = self.request = double.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        host = self._host or url.hostname or headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        request = Request(self.command, host, url.path, dict(parse_qsl(url.query)), headers, body, self._tls)
        if url.path.startswith("/_control"):
            self._send(self.server.double.control(request))
        else:
            self._send(self.server.double.services.answer(request))

    def _send(self, answer: Answer) -> None:
        if answer.kind == "hang":
            # As long as the client waits; it goes away first.
            self.connection.settimeout(answer.seconds or 120)
            with contextlib.suppress(OSError):
                self.connection.recv(1)
            self.close_connection = True
            return
        if answer.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True
            return
        if answer.kind == "slow":
            time.sleep(answer.seconds)
        headers = {"Content-Type": "application/json; charset=utf-8", **answer.headers}
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        data = text.encode()
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if answer.kind == "trickle":
            # Never silent for long, never done in time.
            for index in range(len(data)):
                self.wfile.write(data[index : index + 1])
                time.sleep(answer.seconds / len(data))
        else:
            self.wfile.write(data)


class Double:
    """The services behind two ports of an address. Use as a context manager, or :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        directory: Path,
        address: str = "127.0.0.1",
        vault: str = "durable-local",
        port: int = 0,
        tls_port: int = 0,
    ) -> None:
        self.directory = directory
        self.address = address
        self.services = Services(vault)
        self.key = secrets.token_urlsafe(24)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever trusts it goes on to do so when it is started again.
        kept = directory / "authority.pem"
        self.authority = Authority(kept=kept.read_text() if kept.exists() else "")
        _write(kept, self.authority.keep)
        names = ["localhost", "127.0.0.1", address, GITHUB, *AUTHORITIES, *(f"*.{suffix}" for suffix in RESOURCES)]
        pair = self.authority.sign(dict.fromkeys(names))
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_text(self.authority.certificate)
        _write(directory / "server.pem", pair.certificate + pair.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "server.pem")
        (directory / "server.pem").unlink()
        self._plain = _Server((address, port), _Handler)
        self._secure = _Server((address, tls_port), _Handler)
        self._secure.tls = self.context
        self._plain.double = self._secure.double = self
        self.port, self.tls_port = self._plain.server_address[1], self._secure.server_address[1]

    @property
    def proxy(self) -> str:
        """Also the metadata service and the way in for tests."""
        return f"http://{self.address}:{self.port}"

    @property
    def vault_url(self) -> str:
        """By its real name, through the proxy."""
        return f"https://{self.services.vault}.vault.azure.net"

    @property
    def direct_url(self) -> str:
        """Without the proxy, and so by a name that is none of a vault."""
        return f"https://{self.address}:{self.tls_port}"

    def application(self, **about: Any) -> Application:
        """A new identity of the directory."""
        application = Application(str(uuid.uuid4()), **about)
        self.services.applications[application.client_id] = application
        return application

    def start(self) -> Double:
        for server in (self._plain, self._secure):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        for server in (self._plain, self._secure):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Double:
        return self.start()

    def __exit__(self, *_details: object) -> None:
        self.stop()

    # The way in for tests

    def control(self, request: Request) -> Answer:
        """``GET`` summary, seen, secrets; ``PUT`` secrets; ``POST`` faults, reset, certificate. Needs the key."""
        if request.tls or request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, {"error": "the key of double.json is needed"})
        what = request.path.removeprefix("/_control").strip("/")
        given = json.loads(request.body or b"{}")
        services = self.services
        if request.method == "GET":
            told: dict[str, Any] = {
                "summary": services.summary,
                "seen": lambda: services.seen,
                "secrets": lambda: {name: versions[-1].value for name, versions in services.secrets.items()},
            }
            return Answer(200, told[what]()) if what in told else Answer(404, {"error": what})
        if what == "secrets":
            for name, value in given.items():
                # Said again with the same value, it is the same version.
                if not (services.secrets.get(name) and services.secrets[name][-1].value == value):
                    services.put(name, value)
        elif what == "faults":
            services.fail(**given)
        elif what == "reset":
            services.heal()
            services.forget()
        elif what == "certificate":
            pair = self.authority.sign(given["names"])
            return Answer(200, {"certificate": pair.certificate, "key": pair.key})
        else:
            return Answer(404, {"error": what})
        return Answer(200, {})

    def save(self) -> None:
        """Secrets last; what they were asked for does not."""
        kept = {name: [vars(v) for v in versions] for name, versions in self.services.secrets.items()}
        _write(self.directory / "secrets.json", json.dumps(kept))

    def load(self) -> None:
        path = self.directory / "secrets.json"
        if path.exists():
            kept = json.loads(path.read_text())
            self.services.secrets = {name: [Version(**v) for v in versions] for name, versions in kept.items()}

    def describe(self) -> dict[str, Any]:
        """What a client needs to know, and the key for tests."""
        pair = client_pair()
        certificate = self.directory / "client.pem"
        _write(certificate, pair.certificate + pair.key)
        application = self.application(
            secret=secrets.token_urlsafe(24), certificate=pair.certificate, subject=self.services.github_subject
        )
        return {
            "pid": os.getpid(),
            "proxy": self.proxy,
            "metadata": self.proxy,
            "vault": self.services.vault,
            "vault_url": self.vault_url,
            "direct_url": self.direct_url,
            "ca_file": str(self.ca_file),
            "control": f"{self.proxy}/_control",
            "control_key": self.key,
            "tenant": self.services.tenant,
            "client_id": application.client_id,
            "client_secret": application.secret,
            "client_certificate": str(certificate),
            "github_url": f"https://{GITHUB}/github/idtoken?api-version=2.0",
            "github_token": self.services.github_token,
        }


def _write(path: Path, text: str) -> None:
    """A file for this user alone, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="A vault, its token service and a metadata service, for tests.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--address", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--vault", default="durable-local", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--tls-port", type=int, default=0, help="default: a free one")
    given = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    double = Double(given.directory, given.address, given.vault, given.port, given.tls_port)
    double.load()
    with double:
        _write(given.directory / "double.json", json.dumps(double.describe(), indent=2))
        ended.wait()
    double.save()


if __name__ == "__main__":
    main()
