# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller refuses before an artifact travels to a host."""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.durable.temporal.plugins.action.release import ActionModule, gone_run, this_run

Json = dict[str, t.Any]


def artifact(directory: Path, *names: str) -> str:
    path = directory / "orders.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    return str(path)


class Controller:
    """The action plugin with a host that has no release; what is sent and called is written down."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self.sent: list[str] = []

    def _call(self, arguments: Json, _task_vars: t.Any) -> Json:
        self.calls.append(arguments)
        return {"missing_artifacts": ["orders"] if len(self.calls) == 1 else []}

    def run(self, **application: t.Any) -> Json:
        arguments = {"applications": [{"name": "orders", "root": "/opt/x", **application}], "state": "live"}
        task = mock.MagicMock(args=arguments, async_val=0, check_mode=False)
        loader = DataLoader()
        loader.set_basedir("/somewhere/durable/temporal/playbooks")
        made = ActionModule(task, mock.MagicMock(), mock.MagicMock(), loader, mock.MagicMock(), None)
        with (
            mock.patch.object(ActionModule, "_call", self._call),
            mock.patch.object(ActionModule, "_make_tmp_path", return_value="/tmp/x"),
            mock.patch.object(ActionModule, "_remove_tmp_path"),
            mock.patch.object(ActionModule, "_fixup_perms2"),
            mock.patch.object(ActionModule, "_transfer_file", lambda _self, path, _to: self.sent.append(path)),
        ):
            result: Json = made.run(task_vars={})
            return result


def test_a_host_is_asked_by_digest_before_anything_is_sent(tmp_path: Path) -> None:
    controller = Controller()
    path = artifact(tmp_path, "package.json", "package-lock.json", "dist/worker.js")
    controller.run(artifact=path)
    first, second = controller.calls
    assert first["applications"][0]["artifact"] is None
    assert len(first["applications"][0]["sha256"]) == 64
    assert controller.sent == [path]
    assert second["applications"][0]["artifact"]


@pytest.mark.parametrize("path", ["build/orders.tar.gz", "./build/orders.tar.gz", "~/build/orders.tar.gz"])
def test_a_path_is_the_one_that_the_shell_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Not below the playbook, which for users lies inside of the installed collection."""
    (tmp_path / "build").mkdir()
    made = artifact(tmp_path / "build", "package.json", "package-lock.json", "dist/worker.js")
    Path(made).rename(tmp_path / "build" / "orders.tar.gz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    controller = Controller()
    controller.run(artifact=path)
    assert controller.sent == [str(tmp_path / "build" / "orders.tar.gz")]


def test_another_digest_than_promised_is_refused_before_a_host_is_asked(tmp_path: Path) -> None:
    controller = Controller()
    path = artifact(tmp_path, "package.json", "package-lock.json", "dist/worker.js")
    with pytest.raises(AnsibleActionFail, match=r"on the controller: .* expected abc"):
        controller.run(artifact=path, sha256="abc")
    assert controller.calls == []


def test_an_artifact_without_a_lock_file_is_not_sent(tmp_path: Path) -> None:
    controller = Controller()
    with pytest.raises(AnsibleActionFail, match=r"on the controller: .* no package-lock\.json"):
        controller.run(artifact=artifact(tmp_path, "package.json", "dist/worker.js"))
    assert controller.sent == []


def test_an_artifact_without_a_program_that_is_declared_is_not_sent(tmp_path: Path) -> None:
    controller = Controller()
    path = artifact(tmp_path, "package.json", "package-lock.json", "lib/worker.js")
    with pytest.raises(AnsibleActionFail, match=r"on the controller: .* no dist/worker\.js.* It has lib/worker\.js"):
        controller.run(artifact=path, programs={"worker": "dist/worker.js"})
    assert controller.sent == []
    other = Controller()
    other.run(artifact=path, programs={"worker": "lib/worker.js"})
    assert other.sent == [path]


GONE = 2**22 + 1


def worker_of(pid: int) -> t.Any:
    """As if this were a worker of the run with that process."""
    return mock.patch.object(multiprocessing, "parent_process", return_value=mock.Mock(pid=pid))


def test_a_worker_belongs_to_the_run_that_made_it_whoever_its_parent_is_now() -> None:
    with worker_of(os.getpid()):
        run = this_run()
    assert run["pid"] == os.getpid()
    lock = {"run": run["id"], "machine": run["machine"], "controller_pid": run["pid"]}
    assert gone_run(lock) == ""
    assert gone_run({**lock, "controller_pid": GONE}) == run["id"]


def test_a_worker_that_outlives_its_run_begins_nothing(tmp_path: Path) -> None:
    with worker_of(GONE), pytest.raises(AnsibleActionFail, match="was ended"):
        Controller().run(artifact=artifact(tmp_path, "package.json"))
