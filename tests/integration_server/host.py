# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run by Ansible against a real server; what they did is looked at with Temporal's own command and with psql.

Told by environment variables, none of which has a default, because a suite that skips itself proves nothing:

- ``TEMPORAL_ADDRESS``: the frontend, as seen from where the modules run.
- ``TEMPORAL_TEST_HOST``: the container of the host on which modules, command and psql run; ``localhost`` for this machine.
- ``TEMPORAL_TEST_DATABASE``: the option ``database`` of the modules, as JSON.
- ``TEMPORAL_TEST_PSQL``: a JSON list, the start of a psql command line of a superuser on that host.
- ``TEMPORAL_TEST_DYNAMIC_CONFIG``: the server's file of dynamic configuration on that host; tests add to it for a while.
- ``TEMPORAL_TEST_SCHEMA``: further options of the module ``schema`` as JSON: ``tool``, ``tool_database_host`` and so on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]


def needed(name: str) -> str:
    """The value of an environment variable, or a failed test."""
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"{name} is not set; see {Path(__file__).relative_to(ROOT)}")
    return value


class Host:
    """Where modules run."""

    def __init__(self) -> None:
        self.address = needed("TEMPORAL_ADDRESS")
        self.name = needed("TEMPORAL_TEST_HOST")
        self.local = self.name == "localhost"

    def argv(self, *command: str) -> list[str]:
        if self.local:
            return list(command)
        return ["docker", "exec", "-i", "-e", f"TEMPORAL_ADDRESS={self.address}", self.name, *command]

    def run(self, *command: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            self.argv(*command), input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def temporal(self, *arguments: str) -> Any:
        """What the ``temporal`` command says, parsed."""
        return json.loads(self.run("temporal", *arguments, "-o", "json"))

    def psql(self, database: str, sql: str) -> str:
        """What psql says, as a superuser, unaligned."""
        psql: list[str] = json.loads(needed("TEMPORAL_TEST_PSQL"))
        return self.run(*psql, "-v", "ON_ERROR_STOP=1", "-qAt", "-d", database, stdin=sql).strip()

    def module(self, name: str, *, check: bool = False, **options: Any) -> Json:
        """Run a module of the collection through Ansible and return its result; ``failed`` is among it."""
        if name != "schema":
            options.setdefault("address", self.address)
        python = sys.executable if self.local else "/usr/bin/python3"
        connection = "local" if self.local else "community.docker.docker"
        command = [str(Path(sys.executable).with_name("ansible")), self.name, "-i", f"{self.name},", "-c", connection]
        command += ["-e", json.dumps({"ansible_python_interpreter": python, "ansible_host": self.name})]
        command += [
            "-m",
            f"durable.temporal.{name}",
            "-a",
            json.dumps(options),
            "--diff",
            *(["--check"] if check else []),
        ]
        settings = {"ANSIBLE_LOAD_CALLBACK_PLUGINS": "true", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal"}
        environment = {**os.environ, **settings, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        start = done.stdout.find("=> {")
        assert start >= 0, f"no result:\n{done.stdout}{done.stderr}"
        result: Json = json.JSONDecoder().raw_decode(done.stdout[start + 3 :])[0]
        result["failed"] = done.returncode != 0
        result["output"] = done.stdout + done.stderr
        return result

    @contextmanager
    def worker(self, namespace: str, queue: str, identity: str) -> Iterator[None]:
        """A worker that polls until the end of the block, then leaves in order."""
        python = sys.executable if self.local else "/opt/durable-temporal/venv/bin/python3"
        command = self.argv(python, "-c", WORKER, self.address, namespace, queue, identity)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "running"
            yield
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


WORKER = """
import asyncio, os, sys
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

@workflow.defn
class Nothing:
    @workflow.run
    async def run(self) -> None:
        pass

async def main() -> None:
    address, namespace, queue, identity = sys.argv[1:]
    client = await Client.connect(address, namespace=namespace, identity=identity)
    worker = Worker(client, task_queue=queue, workflows=[Nothing], workflow_runner=UnsandboxedWorkflowRunner())
    async with worker:
        print("running", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)

asyncio.run(main())
"""


@contextmanager
def seconds() -> Iterator[list[float]]:
    """Measures its block."""
    taken: list[float] = []
    start = time.monotonic()
    yield taken
    taken.append(round(time.monotonic() - start, 2))
