# SPDX-License-Identifier: GPL-3.0-or-later
"""The module pm2 as Ansible calls it, against a PM2 in memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import stat
import threading
import time
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.filter.applications import applications
from ansible_collections.durable.temporal.plugins.filter.pm2_ecosystem import pm2_ecosystem
from ansible_collections.durable.temporal.plugins.module_utils import _pm2_daemon
from ansible_collections.durable.temporal.plugins.module_utils._errors import Kind
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule
from ansible_collections.durable.temporal.plugins.modules import pm2
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import FakeTemporal

Json = dict[str, t.Any]
CANARY = "canary-value"


class FakePm2:
    """Starts what the ecosystem says in the release that is live then. ``crashing`` releases never get online."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[Json] = []
        self.calls: list[str] = []
        self.crashing: set[str] = set()
        self.active = True
        self.pid = 100
        self.next_number = 0
        self.started: list[Json] = []
        self.listening: set[str] = set()
        self.slowly = 0.0
        # Programs that end at once.
        self.ending: set[str] = set()
        # Programs that never say that they are ready.
        self.silent: set[str] = set()
        self.idle = threading.Event()
        # Some end while others start.
        self.changing = threading.Lock()

    @property
    def live(self) -> str:
        return (self.root / "current").resolve().name

    def spawn(self, entry: Json, release: str = "") -> Json:
        self.pid += 1
        # As PM2 itself: numbers start over when its list has been empty.
        self.next_number = self.next_number + 1 if self.rows else 0
        release = release or self.live
        crashes = release in self.crashing or entry["name"].removesuffix("-candidate") in self.ending
        env = {
            "status": ("waiting restart" if entry.get("restart_delay") else "stopped") if crashes else "online",
            "restart_time": 5 if crashes and entry["autorestart"] else 0,
            "autorestart": entry["autorestart"],
            "pm_uptime": time.time() * 1000,
            "pm_err_log_path": entry["error_file"],
            **entry["env"],
        }
        sharing = [r for r in self.rows if r["name"] == entry["name"] and r["pm2_env"].get("HOST") != env.get("HOST")]
        if entry["exec_mode"] == "cluster" and sharing:
            env["status"] = "waiting restart"
            with Path(entry["error_file"]).open("a") as file:
                file.write(f"Error: bind EADDRINUSE {env['HOST']}:3000\n")
        if crashes:
            Path(entry["error_file"]).write_text(f"Error: boom\n    at x (node:internal/y)\n    at {entry['script']}\n")
        if entry["wait_ready"] and entry["name"].removesuffix("-candidate") in self.silent:
            env["status"] = "launching"
        return {
            "name": entry["name"],
            "pid": self.pid,
            "pm_id": self.next_number,
            "pm2_env": env,
            "release": release,
        }

    def call(self, daemon: t.Any, *arguments: str) -> str:
        verb, *rest = arguments
        if verb == "jlist":
            return json.dumps(self.rows)
        self.calls.append(" ".join([verb, *(r for r in rest if not r.endswith(".json"))]))
        if verb == "save":
            (daemon.home / "dump.pm2").write_text(json.dumps([{"name": r["name"], **r["pm2_env"]} for r in self.rows]))
            return ""
        if verb == "delete":
            assert set(rest) <= {str(r["pm_id"]) for r in self.rows} | {r["name"] for r in self.rows}
            self.calls[-1] = " ".join([verb, *(self.names()[r] for r in rest)])
            with self.changing:
                self.rows = [r for r in self.rows if r["name"] not in rest and str(r["pm_id"]) not in rest]
            return ""
        raise AssertionError(f"unexpected: pm2 {verb}")

    def start(self, file: Json) -> None:
        self.calls.append("start")
        self.idle.clear()
        self.started = file["apps"]
        for entry in self.started:
            time.sleep(self.slowly)
            tried = Path(entry["cwd"]).name if entry["name"].endswith("-candidate") else ""
            with self.changing:
                for _instance in range(entry["instances"]):
                    self.rows.append(self.spawn(entry, release=tried))
        # PM2 says that it has started them when they are ready or gone, or its patience has come to its end.
        until = time.monotonic() + max(entry["listen_timeout"] / 1000 for entry in file["apps"])
        while time.monotonic() < until and any(r["pm2_env"]["status"] == "launching" for r in self.rows):
            time.sleep(0.01)
        for row in self.rows:
            if row["pm2_env"]["status"] == "launching":
                row["pm2_env"]["status"] = "online"
        self.idle.set()

    def names(self) -> dict[str, str]:
        """Number of each instance to its process and release."""
        return {str(r["pm_id"]): f"{r['name']}@{r['release']}" for r in self.rows} | {
            r["name"]: r["name"] for r in self.rows
        }

    def release_of(self, pid: int) -> str:
        return next(r["release"] for r in self.rows if r["pid"] == pid)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePm2:
    fake = FakePm2(tmp_path)

    def call(daemon: pm2.Daemon, *arguments: str) -> str:
        return fake.call(daemon, *arguments)

    monkeypatch.setattr(pm2.Daemon, "call", call)
    monkeypatch.setattr(pm2.Daemon, "start", lambda _self, file: fake.start(file))
    monkeypatch.setattr(pm2.Daemon, "runs", lambda _self: fake.active)
    monkeypatch.setattr(pm2.Daemon, "alone", lambda _self, _wait: contextlib.nullcontext())
    monkeypatch.setattr(_pm2_daemon, "release_of", fake.release_of)
    monkeypatch.setattr(
        pm2, "listens", lambda pid: any(r["pid"] == pid and r["name"] in fake.listening for r in fake.rows)
    )
    monkeypatch.setattr(pm2, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(_pm2_daemon.Account, "find", lambda user, _group: Account(user, os.getuid(), os.getgid(), ()))
    switch(fake, "r1")
    return fake


def switch(fake: FakePm2, release: str) -> None:
    (fake.root / "releases" / release).mkdir(parents=True, exist_ok=True)
    (fake.root / "current").unlink(missing_ok=True)
    (fake.root / "current").symlink_to(f"releases/{release}")


def run(
    fake: FakePm2,
    check: bool = False,
    state: str = "started",
    live: Json | None = None,
    options: Json | None = None,
    **fields: t.Any,
) -> Json:
    processes = [
        {"name": "worker", "script": "w.js", "instances": 2},
        {"name": "api", "script": "a.js", "exec_mode": "cluster"},
    ]
    declared = {
        "name": "orders",
        "root": str(fake.root),
        "processes": processes,
        "environment": {"KEY": CANARY},
        **fields,
    }
    ecosystem = pm2_ecosystem({}, declared)
    for entry in ecosystem["apps"]:
        entry["error_file"], entry["out_file"] = (
            str(fake.root / f"{entry['name']}-{kind}.log") for kind in ("error", "out")
        )
    path = fake.root / "ecosystem.json"
    if not check:
        path.write_text(json.dumps(ecosystem))
    (view,) = applications({}, [declared], "pm2")
    application = {**view, "ecosystem": str(path), "pm2_home": str(fake.root)}
    given = {
        "applications": [application],
        "state": state,
        "live": live or {},
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
        pm2.main()
    assert CANARY not in out.getvalue().replace(json.dumps(given), "")
    return t.cast("Json", json.loads(out.getvalue()))


def test_create_again_change_again_check_absent_again(fake: FakePm2) -> None:
    assert run(fake, check=True)["changed"]
    assert fake.calls == []

    first = run(fake)
    assert first["changed"]
    assert fake.calls == ["start", "save --force"]
    assert [c["status"] for c in first["checks"]] == ["healthy", "healthy"]
    assert len(first["pids"]["orders"]) == 3
    assert not run(fake)["changed"]
    assert not run(fake, check=True)["changed"]
    assert fake.calls == []

    switch(fake, "r2")
    second = run(fake, live={"orders": "r2"})
    assert second["diff"] == {
        "before": {"orders worker": {"release": "r1"}, "orders api": {"release": "r1"}},
        "after": {"orders worker": {"release": "r2"}, "orders api": {"release": "r2"}},
    }
    assert fake.calls == ["start", "delete worker@r1 worker@r1 api@r1"]
    assert not run(fake)["changed"]

    assert run(fake, state="deleted")["changed"]
    assert fake.calls == ["delete worker@r2 worker@r2 api@r2", "save --force"]
    assert not run(fake, state="deleted")["changed"]


def test_a_crashing_release_fails_although_pm2_is_content_and_leaves_the_old_one(fake: FakePm2) -> None:
    run(fake)
    before = list(fake.rows)
    switch(fake, "r2")
    fake.crashing.add("r2")
    result = run(fake)
    assert fake.rows == before
    assert result["failed"]
    assert "orders: worker is waiting restart: 0 of 2 online" in result["msg"]
    assert "Error: boom" in result["msg"]
    assert "node:internal" not in result["msg"]
    switch(fake, "r1")
    assert not run(fake)["changed"]


def test_what_listens_itself_ends_before_its_successor_starts(fake: FakePm2) -> None:
    run(fake)
    fake.listening.add("worker")
    switch(fake, "r2")
    assert run(fake)["changed"]
    assert fake.calls == ["delete worker@r1 worker@r1", "start", "delete api@r1"]


def test_a_successor_may_get_the_number_of_the_only_process_before_it(fake: FakePm2) -> None:
    only = [{"name": "api", "script": "api.js"}]
    run(fake, processes=only)
    fake.listening.add("api")
    number = fake.rows[0]["pm_id"]
    switch(fake, "r2")
    result = run(fake, processes=only)
    assert (result["changed"], result.get("msg")) == (True, None)
    assert fake.calls == ["delete api@r1", "start"]
    assert [(r["pm_id"], r["release"]) for r in fake.rows] == [(number, "r2")]

    switch(fake, "r3")
    fake.crashing.add("r3")
    assert run(fake, processes=only)["failed"]
    assert fake.rows == []


def test_what_pm2_could_start_only_in_part_is_taken_away(fake: FakePm2, monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake)
    before = list(fake.rows)
    switch(fake, "r2")

    def start(_daemon: pm2.Daemon, file: Json) -> None:
        fake.start(file)
        raise pm2.Pm2Error("pm2 start failed: no such script")

    monkeypatch.setattr(pm2.Daemon, "start", start)
    assert "no such script" in run(fake)["msg"]
    assert fake.rows == before


def test_what_cannot_be_ended_is_said(fake: FakePm2, monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake)
    switch(fake, "r2")

    def call(daemon: pm2.Daemon, *arguments: str) -> str:
        if arguments[0] == "delete":
            raise pm2.Pm2Error("pm2 delete did not end within 360 s")
        return fake.call(daemon, *arguments)

    monkeypatch.setattr(pm2.Daemon, "call", call)
    assert "pm2 delete did not end" in run(fake)["msg"]


def test_a_list_for_the_next_boot_is_made_good(fake: FakePm2) -> None:
    run(fake)
    (fake.root / "dump.pm2").unlink()
    result = run(fake)
    assert result["changed"]
    assert fake.calls == ["save --force"]
    assert not run(fake)["changed"]


def test_without_a_release_nothing_is_done(fake: FakePm2) -> None:
    (fake.root / "current").unlink()
    result = run(fake)
    assert (result["changed"], result["applications"][0]["release"], fake.calls) == (False, "", [])
    assert run(fake, check=True, live={"orders": "r7"})["changed"]


def test_another_live_release_than_expected_is_refused(fake: FakePm2) -> None:
    result = run(fake, live={"orders": "r9"})
    assert "points to r1; expected r9. Is another deployment running?" in result["msg"]


def test_no_command_without_the_unit(fake: FakePm2) -> None:
    fake.active = False
    result = run(fake)
    assert "orders-pm2.service is not active" in result["msg"]
    assert fake.calls == []
    assert run(fake, check=True)["changed"]


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [((True, '200 {"status":"healthy"}'), True), ((False, '503 {"status":"unhealthy"}'), False)],
)
def test_health_decides(
    fake: FakePm2, monkeypatch: pytest.MonkeyPatch, answer: tuple[bool, str], healthy: bool
) -> None:
    monkeypatch.setattr(pm2, "health", lambda _url: answer)
    result = run(fake, health_url="http://127.0.0.1:1/health")
    assert result.get("failed", False) is not healthy
    if healthy:
        assert result["checks"][-1]["name"] == "http://127.0.0.1:1/health"
    else:
        assert f"answers: {answer[1]}; expected 200 and status healthy" in result["msg"]


def test_reloaded_replaces_what_does_not_differ(fake: FakePm2) -> None:
    run(fake)
    before = {r["pid"] for r in fake.rows}
    assert run(fake, state="reloaded")["changed"]
    assert fake.calls == ["start", "delete worker@r1 worker@r1 api@r1"]
    assert not before & {r["pid"] for r in fake.rows}


def test_an_ecosystem_that_is_given_is_written_and_compared(fake: FakePm2) -> None:
    run(fake)
    path = fake.root / "ecosystem.json"
    same = {str(path): json.dumps(json.loads(path.read_text()), indent=2)}
    written = run(fake, options={"ecosystems": same})
    assert written["changed"]
    assert fake.calls == []
    assert path.read_text() == same[str(path)] + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # `run` writes it anew, in its own form.
    assert run(fake, check=True, options={"ecosystems": {str(path): "{}"}})["changed"]
    assert path.read_text() != "{}\n"
    assert not run(fake, check=True, options={"ecosystems": {str(path): path.read_text()}})["changed"]
    assert not run(fake, options={"ecosystems": {"/etc/another": "{}"}})["changed"]


@pytest.mark.parametrize("ours", [True, False], ids=["the daemon's port", "somebody else's port"])
def test_what_shares_a_port_gives_way_to_what_listens_on_another_address(
    fake: FakePm2, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    monkeypatch.setattr(pm2.Daemon, "has_port", lambda _self, port: ours and port == 3000)
    run(fake, environment={"HOST": "127.0.0.1"})
    before = list(fake.rows)
    result = run(fake, environment={"HOST": "0.0.0.0"})
    if not ours:
        assert "bind EADDRINUSE 0.0.0.0:3000" in result["msg"]
        assert fake.rows == before
        return
    assert result.get("msg") is None
    assert fake.calls == [
        "start",
        "delete worker@r1 worker@r1 api@r1",
        "delete api@r1",
        "start",
        "delete worker@r1 worker@r1",
        "save --force",
    ]
    assert {r["pm2_env"]["HOST"] for r in fake.rows} == {"0.0.0.0"}
    assert not run(fake, environment={"HOST": "0.0.0.0"})["changed"]


@pytest.mark.parametrize(
    ("said", "port"),
    [
        ("Error: bind EADDRINUSE 0.0.0.0:3000", "3000"),
        ("Error: listen EADDRINUSE: address already in use :::3000", "3000"),
        ("EADDRINUSE: address already in use fe80::1:3000", "3000"),
        ('{"code":"EADDRINUSE","errno":-98,"address":"0.0.0.0","port":3000}', "3000"),
        ("12:30:00 EADDRINUSE /run/x.sock", None),
    ],
)
def test_the_port_that_is_taken_is_read_from_what_node_says(said: str, port: str | None) -> None:
    found = pm2.TAKEN_PORT.search(said)
    assert (found[1] if found else None) == port


def test_what_was_tried_does_not_outlive_a_start_that_fails(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    before = list(fake.rows)
    candidate(fake)
    switch(fake, "r2")
    fake.crashing.add("r2")
    assert run(fake, task_queues=["orders"], port=3000)["failed"]
    assert fake.rows == before


# --- Pollers


@pytest.fixture
def temporal(fake: FakePm2, monkeypatch: pytest.MonkeyPatch) -> FakeTemporal:
    """A server that lists nobody."""
    made = FakeTemporal()
    monkeypatch.setattr(TemporalModule, "connect", lambda _self, **_options: made)
    monkeypatch.setattr(TemporalModule, "has_sdk", lambda _self: True)
    return made


def polling(fake: FakePm2, temporal: FakeTemporal, queue: str, last_access: float = 1.0) -> None:
    """From now on the server lists every process that runs."""
    rows = [{"identity": f"{pid}@host", "last_access": last_access} for pid in range(100, 200)]
    temporal.listed |= {("default", queue, kind): rows for kind in ("workflow", "activity")}


def test_new_instances_take_over_only_when_the_server_sees_them_poll(fake: FakePm2, temporal: FakeTemporal) -> None:
    pollers = {"options": {"pollers": True}, "task_queues": ["orders"]}
    run(fake, task_queues=["orders"])
    before = list(fake.rows)
    assert temporal.calls == []
    switch(fake, "r2")
    refused = run(fake, **pollers)
    assert "Task queue orders (workflow) in namespace default: found 0 pollers" in refused["msg"]
    assert fake.rows == before
    polling(fake, temporal, "orders")
    assert run(fake, **pollers)["changed"]
    assert {r["release"] for r in fake.rows} == {"r2"}


def test_a_candidate_must_be_seen_polling_its_own_queue(fake: FakePm2, temporal: FakeTemporal) -> None:
    run(fake, task_queues=["orders"], port=3000)
    polling(fake, temporal, "orders")
    refused = candidate(fake, options={"pollers": True})
    assert "Task queue orders-candidate-r2 (workflow)" in refused["msg"]
    polling(fake, temporal, "orders-candidate-r2")
    assert candidate(fake, options={"pollers": True})["candidates"]


def test_a_candidate_that_polls_the_live_queue_is_ended_at_once(fake: FakePm2, temporal: FakeTemporal) -> None:
    run(fake, task_queues=["orders"], port=3000)
    before = list(fake.rows)
    polling(fake, temporal, "orders-candidate-r2")
    polling(fake, temporal, "orders", last_access=time.time())
    refused = candidate(fake, options={"pollers": True})
    assert "polls the task queue orders of the live release" in refused["msg"]
    assert "set candidate: false" in refused["msg"]
    assert fake.rows == before


def test_a_program_that_can_have_no_other_queue_is_not_tried_beside_the_live_one(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    fake.calls.clear()
    assert candidate(fake, candidate=False)["candidates"] == []
    assert fake.calls == []


@pytest.mark.parametrize("kind", ["unreachable", "permission_denied"])
def test_a_server_that_cannot_be_asked(fake: FakePm2, temporal: FakeTemporal, kind: Kind) -> None:
    temporal.failing["pollers"] = kind
    result = run(fake, options={"pollers": True}, task_queues=["orders"])
    assert "cannot pollers" in result["msg"]
    elsewhere = run(fake, options={"pollers": True}, task_queues=["orders"], temporal_address="cloud:7233")
    assert elsewhere["changed"]


# --- Candidates


def candidate(fake: FakePm2, release: str = "r2", state: str = "candidate", **more: t.Any) -> Json:
    (fake.root / "releases" / release).mkdir(parents=True, exist_ok=True)
    return run(fake, state=state, live={"orders": release}, task_queues=["orders"], port=3000, **more)


def test_a_candidate_runs_beside_what_is_live_and_goes_with_the_switch(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    before = list(fake.rows)
    tried = candidate(fake)
    assert not tried["changed"]
    assert fake.calls == ["start"]
    assert fake.rows[: len(before)] == before
    (row,) = tried["candidates"]
    assert (row["release"], row["task_queues"], len(row["pids"])) == ("r2", ["orders-candidate-r2"], 2)
    worker, api = fake.started
    assert (worker["name"], worker["instances"], worker["autorestart"]) == ("worker-candidate", 1, False)
    assert worker["env"]["TEMPORAL_TASK_QUEUE"] == "orders-candidate-r2"
    assert api["env"]["KEY"] == CANARY
    assert api["env"]["PORT"] != "3000"

    switch(fake, "r2")
    assert run(fake, task_queues=["orders"], port=3000)["changed"]
    assert "worker-candidate@r2 api-candidate@r2" in fake.calls[-1]
    assert {r["name"] for r in fake.rows} == {"worker", "api"}


@pytest.mark.parametrize("slowly", [0, 0.05])
def test_a_candidate_that_crashes_is_refused_and_leaves_nothing(fake: FakePm2, slowly: float) -> None:
    run(fake, task_queues=["orders"], port=3000)
    fake.slowly = slowly
    before = list(fake.rows)
    fake.crashing.add("r2")
    refused = candidate(fake)
    assert refused["failed"]
    assert "release r2 was tried beside the live one and refused" in refused["msg"]
    assert "Error: boom" in refused["msg"]
    assert fake.idle.wait(5)
    assert fake.rows == before


def test_a_candidate_that_has_ended_is_not_waited_for(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    fake.crashing.add("r2")
    begun = time.monotonic()
    refused = candidate(fake, options={"wait_seconds": 30})
    assert "refused: worker-candidate is stopped: 0 of 1 online, 0 restarts" in refused["msg"]
    assert time.monotonic() - begun < 10


def test_what_has_ended_is_told_although_another_one_never_says_that_it_is_ready(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    before = list(fake.rows)
    api = {"name": "api", "script": "a.js", "exec_mode": "cluster"}
    fake.silent.add("worker")
    fake.ending.add("api")
    begun = time.monotonic()
    refused = candidate(fake, options={"wait_seconds": 30}, processes=[{"name": "worker", "script": "w.js"}, api])
    assert "refused: api-candidate is stopped: 0 of 1 online, 0 restarts (after 0 s)" in refused["msg"]
    assert fake.idle.wait(5)
    assert time.monotonic() - begun < 10
    assert fake.rows == before


@pytest.mark.parametrize(("works", "seconds"), [(True, 30), (False, 2)])
def test_a_candidate_that_works_and_never_says_so_is_refused_in_time(
    fake: FakePm2, monkeypatch: pytest.MonkeyPatch, works: bool, seconds: int
) -> None:
    health_url = "http://127.0.0.1:3000/health"
    options: Json = {"processes": [{"name": "worker", "script": "w.js", "listen_timeout": 1000}]}
    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    run(fake, task_queues=["orders"], port=3000, health_url=health_url, **options)
    before = list(fake.rows)
    monkeypatch.setattr(pm2, "health", lambda url: (works or ":3000/" in url, "refused"))
    fake.silent.add("worker")
    begun = time.monotonic()
    refused = candidate(fake, health_url=health_url, options={"wait_seconds": seconds}, **options)
    assert re.search(
        r"worker runs for [12] s and has not said that it is ready, and wait_ready is true", refused["msg"]
    )
    assert "process.send('ready')" in refused["msg"]
    assert "declare wait_ready: false" in refused["msg"]
    assert ("answers: refused" in refused["msg"]) is not works
    assert 1 <= time.monotonic() - begun < 10
    assert fake.rows == before
    options["processes"][0]["wait_ready"] = False
    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    assert candidate(fake, health_url=health_url, **options)["candidates"]


def test_a_first_release_that_never_says_that_it_is_ready_runs_with_a_warning(
    fake: FakePm2, capsys: pytest.CaptureFixture[str]
) -> None:
    options: Json = {"processes": [{"name": "worker", "script": "w.js", "listen_timeout": 1000}]}
    fake.silent.add("worker")
    assert run(fake, **options)["changed"]
    warning = capsys.readouterr().err
    assert re.search(r"orders: worker runs for \d s and has not said that it is ready", warning)
    assert "declare wait_ready: false" in warning
    fake.silent.clear()
    switch(fake, "r2")
    assert run(fake, **options)["changed"]
    assert capsys.readouterr().err == ""


def test_a_candidate_that_does_not_answer_is_refused(fake: FakePm2, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unhealthy(url: str) -> tuple[bool, str]:
        asked.append(url)
        return len(asked) % 3 != 0, "500 {}"

    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    health_url = "http://127.0.0.1:3000/health"
    run(fake, task_queues=["orders"], port=3000, health_url=health_url)
    assert candidate(fake, health_url=health_url)["candidates"]
    run(fake, state="withdrawn")
    monkeypatch.setattr(pm2, "health", unhealthy)
    refused = candidate(fake, health_url=health_url)
    assert "answers: 500 {}; expected 200" in refused["msg"]
    assert ":3000/" not in "".join(asked)


def test_nothing_is_tried_when_nothing_would_change(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    assert candidate(fake, "r1")["candidates"] == []
    assert fake.calls == []
    assert candidate(fake, "r1", environment={"KEY": CANARY, "LEVEL": "debug"})["candidates"] != []


def test_what_answers_is_tried_before_it_is_started_again(fake: FakePm2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    options = {"task_queues": ["orders"], "port": 3000, "health_url": "http://127.0.0.1:3000/health"}
    run(fake, options={"try_first": True}, **options)
    assert fake.calls[0] == "start", "nothing to protect"
    switch(fake, "r2")
    back = run(fake, options={"try_first": True}, **options)
    assert back["changed"]
    assert {(r["name"], r["release"]) for r in fake.rows} == {("worker", "r2"), ("api", "r2")}
    assert fake.calls.count("start") == 2
    assert sorted(c for c in fake.calls if c != "start") == [
        "delete api-candidate@r2",
        "delete worker@r1 worker@r1 api@r1",
    ]


def test_a_program_that_can_have_no_other_queue_is_not_tried_first_either(
    fake: FakePm2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    options = {"task_queues": ["orders"], "port": 3000, "health_url": "http://127.0.0.1:3000/health"}
    run(fake, **options)
    switch(fake, "r2")
    assert run(fake, options={"try_first": True}, candidate=False, **options)["changed"]
    assert [call for call in fake.calls if "candidate" in call] == []
    assert {r["release"] for r in fake.rows} == {"r2"}


@pytest.mark.parametrize("listening", [set(), {"api"}, {"worker"}])
def test_what_is_tried_first_and_fails_leaves_what_runs_alone(
    fake: FakePm2, monkeypatch: pytest.MonkeyPatch, listening: set[str]
) -> None:
    fake.listening = listening
    monkeypatch.setattr(pm2, "health", lambda _url: (True, "200"))
    options = {"task_queues": ["orders"], "port": 3000, "health_url": "http://127.0.0.1:3000/health"}
    run(fake, **options)
    before = list(fake.rows)
    switch(fake, "r2")
    monkeypatch.setattr(pm2, "health", lambda url: (":3000/" in url, "500 {}"))
    failed = run(fake, options={"try_first": True}, **options)
    assert "tried beside the live one and refused" in failed["msg"]
    assert fake.rows == before


def test_candidates_of_an_interrupted_run_are_taken_away(fake: FakePm2) -> None:
    run(fake, task_queues=["orders"], port=3000)
    candidate(fake)
    assert not candidate(fake, state="withdrawn")["changed"]
    assert fake.calls == ["delete worker-candidate@r2 api-candidate@r2"]
    candidate(fake)
    candidate(fake)
    assert fake.calls == ["delete worker-candidate@r2 api-candidate@r2", "start"]
    candidate(fake, check=True)
    assert fake.calls == []
