# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the module release: checks artifacts here, and transfers only what a host does not have."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import socket
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.module_utils._lock import boot_id, started
from ansible_collections.durable.temporal.plugins.module_utils._release import (
    ReleaseError,
    check_archive,
    check_digest,
    file_digest,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._controller import controller_path

MODULE = "durable.temporal.release"


def deployer(environment: t.Mapping[str, str]) -> str:
    """Who deploys: the person or the job behind this run."""
    if environment.get("GITHUB_ACTIONS") == "true":
        run = "/".join(environment.get(k, "") for k in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
        return (
            f"{environment.get('GITHUB_ACTOR', 'github')} ({run}/actions/runs/{environment.get('GITHUB_RUN_ID', '')})"
        )
    return f"{getpass.getuser()}@{socket.gethostname()}"


def machine() -> str:
    """This machine since its last start. Containers of one machine are told apart by name."""
    return f"{socket.gethostname()} {boot_id()}"


def boot_time() -> int:
    """When this machine was started, in seconds since the epoch."""
    lines = Path("/proc/stat").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("btime ")))


def run_pid() -> int:
    """The process of the run that this task is a part of. Not what the kernel calls its parent: a worker outlives a run
    that is killed, and then has the system's first process for a parent, which never ends.
    """
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None or parent.pid is None else parent.pid


def this_run() -> dict[str, t.Any]:
    """The run of the playbook that this task is a part of.

    :raises AnsibleActionFail: it has been ended, and nothing more must be begun in its name.
    """
    pid = run_pid()
    if not started(pid):
        raise AnsibleActionFail("The run of the playbook was ended; this task of it did nothing.")
    # The time in the names of releases: the run's, so that they have one name on all hosts.
    at = boot_time() + int(started(pid) or 0) // os.sysconf("SC_CLK_TCK")
    return {"id": f"{machine()} {pid} {started(pid)}", "machine": machine(), "pid": pid, "at": at}


def gone_run(lock: t.Mapping[str, t.Any]) -> str:
    """The id of the run that holds a lock, if it was a run of this machine that has ended; else empty."""
    run, pid = str(lock.get("run", "")), int(lock.get("controller_pid") or 0)
    here = bool(run) and lock.get("machine") == machine()
    return run if here and run != f"{machine()} {pid} {started(pid)}" else ""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module with digests first, and again with the files that are missing on the host."""

    _supports_check_mode = True
    _supports_diff = True
    # A directory for files on the host is made only when something has to be transferred.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments["by"] = arguments.get("by") or deployer(os.environ)
        arguments["run"] = this_run()
        applications = arguments.get("applications")
        remote = str(arguments.get("remote_src", False)).lower() in ("true", "yes", "1", "on")
        if remote or not isinstance(applications, list):
            return self._call(arguments, task_vars)
        if arguments.get("state") == "settled":
            # Whatever was wrong with the artifacts: the lock is freed.
            arguments["applications"] = [{**a, "artifact": None} for a in applications]
            return self._call(arguments, task_vars)
        try:
            files = {str(a.get("name")): self._artifact(a) for a in applications if a.get("artifact")}
            arguments["applications"] = [self._with_digest(a, files.get(str(a.get("name")))) for a in applications]
            result = self._call(arguments, task_vars)
            missing = [] if result.get("failed") else result.get("missing_artifacts", [])
            kinds = {str(a.get("name")): str(a.get("dependencies") or "npm") for a in applications}
            started = {str(a.get("name")): (a.get("programs") or {}, bool(a.get("executed"))) for a in applications}
            for name in missing:
                check_archive(files[name][0], kinds[name], *started[name])
            if not missing or self._task.check_mode:
                return result
            return self._with_files(arguments, {name: files[name][0] for name in missing}, task_vars)
        except ReleaseError as error:
            raise AnsibleActionFail(f"on the controller: {error}") from None

    def _artifact(self, application: t.Mapping[str, t.Any]) -> tuple[str, str]:
        """Path and digest of an artifact on the controller; checks the digest that was promised."""
        path = controller_path(str(application["artifact"]))
        digest = file_digest(path)
        check_digest(path, digest, str(application.get("sha256") or ""))
        return path, digest

    @staticmethod
    def _with_digest(application: t.Mapping[str, t.Any], file: tuple[str, str] | None) -> dict[str, t.Any]:
        """The application for a host that may already have the release: the digest instead of the file."""
        if file is None:
            return dict(application)
        name = os.path.basename(file[0])
        return {**application, "artifact": None, "sha256": file[1], "source": application.get("source") or name}

    def _with_files(
        self, arguments: dict[str, t.Any], files: t.Mapping[str, str], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Transfer the files and run the module with them; nothing of them stays."""
        directory = self._make_tmp_path()
        try:
            places = {}
            for number, (name, path) in enumerate(sorted(files.items())):
                places[name] = self._connection._shell.join_path(directory, f"artifact-{number}.tar.gz")
                self._transfer_file(path, places[name])
            self._fixup_perms2((directory, *places.values()))
            applications = [{**a, "artifact": places.get(a["name"])} for a in arguments["applications"]]
            return self._call({**arguments, "applications": applications}, task_vars)
        finally:
            self._remove_tmp_path(directory)

    def _call(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module; once more when the lock that it met was left by a run of this machine that is gone."""
        result = self._module(arguments, task_vars)
        if gone := gone_run(result.get("lock") or {}):
            return self._module({**arguments, "run": {**arguments["run"], "take_over": gone}}, task_vars)
        return result

    def _module(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        this_run()  # which may have been ended while files were transferred
        return t.cast(
            "dict[str, t.Any]", self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        )
