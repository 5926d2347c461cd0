# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the sites of this collection fare: what stands behind nginx, what it answers, its files and its certificates.

Private to this collection.
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils import _registry
from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, Status

Run = t.Callable[[list[str]], tuple[int, str, str]]

# What a site that the role nginx has written holds.
UPSTREAM = re.compile(r"^ +server ([^\s;]+:\d+) max_fails=0;$", re.MULTILINE)
LISTEN = re.compile(r"^ +listen (\d+)( ssl)?( default_server)?;$", re.MULTILINE)
SERVER_NAME = re.compile(r"^ +server_name ([^\s;]+)", re.MULTILINE)
CERTIFICATE = re.compile(r"^ +ssl_certificate ([^;]+);$", re.MULTILINE)
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
# With which nginx says that it has no answer of the application.
OF_NGINX = (502, 503, 504)
DAY = 86400
SOON_DAYS = 14


def site_checks(declared: t.Collection[str], run: Run, directory: str = _registry.SITES) -> list[Check]:
    """One row for each thing that a site needs. That an application answers on its own host says nothing about it.

    :param declared: names of the sites that must be there.
    :param run: runs a command, gives its exit code, output and errors.
    """
    ours = _registry.sites(directory)
    checks = [
        Check(name, "site at the edge", "failed", "none", "a site", "Run site.yml: nginx has no site for it yet.")
        for name in declared
        if name not in ours
    ]
    if ours:
        checks += configuration_check(run)
    certificates: dict[str, str] = {}
    for name, path in ours.items():
        text = path.read_text(errors="replace")
        servers = sorted(set(UPSTREAM.findall(text)))
        reached = [_reach_check(name, server) for server in servers]
        checks += reached
        if all(check.status == "healthy" for check in reached):
            checks += [_answer_check(name, text, int(port), bool(secure), servers) for port, secure in _listens(text)]
        certificates.update(dict.fromkeys(CERTIFICATE.findall(text), name))
    return checks + [certificate_check(name, file, run) for file, name in certificates.items()]


def _listens(text: str) -> list[tuple[str, str]]:
    return sorted({(port, secure) for port, secure, _default in LISTEN.findall(text)})


def _reach_check(name: str, server: str) -> Check:
    found = _connected(server)
    status: Status = "healthy" if found == "connected" else "failed"
    message = (
        ""
        if status == "healthy"
        else f"Requests for {name} are answered 502. Have it listen on an address that this host reaches, which "
        f"topology_application_bind_address has. If it is not declared any more: remove.yml -e remove_application={name}"
    )
    return Check(name, f"nginx reaches {server}", status, found, "connected", message)


def _connected(server: str) -> str:
    host, _colon, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        return str(error.strerror or error)
    return "connected"


def _answer_check(name: str, text: str, port: int, secure: bool, servers: t.Sequence[str]) -> Check:
    """What nginx answers for a site. An error that the application gives itself is its own matter."""
    host = (SERVER_NAME.findall(text) or ["_"])[0]
    code, found = answer("127.0.0.1", port, host, secure)
    if code in OF_NGINX:
        direct = {answer(*_split(server), host, False)[0] for server in servers}
        if code in direct:
            code, found = 200, f"{found}, as the application answers itself"
    healthy = code > 0 and code not in OF_NGINX
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/"
    message = (
        "" if healthy else f"Try: curl -skI -H 'Host: {host}' {url}; run site.yml, which writes nginx's files again."
    )
    return Check(name, f"nginx answers on port {port}", "healthy" if healthy else "failed", found, "an answer", message)


def _split(server: str) -> tuple[str, int]:
    host, _colon, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def answer(address: str, port: int, host: str, secure: bool) -> tuple[int, str]:
    """Status of the answer to a HEAD request, and in words; 0 and why when there is none. Certificates are not judged."""
    host = "localhost" if host == "_" else host
    connection = http.client.HTTPConnection(address, port, timeout=ANSWER_SECONDS)
    try:
        if secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            opened = socket.create_connection((address, port), ANSWER_SECONDS)
            connection.sock = context.wrap_socket(opened, server_hostname=host)
        connection.request("HEAD", "/", headers={"Host": host, "Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return 0, str(getattr(error, "strerror", "") or error or type(error).__name__)
    finally:
        connection.close()
    return status, f"HTTP {status}"


def configuration_check(run: Run) -> list[Check]:
    """Whether nginx would start with the files that it has now. What runs has read those of before."""
    tool = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if tool is None:
        return []
    code, _output, said = run([tool, "-t", "-q"])
    first = next((line for line in said.splitlines() if "[emerg]" in line), said.strip()[:200])
    healthy = code == 0
    message = "" if healthy else "nginx would not start again. Run site.yml, or correct the file; look at: nginx -t"
    found = "valid" if healthy else first.partition("[emerg] ")[2] or first
    return [Check("nginx", "configuration", "healthy" if healthy else "failed", found, "valid", message)]


def certificate_check(name: str, file: str, run: Run, now: float | None = None) -> Check:
    """How long a certificate is valid."""
    tool = shutil.which("openssl")
    expected, label = f"valid for more than {SOON_DAYS} days", f"certificate {file}"
    if tool is None:
        return Check(name, label, "degraded", "not looked at, as there is no openssl", expected, "Install openssl.")
    code, said, errors = run([tool, "x509", "-noout", "-enddate", "-in", file])
    if code:
        found = (errors.strip().splitlines() or ["unreadable"])[0][:200]
        return Check(name, label, "failed", found, expected, "Put it back: nginx would not start again.")
    end = said.strip().partition("=")[2]
    left = (ssl.cert_time_to_seconds(end) - (time.time() if now is None else now)) / DAY
    status: Status = "failed" if left <= 0 else "degraded" if left < SOON_DAYS else "healthy"
    message = "" if status == "healthy" else "Renew it, and reload nginx (site.yml does, where it brings the file)."
    return Check(name, label, status, f"valid until {end}" if left > 0 else f"expired at {end}", expected, message)
