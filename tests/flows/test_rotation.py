# SPDX-License-Identifier: GPL-3.0-or-later
"""New passwords, certificates and keys under load: nothing is lost, and whoever is cut off leaves something that works."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from load import Load
from play import Run, interrupt, play
from releases import deploy_with
from test_bad_days import OnVm, Orders, eventually, replaced
from test_workflows_survive import NEVER, ONCE, approving, audited
from vm import Vm

ORDERS = 100
DATABASE, SUPERUSER = "temporal-database-password", "postgres-superuser-password"
USERS = {DATABASE: "temporal", SUPERUSER: "postgres"}
ALL = {"rotate_renew": "all"}
HELD = "/opt/order-processing/temporal/secrets"
# The password comes from the standard input; over TCP, as everybody but PostgreSQL's own socket does.
LOGIN = "PGPASSWORD=$(cat) psql -w -h 127.0.0.1 -U {user} -d postgres -Atc 'select current_user' 2>&1"


class Passwords:
    """The provider's files, and what PostgreSQL says about a password."""

    def __init__(self, run_dir: Path, vm: Vm) -> None:
        self.directory, self.vm = run_dir / "secrets", vm

    def now(self) -> dict[str, str]:
        return {name: (self.directory / name).read_text().strip() for name in USERS}

    def answer(self, name: str, password: str) -> str:
        script = LOGIN.format(user=USERS[name])
        return self.vm.sh('docker exec -i temporal-postgres sh -c "$1" || :', script, stdin=password).strip()

    def check(self, former: dict[str, str]) -> None:
        """Those of now are let in, and those of before are not, if they are others."""
        for name, password in self.now().items():
            assert self.answer(name, password) == USERS[name]
            if former[name] != password:
                assert f'password authentication failed for user "{USERS[name]}"' in self.answer(name, former[name])

    def handed_out(self, former: dict[str, str]) -> dict[str, str]:
        """The new values of a rotation that has not ended."""
        now = self.now()
        unfinished = [name for name in USERS if (self.directory / f".former-{name}").exists()]
        return {name: now[name] for name in unfinished if now[name] != former[name]}

    def leftovers(self) -> list[str]:
        """What only a rotation that has not ended has."""
        here = [path.name for path in self.directory.glob(".*") if path.name != ".gitignore"]
        return here + self.vm.sh(f"find {HELD} -name '*-password?*'").split()


@pytest.fixture
def vm(outputs: dict[str, str]) -> Vm:
    return Vm(outputs["vm"])


@pytest.fixture
def passwords(run_dir: Path, vm: Vm) -> Passwords:
    return Passwords(run_dir, vm)


@pytest.fixture
def orders(outputs: dict[str, str]) -> Orders:
    made = Orders(outputs["api_url"])
    assert made.healthy(), "the platform must be healthy before a rotation"
    return made


def started(vm: Vm) -> dict[str, str]:
    """Since when the containers run."""
    return {name: container.inspected["State"]["StartedAt"] for name, container in vm.containers().items()}


def reconnect(vm: Vm) -> int:
    """Ends every connection to the database, so that what works afterwards works with new ones; how many they were."""
    ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'temporal'"
    return int(vm.psql("postgres", ended))


def works(orders: Orders, name: str) -> None:
    """An order comes through."""
    case = f"{name}-{time.time_ns()}"

    def taken() -> bool:
        try:
            orders.start(case)
        except AssertionError:
            return False
        return True

    eventually(f"{case} is taken", taken)
    eventually(f"{case} completes", lambda: orders.completed(case), 120)


def rotate(inventory: Path, *arguments: str, **extra: Any) -> Run:
    run = play("rotate", inventory, *arguments, extra=extra)
    assert run.rc == 0, run.failure
    return run


def test_rotation_under_load_loses_nothing(
    inventory: Path, outputs: dict[str, str], orders: Orders, passwords: Passwords, vm: Vm, on_vm: OnVm
) -> None:
    former, since = passwords.now(), started(vm)
    prefix = f"rotated-{time.time_ns()}-"
    cases = [f"{prefix}{number}" for number in range(ORDERS)]
    for number, case in enumerate(cases):
        orders.start(case, waitForSignal=bool(number % 2), holdSeconds=number % 30)
    predicted = rotate(inventory, "--check", **ALL)
    assert (passwords.now(), passwords.leftovers()) == (former, []), "check mode has changed something"
    with approving(orders, cases[1::2]), Load(outputs["api_url"], rate=20, mix="mixed") as load:
        run = rotate(inventory, **ALL)
    assert run.changed, "nothing was rotated"
    assert predicted.changed == run.changed
    assert load.report.lost == 0, (load.report, load.report.failures)
    eventually("all orders complete", lambda: all(orders.completed(case) for case in cases), 300)
    trail = audited(on_vm, prefix)
    done = Counter((event["caseId"], event["event"]) for event in trail)
    assert {case: {name: done[case, name] for name in ONCE} for case in cases} == {
        case: dict.fromkeys(ONCE, 1) for case in cases
    }
    assert [key for key in done if key[1] in NEVER] == []

    assert set(former.values()).isdisjoint(passwords.now().values())
    passwords.check(former)
    assert passwords.leftovers() == []
    assert started(vm) == since, "something was restarted"
    assert reconnect(vm) > 0
    works(orders, "reconnected")


def test_without_a_new_value_nothing_changes(inventory: Path, passwords: Passwords, vm: Vm) -> None:
    before = passwords.now()
    assert rotate(inventory).changed == []
    predicted = rotate(inventory, "--check", "--diff", **ALL)
    assert predicted.changed[0] == "Have new values made"
    assert passwords.now() == before
    assert passwords.leftovers() == []
    site = play("site", inventory)
    assert site.rc == 0, site.failure
    assert site.changed == [], "after a rotation the site differs from what is declared"


def test_a_value_that_somebody_else_put_there_is_taken(
    inventory: Path, passwords: Passwords, vm: Vm, orders: Orders
) -> None:
    former, since = passwords.now(), started(vm)
    (passwords.directory / DATABASE).write_text("Put-here_by.another-hand/+%$x\"'1@:é\n")
    predicted = rotate(inventory, "--check", "--diff")
    assert predicted.changed
    assert passwords.answer(DATABASE, former[DATABASE]) == "temporal", "check mode has changed something"
    assert rotate(inventory).changed
    passwords.check(former)
    assert started(vm) == since
    reconnect(vm)
    works(orders, "by-hand")


def test_a_renewal_that_nobody_here_can_make_is_refused(inventory: Path, passwords: Passwords) -> None:
    before = passwords.now()
    refused = play("rotate", inventory, extra={"rotate_renew": "temporal-databse-password"})
    assert refused.rc != 0
    assert DATABASE in refused.failure
    assert passwords.now() == before
    assert passwords.leftovers() == []


def test_cut_off_at_each_step_it_goes_on_and_the_next_run_finishes(
    inventory: Path, outputs: dict[str, str], passwords: Passwords, vm: Vm, orders: Orders
) -> None:
    names = [task.name for task in play("rotate", inventory, "--check").tasks]
    assert len(names) > 7
    since = started(vm)
    cut, passed_on = [], 0
    with Load(outputs["api_url"], rate=20, mix="mixed") as load:
        for number in range(len(names)):
            former = passwords.now()
            begun = interrupt("rotate", inventory, number, 0.4 * (number % 3), extra=ALL)
            cut.append(begun)
            begun_with = passwords.handed_out(former)
            works(orders, f"cut-{number}")
            rotate(inventory, **ALL)
            after = passwords.now()
            assert {name: after[name] for name in begun_with} == begun_with, "it did not go on with what it had begun"
            passwords.check(former)
            assert set(after.values()).isdisjoint(former.values())
            assert passwords.leftovers() == []
            passed_on += bool(begun_with)
    assert passed_on >= 4, "it was cut off too early or too late to see that it goes on"
    assert sum(begun is not None for begun in cut) >= len(names) - 1, f"too few runs were really cut off: {cut}"
    assert load.report.lost == 0, (load.report, load.report.failures)
    assert started(vm) == since


@pytest.mark.parametrize("changed", [False, True], ids=["before PostgreSQL", "after PostgreSQL"])
def test_a_server_that_restarts_half_way_comes_back_by_itself(
    inventory: Path, passwords: Passwords, vm: Vm, orders: Orders, changed: bool
) -> None:
    """Also with nobody there to run the playbook again."""
    former = passwords.now()
    steps = [task.name for task in play("rotate", inventory, "--check").tasks]
    # The first of these is when PostgreSQL is only looked at.
    _look, alter = [index for index, name in enumerate(steps) if "Set the passwords of the users" in name]
    take = next(index for index, name in enumerate(steps) if "the password that the server reads" in name)
    interrupt("rotate", inventory, take if changed else alter, 0, extra={"rotate_renew": DATABASE})
    assert passwords.leftovers(), "it was not cut off half way"
    new = passwords.now()[DATABASE]
    assert passwords.answer(DATABASE, new if changed else former[DATABASE]) == "temporal"
    vm.run("docker", "restart", "temporal-server")
    eventually("the server is healthy", lambda: vm.containers()["temporal-server"].health == "healthy", 120)
    works(orders, "restarted")
    rotate(inventory, rotate_renew=DATABASE)
    assert passwords.now()[DATABASE] == new
    passwords.check(former)


# Certificates ---------------------------------------------------------------------------------------------------------

SITE = "tls.example"


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate of our own making and its key."""
    made = directory / f"{name}.crt", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={SITE}"]
    names = ["-addext", f"subjectAltName=DNS:{SITE}", "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return made


@dataclass
class Browser:
    """Asks over TLS again and again, each time with a new connection; which certificates it saw, and what went wrong."""

    host: str
    trusted: list[Path]
    seen: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> bytes:
        context = ssl.create_default_context()
        for path in self.trusted:
            context.load_verify_locations(path)

        with (
            socket.create_connection((self.host, 443), 10) as plain,
            context.wrap_socket(plain, server_hostname=SITE) as tls,
        ):
            tls.sendall(f"GET /health HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: tls.recv(65536), b""))
            assert b" 200 " in answer.split(b"\r\n", 1)[0], answer[:200]
            return tls.getpeercert(binary_form=True) or b""

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.seen.append(self.ask())
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
            self._stop.wait(0.02)

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


@pytest.fixture
def edge(inventory: Path, passwords: Passwords) -> Iterator[dict[str, Any]]:
    """One more site, with a certificate from the provider; it is gone afterwards."""
    values = {
        f"{what}_content": f"{{{{ lookup('durable.temporal.secret', 'tls-{what}') }}}}"
        for what in ("certificate", "key")
    }
    tls = {"certificate": f"/etc/nginx/tls/{SITE}.crt", "key": f"/etc/nginx/tls/{SITE}.key", **values}
    site = {"name": "tls", "kind": "app", "server_name": SITE, "upstream_servers": ["127.0.0.1:3000"], "tls": tls}
    # A list of the inventory and one more: text, so that both are templates.
    yield {"rotated_site": site, "nginx_sites": "{{ topology_nginx_sites + [rotated_site] }}"}
    for name in ("tls-certificate", "tls-key"):
        (passwords.directory / name).unlink(missing_ok=True)
    back = play("site", inventory, "--tags", "nginx")
    assert back.rc == 0, back.failure


def test_a_new_certificate_is_taken_over_without_a_lost_connection(
    inventory: Path, edge: dict[str, Any], passwords: Passwords, vm: Vm, tmp_path: Path
) -> None:
    pairs = [certificate(tmp_path, name) for name in ("first", "second")]

    def put(crt: Path, key: Path) -> None:
        for name, path in {"tls-certificate": crt, "tls-key": key}.items():
            (passwords.directory / name).write_text(path.read_text())
            (passwords.directory / name).chmod(0o600)

    def nginx() -> Run:
        return play("site", inventory, "--tags", "nginx", extra=edge)

    put(*pairs[0])
    first = nginx()
    assert first.rc == 0, first.failure
    main = vm.run("systemctl", "show", "-p", "MainPID", "nginx")
    browser = Browser(vm.address(), [crt for crt, _key in pairs])
    with browser.asking():
        put(*pairs[1])
        second = nginx()
        assert second.rc == 0, second.failure
        shown = ssl.PEM_cert_to_DER_cert(pairs[1][0].read_text())
        eventually("the new certificate is shown", lambda: browser.seen[-1:] == [shown])
    assert browser.failures == []
    assert len(set(browser.seen)) == 2
    assert vm.run("systemctl", "show", "-p", "MainPID", "nginx") == main, "nginx was restarted"
    assert nginx().changed == []
    assert vm.run("stat", "-c", "%a %U", f"/etc/nginx/tls/{SITE}.key").split() == ["600", "root"]

    # They do not belong together: what was there stays.
    put(pairs[0][0], pairs[1][1])
    wrong = nginx()
    assert wrong.rc != 0
    assert "key values mismatch" in wrong.failure
    assert "PRIVATE KEY" not in wrong.output
    assert browser.ask() == shown


# Applications ---------------------------------------------------------------------------------------------------------


def test_a_new_secret_of_an_application_reaches_its_processes_without_a_lost_request(
    inventory: Path, outputs: dict[str, str], run_dir: Path, on_vm: OnVm, orders: Orders
) -> None:
    path = run_dir / "secrets" / "CosmosDbKey"

    def keys() -> set[str]:
        """What the processes of the application have in their environment."""
        read = "for pid in $(pgrep -u workflow -f 'dist/(worker|api)'); do tr '\\0' '\\n' <\"/proc/$pid/environ\"; done"
        return {line for line in on_vm(f"{read} 2>/dev/null || :").splitlines() if line.startswith("COSMOS_KEY=")}

    with replaced(path, "the-key-after-the-rotation\n"):
        with Load(outputs["api_url"], rate=20, mix="mixed") as load:
            deploy = deploy_with(inventory, extra={"app_release_watch_seconds": 1})
        assert deploy.rc == 0, deploy.failure
        assert deploy.changed
        eventually("only the new key is in use", lambda: keys() == {"COSMOS_KEY=the-key-after-the-rotation"})
    assert load.report.lost == 0, (load.report, load.report.failures)
    back = deploy_with(inventory, extra={"app_release_watch_seconds": 1})
    assert back.rc == 0, back.failure
    works(orders, "back")
