# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole application against a real server: its three programs as processes, seen from outside.

Needs a Temporal CLI (``TEMPORAL_CLI``) for its development server; ``scripts/approvals-package`` finds one.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

CLI = os.environ.get("TEMPORAL_CLI")
pytestmark = pytest.mark.skipif(not CLI, reason="TEMPORAL_CLI names no Temporal CLI")
APP = Path(__file__).parent.parent
T = TypeVar("T")

# What systemd does between fork and exec: the socket becomes descriptor 3, and the program is told that it is its own.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def eventually(found: Callable[[], T], within: float = 60) -> T:
    """Waits until ``found`` is true; what it found."""
    until = time.monotonic() + within
    while not (result := found()):
        assert time.monotonic() < until, f"not within {within} s"
        time.sleep(0.1)
    return result


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [str(CLI), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    with (
        (tmp_path_factory.mktemp("server") / "log").open("w") as log,
        subprocess.Popen([*command, "--http-port", str(free_port())], stdout=log, stderr=log) as server,
    ):
        check = [str(CLI), "operator", "cluster", "health", "--address", f"127.0.0.1:{port}"]
        eventually(lambda: subprocess.run(check, check=False, capture_output=True).returncode == 0)
        yield f"127.0.0.1:{port}"
        server.kill()


class Platform:
    """The application with its data, its release and its listening socket, as systemd would run it."""

    def __init__(self, address: str, home: Path) -> None:
        self.home = home
        (home / "REVISION").write_text('{"id": "r1"}')
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{APP}:{os.environ.get('PYTHONPATH', '')}",
            "TEMPORAL_ADDRESS": address,
            "TEMPORAL_TASK_QUEUE": f"approvals-{home.name}",
            "APPROVALS_DATA_DIR": str(home / "data"),
        }
        self.socket = socket.create_server(("127.0.0.1", 0))

    @contextmanager
    def program(self, module: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Starts a program and waits for its READY=1; ends it if the test has not."""
        path = str(self.home / f"notify-{time.monotonic_ns()}")
        command = [sys.executable, "-B", "-c", HAND_OVER, str(self.socket.fileno()), "-B", "-m", module]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(path)
            systemd.settimeout(60)
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env={**self.environment, "NOTIFY_SOCKET": path, **environment},
                pass_fds=(self.socket.fileno(),),
            )
            try:
                while b"READY=1" not in systemd.recv(4096):
                    pass
                yield process
            finally:
                process.kill()
                process.wait()

    def http(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(*self.socket.getsockname(), timeout=30)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        assert answer.getheader("x-release") == "r1"
        return answer.status, json.load(answer)

    def ask(self, approval: str, **fields: Any) -> None:
        about = {"module": "purchasing", "entityType": "order", "entityId": "4711", "priority": "HIGH"}
        more = {} if fields.get("kind") == "simple" else {"escalateTo": ["cy"]}
        body = {"requestId": approval, "approverId": "bob", **about, **more, **fields}
        status, answer = self.http("POST", "/api/approvals", body)
        assert (status, answer["data"]["workflowId"]) == (201, f"approval-{approval}")

    def status(self, approval: str) -> dict[str, Any]:
        status, answer = self.http("GET", f"/api/approvals/approval-{approval}/status")
        assert status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data

    def state(self, approval: str) -> dict[str, Any]:
        return self.status(approval)["state"] or {}

    def runs(self, approval: str, activity: str) -> bool:
        """Whether a worker has taken such an activity of it and not ended it yet."""
        workflow = self.status(approval)["workflowId"]
        where = ["--address", self.environment["TEMPORAL_ADDRESS"], "--workflow-id", workflow]
        command = [str(CLI), "workflow", "describe", *where, "--output", "json"]
        pending = json.loads(subprocess.run(command, check=True, capture_output=True).stdout).get(
            "pendingActivities", []
        )
        return any(
            row["activityType"]["name"] == activity and row["state"] == "PENDING_ACTIVITY_STATE_STARTED"
            for row in pending
        )

    def closed(self, approval: str, within: float = 60) -> dict[str, Any]:
        def state() -> dict[str, Any]:
            found = self.status(approval)
            return found["state"] if found["status"] == "COMPLETED" else {}

        return eventually(state, within)

    def ledger(self, approval: str) -> dict[str, dict[str, Any]]:
        answer = self.run("approvals.ledger", f"approval-{approval}").stdout
        return {f"{row['activity']} {row['step']}": row for row in map(json.loads, answer.splitlines())}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-m", *arguments]
        env = {**self.environment, **environment}
        return subprocess.run(command, cwd=self.home, env=env, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def platform(address: str, tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(address, tmp_path)
    yield platform
    platform.socket.close()


def test_an_approval_escalates_and_is_decided(platform: Platform) -> None:
    with platform.program("approvals.worker"), platform.program("approvals.api") as api:
        assert platform.http("GET", "/health")[1]["temporal"] == "connected"
        platform.ask("late", waitSeconds=3, failTimes={"notify": 1})
        yes = {"by": "cy", "approved": True}
        status, body = platform.http("POST", "/api/approvals/approval-late/decision", yes)
        assert (status, body) == (409, {"error": "cy was not asked; asked so far: bob"})
        eventually(lambda: platform.state("late")["asked"] == ["bob", "cy"])
        assert platform.http("POST", "/api/approvals/approval-late/decision", yes)[0] == 200
        assert platform.closed("late")["stage"] == "approved"
        assert platform.http("POST", "/api/approvals/approval-late/decision", yes)[0] == 200
        assert platform.http("POST", "/api/approvals/approval-late/decision", {**yes, "approved": False})[0] == 409

        platform.ask("never", kind="simple", waitSeconds=1)
        assert platform.closed("never")["stage"] == "expired"

        api.send_signal(signal.SIGTERM)
        assert api.wait(30) == 0
    rows = platform.ledger("late")
    assert list(rows) == [
        "audit requested",
        "notify asked-1",
        "audit asked-1",
        "notify asked-2",
        "audit asked-2",
        "notify approved",
        "audit approved",
    ]
    assert {name: row["attempts"] for name, row in rows.items() if row["failed"]} == {
        "notify asked-1": 2,
        "notify asked-2": 2,
        "notify approved": 2,
    }
    assert not any(row["repeated"] for row in rows.values())


def test_a_stopped_worker_finishes_its_activity_and_a_killed_one_is_replaced(platform: Platform) -> None:
    with platform.program("approvals.api"):
        with platform.program("approvals.worker") as worker:
            platform.ask("stopped", slowSeconds={"notify": 4})
            eventually(lambda: "audit requested" in platform.ledger("stopped") and platform.runs("stopped", "notify"))
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        assert platform.ledger("stopped")["notify asked-1"]["attempts"] == 1
        # Without a worker: told in words, and nothing is lost.
        assert platform.status("stopped")["state"] is None

        with platform.program("approvals.worker") as worker:
            eventually(lambda: platform.state("stopped").get("stage") == "waiting")
            worker.send_signal(signal.SIGKILL)
        with platform.program("approvals.worker"):
            yes = {"by": "bob", "approved": True}
            eventually(lambda: platform.http("POST", "/api/approvals/approval-stopped/decision", yes)[0] == 200)
            assert platform.closed("stopped")["decision"]["by"] == "bob"
    assert not any(row["repeated"] or row["failed"] for row in platform.ledger("stopped").values())


def test_a_stopping_api_answers_on_open_connections(platform: Platform) -> None:
    with platform.program("approvals.api") as old:
        connection = http.client.HTTPConnection(*platform.socket.getsockname(), timeout=30)
        connection.request("GET", "/health")
        connection.getresponse().read()
        with platform.program("approvals.api"):  # beside it, on the same socket
            old.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.request("GET", "/health")
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("connection")) == (200, "close")
            assert old.wait(30) == 0
            assert platform.http("GET", "/health")[0] == 200


def test_an_incompatible_release_is_found_out(platform: Platform, tmp_path: Path) -> None:
    with platform.program("approvals.worker"), platform.program("approvals.api"):
        platform.ask("open")
        eventually(lambda: platform.state("open").get("stage") == "waiting")
        platform.ask("done", kind="simple", waitSeconds=1)
        platform.closed("done")

        def verdict() -> tuple[int, dict[str, Any]]:
            result = platform.run("approvals.replay")
            return result.returncode, json.loads(result.stdout.splitlines()[-1])

        # What is listed lags a moment behind.
        eventually(lambda: verdict() == (0, {"replayed": 2, "pinned_elsewhere": 0, "failed": []}))

        shutil.copytree(APP / "approvals", tmp_path / "approvals")  # the working directory comes first
        code = tmp_path / "approvals" / "workflows.py"
        first = '        await self._do("audit", "requested"'
        assert code.read_text().count(first) == 2
        code.write_text(code.read_text().replace(first, '        await self._do("notify", "new", "", "")\n' + first, 1))
        status, found = verdict()
        assert (status, found["replayed"], len(found["failed"])) == (3, 2, 1)
        (failure,) = found["failed"]
        assert (failure["workflow_type"], failure["workflow_id"]) == ("ApprovalWithEscalation", "approval-open")
        assert failure["error"].startswith(
            "[TMPRL1100] Nondeterminism error: Activity type of scheduled event 'audit' "
        )

        code.write_text(code.read_text().replace("[ApprovalWithEscalation, SimpleApproval]", "[SimpleApproval]"))
        status, found = verdict()
        assert status == 3
        assert "no such workflow type" in found["failed"][0]["error"]
    result = platform.run("approvals.replay", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert result.returncode == 1
    assert "error" in json.loads(result.stdout.splitlines()[-1])


def test_a_worker_without_temporal_is_idle_and_ends_well(platform: Platform) -> None:
    with platform.program("approvals.worker", ENABLE_TEMPORAL="false") as worker:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def test_a_versioned_worker_says_ready_and_is_known_to_the_server(platform: Platform) -> None:
    names = {"TEMPORAL_DEPLOYMENT_NAME": "approvals", "TEMPORAL_BUILD_ID": "b1"}
    address = platform.environment["TEMPORAL_ADDRESS"]
    with platform.program("approvals.worker", **names):
        command = [str(CLI), "worker", "deployment", "describe", "--name", "approvals", "--address", address]
        # The server makes the worker deployment known in a workflow of its own, shortly after it has seen the poll.
        eventually(lambda: "b1" in subprocess.run(command, capture_output=True, text=True, check=False).stdout)
