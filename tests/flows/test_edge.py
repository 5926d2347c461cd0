# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx hands on to an application, seen by an application that says what it was asked."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from play import play
from test_bad_days import eventually

PORT = 3999
NAME = "echo.example"
UPSTREAM = Path(__file__).with_name("echo_upstream.py")
# Somebody else's site and line, which were there first.
THEIR_SITE, THEIR_LINE = "/etc/nginx/conf.d/theirs.conf", "variables_hash_max_size 2048;"
THEIRS = "server { listen 127.0.0.1:3998; location / { return 204; } }"
WEBROOT = "/var/lib/acme-of-the-test"
# The last role of the site; what comes before it is as it was.
ONLY_NGINX = ("--start-at-task", "durable.temporal.nginx : Install nginx")
SITE = {"name": "echo", "kind": "app", "server_name": NAME, "upstream_servers": [f"127.0.0.1:{PORT}"]}


@pytest.fixture(scope="module")
def edge(inventory: Path, outputs: dict[str, str], on_vm: Callable[..., str]) -> Iterator[tuple[str, int]]:
    """Host and port of the edge, with one more site, whose application is :data:`UPSTREAM`."""
    subprocess.run(
        ["docker", "exec", "-i", outputs["vm"], "sh", "-c", "cat >/run/echo_upstream.py"],
        input=UPSTREAM.read_bytes(),
        check=True,
    )
    on_vm(f"systemd-run --quiet --collect --unit echo-upstream python3 /run/echo_upstream.py {PORT}")
    on_vm(f"cp /etc/nginx/nginx.conf /run/nginx.conf.before; printf '%s' '{THEIRS}' >{THEIR_SITE}")
    on_vm(f"sed -i -e 's/^http {{/http {{ {THEIR_LINE}/' -e '1i worker_rlimit_nofile 4096;' /etc/nginx/nginx.conf")
    try:
        more = {"nginx_sites": "{{ topology_nginx_sites + [" + json.dumps(SITE) + "] }}"}
        site = play("site", inventory, *ONLY_NGINX, extra=more)
        assert site.rc == 0, site.failure
        place = urlsplit(outputs["api_url"])
        found = str(place.hostname), int(place.port or 80)
        # Workers of nginx that end answer as before for a moment.
        eventually("the edge knows the site", lambda: status(found) == 200, 30)
        yield found
    finally:
        on_vm("systemctl stop echo-upstream")
        on_vm(f"rm -f {THEIR_SITE}; mv /run/nginx.conf.before /etc/nginx/nginx.conf")
        back = play("site", inventory, *ONLY_NGINX)
    assert back.rc == 0, back.failure


def status(edge: tuple[str, int]) -> int:
    connection = http.client.HTTPConnection(*edge, timeout=10)
    connection.request("GET", "/", headers={"Host": NAME})
    answer = connection.getresponse().status
    connection.close()
    return answer


def seen(edge: tuple[str, int], **headers: str) -> dict[str, str]:
    connection = http.client.HTTPConnection(*edge, timeout=10)
    connection.request("GET", "/", headers={"Host": NAME, **headers})
    answer = connection.getresponse()
    assert answer.status == 200
    told: dict[str, str] = json.load(answer)
    connection.close()
    return told


def test_an_application_learns_who_asked_and_for_what(edge: tuple[str, int]) -> None:
    told = seen(edge)
    assert told["host"] == NAME
    assert told["x-forwarded-host"] == NAME
    assert told["x-forwarded-proto"] == "http"
    assert told["x-forwarded-for"] == told["x-real-ip"]
    socket.inet_pton(socket.AF_INET, told["x-real-ip"])
    assert told["x-real-ip"] != "127.0.0.1", "nginx took itself for the client"
    assert "upgrade" not in told
    assert told.get("connection", "").lower() != "upgrade"


def test_a_client_cannot_pass_for_another_one(edge: tuple[str, int]) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "X-Forwarded-Proto": "https"}
    told = seen(edge, **forged, **{"X-Forwarded-Host": "evil.example"})
    assert told["x-real-ip"] != "203.0.113.7"
    assert told["x-forwarded-for"] == f"203.0.113.7, {told['x-real-ip']}", "the client's own address comes last"
    assert told["x-forwarded-proto"] == "http"
    assert told["x-forwarded-host"] == NAME


def test_a_websocket_reaches_the_application(edge: tuple[str, int]) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    ask = (
        f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    with socket.create_connection(edge, 10) as connection, connection.makefile("rb") as answer:
        connection.sendall(ask.encode())
        assert answer.readline().split()[1] == b"101"
        while answer.readline().strip():
            pass
        for word in (b"one", b"two"):
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(word))
            connection.sendall(bytes([0x81, 0x80 | len(word)]) + mask + masked)
            assert answer.read(2 + len(word)) == bytes([0x81, len(word)]) + word


@pytest.mark.parametrize(
    "large", [{"Cookie": "a=" + "x" * 15_000}, {"X-Cookie-Bytes": "15000"}], ids=["asked", "answered"]
)
def test_large_cookies_pass(edge: tuple[str, int], large: dict[str, str]) -> None:
    told = seen(edge, **large)
    assert told.get("cookie", "a=") == large.get("Cookie", "a=")


def test_ipv6_is_answered_as_well(edge: tuple[str, int], on_vm: Callable[..., str]) -> None:
    ask = (
        "import http.client as h; c = h.HTTPConnection('::1', 80); "
        f"c.request('GET', '/', headers={{'Host': '{NAME}'}}); print(c.getresponse().read().decode())"
    )
    # Test hosts have it, and no address of it.
    switch = "/proc/sys/net/ipv6/conf/lo/disable_ipv6"
    before = on_vm(f"cat {switch}").strip()
    on_vm(f"echo 0 >{switch}")
    try:
        assert json.loads(on_vm(f'python3 -c "{ask}"'))["x-real-ip"] == "::1"
    finally:
        on_vm(f"echo {before} >{switch}")


def test_what_others_have_stays(edge: tuple[str, int], on_vm: Callable[..., str]) -> None:
    assert on_vm(f"cat {THEIR_SITE}") == THEIRS
    assert THEIR_LINE in on_vm("cat /etc/nginx/nginx.conf")
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:3998').status)"
    assert on_vm(f'python3 -c "{code}"').strip() == "204"
    assert int(on_vm("grep -oP 'worker_connections \\K[0-9]+' /etc/nginx/nginx.conf")) == 8192
    workers = on_vm("pgrep --parent $(cat /run/nginx.pid)").split()
    assert "16384" in on_vm(f"grep 'Max open files' /proc/{workers[0]}/limits")


@pytest.fixture(scope="module")
def behind(edge: tuple[str, int], inventory: Path, on_vm: Callable[..., str]) -> tuple[str, int]:
    """The same edge, which takes this machine for a proxy in front of it, and a client of ACME beside it."""
    on_vm(f"mkdir -p {WEBROOT}/.well-known/acme-challenge && echo answer >{WEBROOT}/.well-known/acme-challenge/token")
    proxy = seen(edge)["x-real-ip"]
    more = {
        "nginx_sites": "{{ topology_nginx_sites + [" + json.dumps(SITE) + "] }}",
        "nginx_trusted_proxies": [f"{proxy}/32"],
        "nginx_acme_webroot": WEBROOT,
    }
    site = play("site", inventory, *ONLY_NGINX, extra=more)
    assert site.rc == 0, site.failure
    eventually(
        "the edge trusts", lambda: seen(edge, **{"X-Forwarded-Proto": "https"})["x-forwarded-proto"] == "https", 30
    )
    return edge


def test_a_trusted_proxy_says_who_asked(behind: tuple[str, int]) -> None:
    said = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7", "X-Forwarded-Proto": "https"}
    told = seen(behind, **said)
    assert told["x-real-ip"] == "203.0.113.7", (
        "the last one that is no proxy; what a client says of itself comes before"
    )
    assert told["x-forwarded-for"].startswith("198.51.100.9, 203.0.113.7, ")
    assert told["x-forwarded-proto"] == "https"
    assert seen(behind)["x-forwarded-proto"] == "http"
    assert seen(behind, **{"X-Forwarded-Proto": "gopher"})["x-forwarded-proto"] == "http"


def test_the_authority_finds_the_answer(behind: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*behind, timeout=10)
    connection.request("GET", "/.well-known/acme-challenge/token", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"answer\n")


def test_the_other_sites_still_answer(edge: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*edge, timeout=10)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
