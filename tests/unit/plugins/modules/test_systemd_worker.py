# SPDX-License-Identifier: GPL-3.0-or-later
"""The module systemd_worker as Ansible calls it, against a systemd in memory and units on a real disk."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.filter.applications import applications
from ansible_collections.durable.temporal.plugins.filter.systemd_environments import systemd_environments
from ansible_collections.durable.temporal.plugins.module_utils import _systemd
from ansible_collections.durable.temporal.plugins.modules import systemd_worker as module

Json = dict[str, t.Any]
CANARY = "canary\nvalue"


class KilledError(BaseException):
    """The run ends here, without a chance to do anything else."""


class FakeSystemd(module.Systemd):
    """Starts what is asked for. Units of a ``crashing`` release fail; each has a process id of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root / "units"))
        self.root = root
        self.loaded: dict[str, Json] = {}
        self.enabled: set[str] = set()
        self.calls: list[str] = []
        self.crashing: set[str] = set()
        self.pid = 100
        self.kill_at = -1
        self.fewest: dict[str, int] = {}
        self.units.mkdir()

    def active(self, pattern: str) -> list[str]:
        return sorted(n for n, u in self.loaded.items() if fnmatch(n, pattern) and u["state"] == "active")

    def call(self, *arguments: str) -> str:
        verb, *rest = (a for a in arguments if not a.startswith("--"))
        if verb == "show":
            return self.show(rest)
        self.kill_at -= 1
        if self.kill_at == 0:
            raise KilledError
        self.calls.append(" ".join([verb, *(self.short(r) for r in rest)]))
        for name in rest:
            if verb != "reset-failed" and not (self.units / name).is_file() and name not in self.loaded:
                raise module.SystemdError(f"Unit {name} not loaded.")
            if verb == "start":
                self.start(name)
            elif verb == "stop":
                self.loaded.pop(name, None)
            elif verb == "enable":
                self.enabled.add(name)
            elif verb == "disable":
                self.enabled.discard(name)
        for pattern in self.fewest:
            self.fewest[pattern] = min(self.fewest[pattern], len(self.active(pattern)))
        return ""

    def start(self, name: str) -> None:
        self.pid += 1
        lost = any(f"@{release}." in name for release in self.crashing)
        self.loaded[name] = {"state": "failed" if lost else "active", "pid": 0 if lost else self.pid}

    def show(self, patterns: list[str]) -> str:
        names = {n for p in patterns for n in [*self.loaded, p] if fnmatch(n, p) and "*" not in n}
        blocks = []
        for name in sorted(names):
            unit = self.loaded.get(name, {"state": "inactive", "pid": 0})
            boot = "enabled" if name in self.enabled else "disabled"
            blocks.append(
                f"Id={name}\nActiveState={unit['state']}\nSubState=x\nMainPID={unit['pid']}\nNRestarts=0\n"
                f"UnitFileState={boot}\nResult={'exit-code' if unit['state'] == 'failed' else 'success'}\n"
            )
        return "\n".join(blocks)

    def said(self, unit: str, since: float) -> str:
        return f"\nLast lines of {unit}:\n  Error: boom"

    @staticmethod
    def short(name: str) -> str:
        """``worker@r1.1`` of a unit's whole name."""
        unit = _systemd.parse("orders", name)
        return f"{unit.process}@{unit.release}.{unit.number}" if unit else name


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    fake = FakeSystemd(tmp_path)

    @contextlib.contextmanager
    def alone(_path: Path, _wait: float) -> Iterator[int]:
        yield 0

    monkeypatch.setattr(module, "Systemd", lambda: fake)
    monkeypatch.setattr(module, "alone", alone)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    (tmp_path / "etc").mkdir()
    switch(fake, "r1")
    return fake


def switch(fake: FakeSystemd, release: str) -> None:
    (fake.root / "releases" / release).mkdir(parents=True, exist_ok=True)
    (fake.root / "current").unlink(missing_ok=True)
    (fake.root / "current").symlink_to(f"releases/{release}")


def declare(fake: FakeSystemd, **fields: t.Any) -> Json:
    return {
        "name": "orders",
        "root": str(fake.root),
        "runtime": "systemd",
        "dependencies": "none",
        "port": 8090,
        "task_queues": ["orders"],
        "environment": {"KEY": CANARY},
        "processes": [
            {"name": "worker", "command": ["bin/worker"], "instances": 2},
            {"name": "api", "command": ["bin/api"], "socket": True},
        ],
        **fields,
    }


def run(
    fake: FakeSystemd, check: bool = False, state: str = "started", options: Json | None = None, **fields: t.Any
) -> Json:
    declared = declare(fake, **fields)
    (view,) = applications({}, [declared], "systemd")
    view["configuration"] = str(fake.root / "etc")
    secrets = {
        path.replace("/etc/durable-temporal/orders", str(fake.root / "etc")): text
        for path, text in systemd_environments({}, [declared]).items()
    }
    given = {
        "applications": [view],
        "secrets": secrets,
        "state": state,
        "wait_seconds": 1,
        "stable_seconds": 0,
        **(options or {}),
    }
    fake.calls.clear()
    out = io.StringIO()
    with (
        patch_module_args({**given, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        pytest.raises(SystemExit),
    ):
        module.main()
    assert "canary" not in out.getvalue()
    return t.cast("Json", json.loads(out.getvalue()))


def running(fake: FakeSystemd) -> list[str]:
    return sorted(fake.short(n) for n in fake.active("*"))


ALL_OF = "api@{0}.1 orders-api.socket worker@{0}.1 worker@{0}.2"


def test_create_again_change_again_check_absent_again(fake: FakeSystemd) -> None:
    assert run(fake, check=True)["changed"]
    assert fake.calls == []

    first = run(fake)
    assert first["changed"]
    assert running(fake) == ALL_OF.format("r1").split()
    assert [c["status"] for c in first["checks"]] == ["healthy", "healthy"]
    assert len(first["pids"]["orders"]) == 3
    assert len(fake.enabled) == 4
    environment = next((fake.root / "etc").glob("worker.*.env"))
    assert environment.stat().st_mode & 0o777 == 0o600
    assert not run(fake)["changed"]
    assert not run(fake, check=True)["changed"]
    assert fake.calls == []

    switch(fake, "r2")
    predicted = run(fake, check=True)
    second = run(fake, options={"live": {"orders": "r2"}})
    assert second["diff"] == predicted["diff"]
    assert running(fake) == ALL_OF.format("r2").split()
    assert len(fake.enabled) == 4
    assert not run(fake)["changed"]

    assert run(fake, state="deleted")["changed"]
    assert running(fake) == []
    assert list(fake.units.iterdir()) == list((fake.root / "etc").iterdir()) == []
    assert not run(fake, state="deleted")["changed"]


def test_new_ones_run_and_are_enabled_before_old_ones_end_in_the_order_of_the_processes(fake: FakeSystemd) -> None:
    run(fake)
    switch(fake, "r2")
    run(fake)
    steps = [c for c in fake.calls if c.split()[0] in ("start", "stop", "enable")]
    assert steps == [
        "start worker@r2.1 worker@r2.2",
        "start api@r2.1",
        "enable orders-api.socket worker@r2.1 worker@r2.2 api@r2.1",
        "stop worker@r1.1 worker@r1.2",
        "stop api@r1.1",
    ]


def test_a_release_that_does_not_start_leaves_the_old_one_as_it_was(fake: FakeSystemd) -> None:
    run(fake)
    before = (sorted(p.name for p in fake.root.rglob("*.*") if p.is_file()), dict(fake.loaded), set(fake.enabled))
    switch(fake, "r2")
    fake.crashing.add("r2")
    result = run(fake, environment={"KEY": "another"}, options={"wait_seconds": 20})
    assert result["failed"]
    assert "orders: orders-worker@r2." in result["msg"]
    assert "(after 2" not in result["msg"], "what has failed is not waited for"
    assert "is failed" in result["msg"]
    assert "Error: boom" in result["msg"]
    after = (sorted(p.name for p in fake.root.rglob("*.*") if p.is_file()), dict(fake.loaded), set(fake.enabled))
    assert after == before
    switch(fake, "r1")
    assert not run(fake)["changed"]


def test_a_first_release_that_does_not_start_leaves_no_socket_behind(fake: FakeSystemd) -> None:
    fake.crashing.add("r1")
    assert run(fake)["failed"]
    assert list(fake.units.iterdir()) == []
    fake.crashing.clear()
    assert not run(fake).get("failed")


@pytest.mark.parametrize("step", range(1, 24))
def test_an_interruption_anywhere_is_made_good_and_never_leaves_nothing_running(fake: FakeSystemd, step: int) -> None:
    run(fake)
    switch(fake, "r2")
    fake.fewest = {"orders-worker@*": 9, "orders-api@*": 9, "orders-api.socket": 9}
    fake.kill_at = step
    with contextlib.suppress(KilledError):
        run(fake)
    fake.kill_at = -1
    assert not run(fake).get("failed")
    assert running(fake) == ALL_OF.format("r2").split()
    assert len(fake.enabled) == 4
    assert fake.fewest == {"orders-worker@*": 2, "orders-api@*": 1, "orders-api.socket": 1}
    assert not run(fake)["changed"]
    assert len([p for p in fake.root.rglob("*") if p.suffix in (".service", ".socket", ".env", ".new")]) == 6


PORTED = [{"name": "worker", "command": ["bin/worker"]}, {"name": "api", "command": ["bin/api"]}]


def test_an_instance_with_a_port_of_its_own_ends_before_its_successor(
    fake: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    apis = {pid for pid in range(100, 200) if pid % 2 == 0}
    monkeypatch.setattr(module, "has_port", lambda pid: pid in apis)
    run(fake, processes=PORTED)
    apis = {u["pid"] for name, u in fake.loaded.items() if "-api@" in name}
    switch(fake, "r2")
    fake.calls.clear()
    done = run(fake, processes=PORTED)
    assert done["changed"]
    order = [call for call in fake.calls if call.startswith(("start", "stop"))]
    assert order[:3] == ["start worker@r2.1", "stop api@r1.1", "start api@r2.1"]
    # What fails leaves what ran before.
    apis = {u["pid"] for name, u in fake.loaded.items() if "-api@" in name}
    switch(fake, "r3")
    fake.crashing.add("r3")
    apis |= {u["pid"] for u in fake.loaded.values()}
    assert run(fake, processes=PORTED)["failed"]
    assert running(fake) == ["api@r2.1", "worker@r2.1"]
    switch(fake, "r2")
    assert run(fake, check=True, processes=PORTED)["changes"] == []


def test_a_socket_that_is_no_longer_wanted_ends_before_the_program_opens_its_port(
    fake: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_port", lambda _pid: False)
    run(fake)
    fake.calls.clear()
    run(fake, processes=PORTED)
    order = [call for call in fake.calls if "api" in call and call.startswith(("start", "stop"))]
    assert order[:2] == ["stop orders-api.socket", "start api@r1.1"]
    assert "orders-api.socket" not in running(fake)
    fake.crashing.add("r2")
    run(fake)
    switch(fake, "r2")
    assert run(fake, processes=PORTED)["failed"]
    assert "orders-api.socket" in running(fake)


def test_another_declaration_runs_beside_and_an_unwanted_process_goes(fake: FakeSystemd) -> None:
    run(fake)
    names = set(fake.loaded)
    changed = run(fake, environment={"KEY": "another"})
    assert changed["changed"]
    assert not names - {"orders-api.socket"} & set(fake.loaded)
    assert len(list((fake.root / "etc").iterdir())) == 2
    run(fake, processes=[{"name": "worker", "command": ["bin/worker"]}])
    assert running(fake) == ["worker@r1.1"]


def test_the_socket_stays_open_and_names_a_live_unit(fake: FakeSystemd) -> None:
    run(fake)
    switch(fake, "r2")
    run(fake)
    assert not [c for c in fake.calls if c.startswith("stop orders-api.socket")]
    _listen, service = _systemd.listens((fake.units / "orders-api.socket").read_text())
    assert service in fake.loaded
    run(fake, port=8091)
    assert "start orders-api.socket" in fake.calls
    assert _systemd.listens((fake.units / "orders-api.socket").read_text())[0] == "127.0.0.1:8091"
    assert not run(fake, port=8091)["changed"]


def test_builds_of_a_worker_deployment_stay_until_they_are_retired(fake: FakeSystemd) -> None:
    versioned = {"versioning": "worker_deployment"}
    run(fake, **versioned)
    switch(fake, "r2")
    run(fake, **versioned)
    assert running(fake) == [
        "api@r2.1",
        "orders-api.socket",
        "worker@r1.1",
        "worker@r1.2",
        "worker@r2.1",
        "worker@r2.2",
    ]
    assert not run(fake, **versioned)["changed"]
    assert run(fake, options={"retired": {"orders": ["r1"]}}, **versioned)["changed"]
    assert running(fake) == ALL_OF.format("r2").split()
    text = next(fake.units.glob("orders-worker@*")).read_text()
    assert "TEMPORAL_DEPLOYMENT_NAME=orders TEMPORAL_BUILD_ID=r2" in text


def test_a_candidate_runs_beside_on_a_port_and_a_queue_of_its_own(fake: FakeSystemd) -> None:
    run(fake)
    (fake.root / "releases/r2").mkdir()
    result = run(fake, state="candidate", options={"live": {"orders": "r2"}})
    (row,) = result["candidates"]
    assert (row["name"], row["release"], row["task_queues"]) == ("orders", "r2", ["orders-candidate-r2"])
    assert len(row["pids"]) == 2
    assert {"api@r2.candidate", "worker@r2.candidate", *ALL_OF.format("r1").split()} == set(running(fake))
    own = (fake.root / "etc/worker.candidate.env").read_text()
    assert 'TEMPORAL_TASK_QUEUE="orders-candidate-r2"' in own
    assert 'PORT="8090"' not in own
    text = next(fake.units.glob("orders-api@*candidate*")).read_text()
    assert "Sockets=" not in text
    assert "Restart=" not in text

    assert run(fake, state="withdrawn")["changed"] is False
    assert running(fake) == ALL_OF.format("r1").split()
    run(fake, state="candidate", options={"live": {"orders": "r2"}})
    switch(fake, "r2")
    run(fake)
    assert running(fake) == ALL_OF.format("r2").split()
    assert not list((fake.root / "etc").glob("*candidate*"))
    assert run(fake, state="candidate")["candidates"] == []


def test_a_candidate_that_fails_is_gone_and_what_runs_was_not_touched(fake: FakeSystemd) -> None:
    run(fake)
    before = (dict(fake.loaded), sorted(p.name for p in (fake.root / "etc").iterdir()))
    (fake.root / "releases/r2").mkdir()
    fake.crashing.add("r2")
    result = run(fake, state="candidate", options={"live": {"orders": "r2"}}, environment={"KEY": "x"})
    assert "release r2 was tried beside the live one and refused" in result["msg"]
    assert "Error: boom" in result["msg"]
    assert (dict(fake.loaded), sorted(p.name for p in (fake.root / "etc").iterdir())) == before
    assert len(list(fake.units.iterdir())) == 4


def test_without_a_release_nothing_is_done(fake: FakeSystemd) -> None:
    (fake.root / "current").unlink()
    result = run(fake)
    assert (result["changed"], result["applications"][0]["release"], fake.calls) == (False, "", [])
    assert run(fake, check=True, options={"live": {"orders": "r7"}})["changed"]
    assert run(fake, state="candidate", options={"live": {"orders": "r7"}})["candidates"] == []


def test_another_live_release_than_expected_is_refused(fake: FakeSystemd) -> None:
    result = run(fake, options={"live": {"orders": "r9"}})
    assert "points to r1; expected r9. Is another deployment running?" in result["msg"]


def test_a_file_of_which_the_secrets_are_missing_is_named(fake: FakeSystemd) -> None:
    assert "secrets does not hold" in run(fake, options={"secrets": {}})["msg"]


def test_a_unit_or_a_file_that_somebody_has_changed_is_made_good(fake: FakeSystemd) -> None:
    run(fake)
    unit = next(fake.units.glob("orders-worker@*"))
    text = unit.read_text()
    unit.write_text(text + "# changed\n")
    next((fake.root / "etc").glob("worker.*")).write_text("KEY=x\n")
    assert [c["fields"] for c in run(fake)["changes"]] == [["file"], ["file"]]
    assert unit.read_text() == text
    assert not run(fake)["changed"]


def test_units_of_another_application_with_a_similar_name_are_left_alone(fake: FakeSystemd) -> None:
    other = fake.units / "orders-api-x@r1.00000000.1.service"
    other.write_text(f"{_systemd.MARK} orders-api: never changed\n")
    run(fake)
    run(fake, state="deleted")
    assert list(fake.units.iterdir()) == [other]


def test_units_of_another_application_with_the_same_prefix_are_left_alone(fake: FakeSystemd) -> None:
    """Process ``api`` of ``orders`` and what another application has called ``orders-api``, with a unit that runs."""
    other = fake.units / "orders-api@r1.00000000.1.service"
    other.write_text(f"{_systemd.MARK} orders-of-others: never changed\n")
    fake.start(other.name)
    before = dict(fake.loaded[other.name])
    assert other.name not in json.dumps(run(fake))
    assert fake.loaded[other.name] == before
    run(fake, state="deleted")
    assert list(fake.units.iterdir()) == [other]
    assert fake.loaded == {other.name: before}


@pytest.mark.parametrize(
    ("text", "whose"),
    [(f"{_systemd.MARK} orders-of-others: x\n", "orders-of-others"), ("[Socket]\n", "somebody else")],
)
def test_a_socket_of_others_is_not_replaced(fake: FakeSystemd, text: str, whose: str) -> None:
    other = fake.units / "orders-api.socket"
    other.write_text(text)
    fake.start(other.name)
    for check in (True, False):
        result = run(fake, check=check)
        assert result["failed"]
        assert f"orders-api.socket, which belongs to {whose}" in result["msg"]
    assert fake.calls == []
    assert other.read_text() == text
    assert list(fake.units.iterdir()) == [other]


@pytest.mark.parametrize("healthy", [True, False])
def test_health_decides(fake: FakeSystemd, monkeypatch: pytest.MonkeyPatch, healthy: bool) -> None:
    run(fake)
    monkeypatch.setattr(module, "health", lambda _url: (healthy, "503 no"))
    switch(fake, "r2")
    result = run(fake, health_url="http://127.0.0.1:8090/health")
    assert result.get("failed", False) is not healthy
    assert ("answers: 503 no; expected 200 and status healthy" in result.get("msg", "")) is not healthy
    assert running(fake) == ALL_OF.format("r2" if healthy else "r1").split()
