# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites are judged by what nginx answers, by its files and by its certificates."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _edge as edge
from ansible_collections.durable.temporal.plugins.module_utils import _registry

TEMPLATES = Path(__file__).parents[4] / "roles/nginx/templates"


def quiet(_command: list[str]) -> tuple[int, str, str]:
    return 0, "notAfter=Jan  1 00:00:00 2100 GMT\n", ""


@contextmanager
def server(status: int, seen: list[str] | None = None, certificate: Path | None = None) -> Iterator[int]:
    """An HTTP server with one answer, on a port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if seen is not None:
                seen.append(self.headers["Host"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.server_address[1]
        finally:
            http.shutdown()
            thread.join()


def write(place: Path, upstream: int, *listens: str, name: str = "orders.example.com") -> None:
    text = f"{_registry.SITE_MARK}\nupstream a {{\n    server 127.0.0.1:{upstream} max_fails=0;\n}}\n"
    for listen in listens:
        text += f"server {{\n    listen {listen};\n    server_name {name};\n}}\n"
    (place / "orders.conf").write_text(text)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of ten days with its key."""
    file = tmp_path / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10"]
    subprocess.run(
        [*made, "-subj", "/CN=orders.example.com", "-keyout", file, "-out", tmp_path / "c.pem"],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (tmp_path / "c.pem").read_text())
    return file


def test_a_site_must_be_there_and_reach_its_application(tmp_path: Path) -> None:
    def site(name: str, *ports: int, mark: str = _registry.SITE_MARK) -> None:
        servers = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in ports)
        (tmp_path / f"{name}.conf").write_text(f"{mark}\nupstream a {{\n{servers}}}\nupstream b {{\n{servers}}}\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        here, away = listener.getsockname()[1], nobody.getsockname()[1]
        site("orders", here, away)
        site("gone", away)
        site("theirs", away, mark="# Mine")
        found = edge.site_checks(["orders", "shop"], quiet, str(tmp_path))
        checks = [check for check in found if check.component != "nginx"]
    assert [(c.component, c.name, c.status) for c in checks] == [
        ("shop", "site at the edge", "failed"),
        ("gone", f"nginx reaches 127.0.0.1:{away}", "failed"),
        *sorted(
            [
                ("orders", f"nginx reaches 127.0.0.1:{here}", "healthy"),
                ("orders", f"nginx reaches 127.0.0.1:{away}", "failed"),
            ]
        ),
    ]
    assert "remove.yml -e remove_application=gone" in checks[1].message
    assert edge.site_checks([], quiet, str(tmp_path / "no")) == []


@pytest.mark.parametrize(
    ("nginx", "application", "status"),
    [(200, 200, "healthy"), (404, 404, "healthy"), (503, 200, "failed"), (502, 404, "failed"), (503, 503, "healthy")],
)
def test_nginx_must_answer_with_what_the_application_answers(
    tmp_path: Path, nginx: int, application: int, status: str
) -> None:
    seen: list[str] = []
    with server(application) as behind, server(nginx, seen) as port:
        write(tmp_path, behind, str(port))
        (check,) = [c for c in edge.site_checks([], quiet, str(tmp_path)) if c.name.startswith("nginx answers")]
    assert (check.status, check.name) == (status, f"nginx answers on port {port}")
    assert f"HTTP {nginx}" in check.found
    assert seen == ["orders.example.com"]
    assert ("Host: orders.example.com" in check.message) == (status == "failed")


def test_nginx_that_does_not_listen_is_failed(tmp_path: Path) -> None:
    with server(200) as behind, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        write(tmp_path, behind, f"{nobody.getsockname()[1]} default_server", name="_")
        (check,) = [c for c in edge.site_checks([], quiet, str(tmp_path)) if c.name.startswith("nginx answers")]
    assert (check.status, check.found) == ("failed", "Connection refused")


def test_a_site_with_tls_is_asked_by_its_name_whatever_its_certificate(tmp_path: Path, certificate: Path) -> None:
    place = tmp_path / "sites"
    place.mkdir()
    seen: list[str] = []
    with server(200) as behind, server(204, seen, certificate) as port:
        write(place, behind, f"{port} ssl default_server")
        (check,) = [c for c in edge.site_checks([], quiet, str(place)) if c.name.startswith("nginx answers")]
    assert (check.status, check.found) == ("healthy", "HTTP 204")
    assert seen == ["orders.example.com"]


@pytest.mark.parametrize(("days", "status"), [(0, "degraded"), (-20, "healthy"), (11, "failed")])
def test_a_certificate_is_told_before_it_expires(certificate: Path, days: int, status: str) -> None:
    def run(command: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    check = edge.certificate_check("orders", str(certificate), run, time.time() + days * 86400)
    assert (check.status, check.name) == (status, f"certificate {certificate}")
    gone = edge.certificate_check("orders", str(certificate.with_name("gone.pem")), run)
    assert (gone.status, gone.found != "") == ("failed", True)


@pytest.mark.parametrize(
    ("code", "said", "status", "found"),
    [
        (0, "", "healthy", "valid"),
        (
            1,
            '2026/11/28 nginx: [emerg] unknown directive "x" in /etc/nginx/a.conf:1\nnginx: test failed\n',
            "failed",
            "unknown",
        ),
        (1, "strange", "failed", "strange"),
    ],
)
def test_files_with_which_nginx_would_not_start_are_told(
    code: int, said: str, status: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.shutil, "which", lambda *_a, **_k: "/usr/sbin/nginx")
    (check,) = edge.configuration_check(lambda _command: (code, "", said))
    assert check.status == status
    assert check.found.startswith(found)
    monkeypatch.setattr(edge.shutil, "which", lambda *_a, **_k: None)
    assert edge.configuration_check(quiet) == []


def test_sites_are_read_as_the_role_writes_them() -> None:
    site, listen, tls = ((TEMPLATES / f"{name}.conf.j2").read_text() for name in ("site", "listen", "tls"))
    assert site.startswith(_registry.SITE_MARK)
    assert set(edge.UPSTREAM.findall(site.replace("{{ server }}", "10.0.0.5:3000"))) == {"10.0.0.5:3000"}
    for extra in ("", " default_server", " ssl", " ssl default_server"):
        written = listen.replace("{{ listen }}", "443").replace("{{ default_server }}", extra)
        assert edge.LISTEN.findall(written)[0][:2] == ("443", " ssl" if "ssl" in extra else "")
    assert edge.SERVER_NAME.findall(site.replace("{{ site.server_name }}", "a.example b.example"))[0] == "a.example"
    assert edge.CERTIFICATE.findall(tls.replace("{{ site.tls.certificate }}", "/etc/x.pem")) == ["/etc/x.pem"]
