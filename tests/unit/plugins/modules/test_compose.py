# SPDX-License-Identifier: GPL-3.0-or-later
"""The compose module, run for real against a pretended engine that keeps its containers in a dict."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.module_utils import _registry
from ansible_collections.durable.temporal.plugins.modules import compose

Result = dict[str, t.Any]
TEXT = "services:\n  server: {image: 'server:1'}\n  tools: {image: 'tools:1'}\n"


class Engine:
    """What ``docker`` would do. ``calls`` are the commands that change something."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, t.Any]] = {}
        self.calls: list[list[str]] = []
        self.made = 0
        self.up_error = ""
        self.log = ""
        # Services that Compose replaces before it fails.
        self.replaced_first: list[str] = []
        self.interrupt: str | None = None
        self.health = "healthy"
        self.running = True

    def __call__(self, command: list[str], cwd: str = "", **_options: t.Any) -> tuple[int, str, str]:
        verb, *arguments = command[1:]
        if not self.running:
            return 1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
        if verb == "ps":
            return 0, "".join(self.line(service, c) for service, c in self.containers.items()), ""
        if verb == "inspect":
            return 0, "".join(json.dumps(self.inspected(c)) + "\n" for c in self.chosen(arguments[2:])), ""
        if verb == "logs":
            return 0, "", f"the last words of {arguments[-1]}\n{self.log}"
        self.calls.append([verb, *arguments])
        if verb == self.interrupt:
            raise KeyboardInterrupt
        if verb == "compose":
            return self.up(cwd, arguments)
        for container in self.chosen([a for a in arguments if not a.startswith("-")]):
            if verb == "restart":
                container["state"], container["health"] = "running", self.health
            elif verb == "rm":
                self.containers = {s: c for s, c in self.containers.items() if c is not container}
        return 0, "", ""

    def up(self, cwd: str, arguments: list[str]) -> tuple[int, str, str]:
        services = arguments[arguments.index("--quiet-pull") + 1 :]
        error, self.up_error = self.up_error, ""
        if error:
            services = [service for service in services if service in self.replaced_first]
        definition = "".join(p.read_text() for p in sorted(Path(cwd).glob("*.yaml")))
        for service in services:
            old = self.containers.get(service)
            if old is None or old["hash"] != definition:
                self.made += 1
                self.containers[service] = {"id": f"{service}{self.made}", "hash": definition}
            self.containers[service].update(state="running", health=self.health)
        return (1, "", error) if error else (0, "", "")

    def chosen(self, identities: list[str]) -> list[dict[str, t.Any]]:
        return [c for c in self.containers.values() if c["id"] in identities]

    @staticmethod
    def line(service: str, container: dict[str, t.Any]) -> str:
        status = f"Up ({container['health']})" if container["state"] == "running" else "Exited (1)"
        digest = str(hash(container["hash"]))
        fields = [container["id"], service, container["state"], status, f"{service}:1", service, digest, "False"]
        return "\t".join(fields) + "\n"

    @staticmethod
    def inspected(container: dict[str, t.Any]) -> dict[str, t.Any]:
        state = {"Status": container["state"], "ExitCode": 1, "Health": {"Status": container["health"]}}
        return {"id": container["id"], "name": f"/{container['id']}", "restarts": 0, "state": state}


class Host:
    """A project directory and an engine; calling it runs the module."""

    def __init__(self, directory: Path) -> None:
        self.engine = Engine()
        self.directory = directory / "project"
        self.config = directory / "mounted.yaml"
        self.config.write_text("one")

    def __call__(self, *, check: bool = False, **options: t.Any) -> Result:
        out = io.StringIO()
        arguments: Result = {
            "project_directory": str(self.directory),
            "fragment": "temporal.yaml",
            "definition": TEXT,
            "services": ["server", "tools"],
            "config_files": [{"path": str(self.config), "services": ["server"]}],
            "wait_seconds": 1,
            **options,
            "_ansible_check_mode": check,
        }
        self.engine.calls.clear()
        with (
            patch_module_args(arguments),
            contextlib.redirect_stdout(out),
            mock.patch.object(basic.AnsibleModule, "log"),
            mock.patch.object(basic.AnsibleModule, "get_bin_path", return_value="/usr/bin/docker"),
            mock.patch.object(
                basic.AnsibleModule, "run_command", lambda _module, command, **o: self.engine(command, **o)
            ),
            pytest.raises(SystemExit),
        ):
            compose.main()
        result: Result = json.loads(out.getvalue())
        return result

    def verbs(self) -> list[str]:
        return [call[0] for call in self.engine.calls]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_bare_check_then_create_then_nothing(host: Host) -> None:
    predicted = host(check=True)
    assert predicted["changed"]
    assert not host.directory.exists()
    first = host()
    assert first["diff"] == predicted["diff"]
    assert first["recreated"] == ["server", "tools"]
    assert not host()["changed"]
    assert host.engine.calls == []
    assert not host(check=True)["changed"]


@pytest.fixture
def first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    record = str(tmp_path / "record")
    monkeypatch.setattr(_registry, "remember_data", functools.partial(_registry.remember_data, record=record))
    return {
        "file": str(tmp_path / "password"),
        "secret": "canary-7",
        "makes": str(tmp_path / "PG_VERSION"),
        "explanation": "the data is gone",
    }


def test_the_secret_of_the_first_start_goes_when_there_is_data(host: Host, first_start: dict[str, str]) -> None:
    file, made = Path(first_start["file"]), Path(first_start["makes"])
    predicted = host(check=True, first_start=first_start)
    assert not file.exists()
    host.engine.up_error = "the image is not there"
    assert host(first_start=first_start)["failed"]
    assert file.read_text() == "canary-7\n"
    assert file.stat().st_mode & 0o7777 == 0o600
    # Interrupted, and made good by the next run.
    made.touch()
    assert host(first_start=first_start)["recreated"] == ["server", "tools"]
    assert file.read_text() == ""
    assert _registry.lost_data(str(file.with_name("record"))) == {}
    again = host(first_start=first_start)
    assert not again["changed"]
    assert "canary-7" not in json.dumps([predicted, again])
    made.unlink()
    assert _registry.lost_data(str(file.with_name("record"))) == {str(made): str(file)}
    for check in (True, False):
        host.engine.calls.clear()
        failed = host(check=check, first_start=first_start)
        assert failed["msg"] == "the data is gone"
        assert host.engine.calls == []
    # Somebody has said that it may.
    file.unlink()
    assert host(first_start=first_start)["changed"]
    assert file.read_text() == "canary-7\n"


def test_data_that_was_there_before_needs_no_secret(host: Host, first_start: dict[str, str]) -> None:
    Path(first_start["makes"]).touch()
    assert host(first_start=first_start)["changed"]
    assert Path(first_start["file"]).read_text() == ""


def test_a_mounted_file_restarts_its_reader_once(host: Host) -> None:
    host()
    host.config.write_text("two")
    assert host(check=True)["changed"]
    assert host()["restarted"] == ["server"]
    assert [call[:2] for call in host.engine.calls] == [["restart", "server1"]]
    assert not host()["changed"]


def test_a_new_definition_needs_no_restart_besides(host: Host) -> None:
    host()
    host.config.write_text("two")
    changed = host(definition=TEXT + "# more\n")
    assert changed["recreated"] == ["server", "tools"]
    assert host.verbs() == ["compose"]
    assert not host(definition=TEXT + "# more\n")["changed"]


def test_an_interrupted_restart_is_made_good(host: Host) -> None:
    host()
    host.config.write_text("two")
    host.engine.interrupt = "restart"
    with contextlib.suppress(KeyboardInterrupt, pytest.fail.Exception):
        host()
    host.engine.interrupt = None
    assert host()["restarted"] == ["server"]


def test_a_failed_up_is_tried_again(host: Host) -> None:
    host.engine.up_error = "listen tcp4 127.0.0.1:7233: bind: address already in use"
    failed = host()
    assert failed["failed"]
    assert "127.0.0.1:7233 is already taken" in failed["msg"]
    assert host()["recreated"] == ["server", "tools"]


def test_an_unhealthy_container_is_restarted_once_and_then_told(host: Host) -> None:
    host()
    host.engine.containers["server"]["health"] = host.engine.health = "unhealthy"
    failed = host()
    assert failed["failed"]
    assert "server1 is running, unhealthy; expected running and healthy within 1 seconds" in failed["msg"]
    assert "the last words of server1" in failed["msg"]
    assert host.verbs() == ["restart"]
    host.engine.health = "healthy"
    assert host()["restarted"] == ["server"]


def test_a_stopped_container_comes_back(host: Host) -> None:
    host()
    host.engine.containers["tools"]["state"] = "exited"
    done = host()
    assert [(a["service"], a["action"]) for a in done["actions"]] == [("tools", "up")]
    assert done["recreated"] == []


def test_a_service_that_left_goes(host: Host) -> None:
    host()
    host(services=["server"], definition="services: {server: {}}\n")
    assert list(host.engine.containers) == ["server"]


def test_restarted_always_restarts(host: Host) -> None:
    host()
    assert host(state="restarted")["restarted"] == ["server", "tools"]


def test_absent_and_again(host: Host) -> None:
    host()
    assert host(state="absent", check=True)["changed"]
    assert host(state="absent")["changed"]
    assert host.engine.containers == {}
    assert not (host.directory / "temporal.yaml").exists()
    assert not host(state="absent")["changed"]


def test_fragments_share_one_env_and_no_state(host: Host) -> None:
    host()
    host(fragment="postgres.yaml", definition="services: {db: {}}\n", services=["db"], config_files=[])
    assert "COMPOSE_FILE=postgres.yaml:temporal.yaml\n" in (host.directory / ".env").read_text()
    assert (host.directory / ".env").stat().st_mode & 0o7777 == 0o600
    assert (host.directory / ".durable-state.json").stat().st_mode & 0o7777 == 0o600


def test_an_engine_that_does_not_answer(host: Host) -> None:
    host.engine.running = False
    assert "systemctl status docker" in host()["msg"]
    assert host(check=True)["changed"]


def test_a_fragment_that_nobody_wrote(host: Host) -> None:
    host.directory.mkdir()
    assert "Write it first, or pass its text" in host(definition=None)["msg"]


# What ran last is known, whether or not it became healthy


def test_a_mounted_file_that_was_put_back_restarts_its_reader(host: Host) -> None:
    host()
    host.config.write_text("two")
    host.engine.health = "unhealthy"
    assert host()["failed"]
    # Docker says that it starts, which is no reason for a restart: what it has read is.
    host.config.write_text("one")
    host.engine.health = "healthy"
    host.engine.containers["server"]["health"] = "starting"
    assert host()["restarted"] == ["server"]
    assert not host()["changed"]


def test_a_definition_that_was_put_back_is_applied(host: Host) -> None:
    host()
    host.engine.health = "unhealthy"
    assert host(definition=TEXT + "# broken\n")["failed"]
    host.engine.health = "healthy"
    assert host()["recreated"] == ["server", "tools"]
    assert not host()["changed"]


def test_what_compose_did_not_come_to_is_made_good(host: Host) -> None:
    host()
    host.config.write_text("two")
    host.engine.up_error = "no space left on device"
    host.engine.replaced_first = ["tools"]
    broken = TEXT + "# more\n"
    assert host(definition=broken)["failed"]
    done = host(definition=broken)
    assert [(a["service"], a["action"]) for a in done["actions"]] == [("server", "up")]
    assert not host(definition=broken)["changed"]


def test_a_container_that_up_leaves_reads_its_mounted_file_again(host: Host) -> None:
    host()
    host.config.write_text("two")
    host.engine.up_error = "no space left on device"
    broken = TEXT + "# more\n"
    assert host(definition=broken)["failed"]
    # The old definition again, which the containers have, and the new file, which the server has not read.
    done = host()
    assert done["recreated"] == []
    assert host.verbs() == ["compose", "restart"]
    assert host.engine.calls[1] == ["restart", "server1"]
    assert not host()["changed"]


def test_a_dependency_that_fails_is_told_with_its_reason(host: Host) -> None:
    host.engine.up_error = "dependency failed to start: container server1 is unhealthy"
    host.engine.replaced_first = ["server"]
    host.engine.health = "unhealthy"
    host.engine.log = '{"level":"error","msg":"no database","error":"connection refused"}\n{"level":"info","msg":"bye"}'
    failed = host()
    assert failed["failed"]
    assert "server1 is running, unhealthy; expected running and healthy" in failed["msg"]
    assert "no database: connection refused\n" in failed["msg"]
    assert "bye" not in failed["msg"]
