# SPDX-License-Identifier: GPL-3.0-or-later
"""Real workers of builds of a worker deployment, and real workflows on them, on the host of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json

QUEUE = "orders"


class Orders:
    """The worker deployment ``orders`` of a namespace, and a client that starts workflows."""

    def __init__(self, host: Host, namespace: str) -> None:
        self.host, self.namespace = host, namespace

    def argv(self, program: str, *arguments: str) -> list[str]:
        python = sys.executable if self.host.local else "/opt/durable-temporal/venv/bin/python3"
        return self.host.argv(python, "-c", program, self.host.address, self.namespace, *arguments)

    @contextmanager
    def worker(self, build: str, behaviour: str = "good") -> Iterator[None]:
        """A worker of a build until the end of the block.

        :param behaviour: ``good``, ``activity-fails``, or ``workflow-breaks`` (its workflow tasks fail, over and over).
        """
        command = self.argv(WORKER, build, behaviour)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline().strip() == "running"
            try:
                yield
            finally:
                process.stdin.close()
                process.wait(30)

    def start(self, count: int, prefix: str, **options: object) -> Json:
        """Start workflows; gives how many ran on each build, and how many ended how.

        :param options: ``wait``: wait until all have ended (default true); ``per_second``: the rate of starts;
            ``hold``: the workflows stay open until they get the signal ``go``.
        """
        done = subprocess.run(
            self.argv(CLIENT, str(count), prefix, json.dumps(options)), capture_output=True, text=True, timeout=120
        )
        assert done.stdout, done.stderr
        found: Json = json.loads(done.stdout.splitlines()[-1])
        return found

    def release(self, workflow_id: str) -> None:
        """Let a held workflow end."""
        self.host.run("temporal", "workflow", "signal", "-n", self.namespace, "-w", workflow_id, "--name", "go")

    @contextmanager
    def traffic(self, prefix: str, per_second: float) -> Iterator[None]:
        """New workflows at a constant rate until the end of the block."""
        command = self.argv(CLIENT, "100000", prefix, json.dumps({"wait": False, "per_second": per_second}))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stdin is not None
            try:
                yield
            finally:
                process.stdin.close()
                process.wait(30)

    def describe(self) -> Json:
        """What Temporal's own command says of the deployment."""
        found: Json = self.host.temporal("worker", "deployment", "describe", "-n", self.namespace, "--name", "orders")
        return found


WORKER = """
import asyncio, os, sys, threading
from datetime import timedelta
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, VersioningBehavior, WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

address, namespace, build, behaviour = sys.argv[1:]

@activity.defn
async def ship() -> str:
    if behaviour == "activity-fails":
        raise ApplicationError("the new build cannot ship", non_retryable=True)
    return build

@workflow.defn
class Order:
    go = False

    @workflow.signal(name="go")
    def release(self) -> None:
        self.go = True

    @workflow.run
    async def run(self, hold: bool) -> str:
        if behaviour == "workflow-breaks":
            raise KeyError("a bug in the workflow's own code")
        if hold:
            await workflow.wait_condition(lambda: self.go)
        return await workflow.execute_activity(ship, start_to_close_timeout=timedelta(seconds=10))

async def main() -> None:
    client = await Client.connect(address, namespace=namespace, identity=f"{build}@test")
    version = WorkerDeploymentVersion(deployment_name="orders", build_id=build)
    worker = Worker(
        client,
        task_queue="orders",
        workflows=[Order],
        activities=[ship],
        workflow_runner=UnsandboxedWorkflowRunner(),
        deployment_config=WorkerDeploymentConfig(
            version=version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.PINNED
        ),
    )
    async with worker:
        print("running", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        # Workflow tasks that fail over and over can hold up the end.
        threading.Timer(10, os._exit, [0]).start()
    os._exit(0)

asyncio.run(main())
"""

CLIENT = """
import asyncio, collections, json, os, sys
from temporalio.client import Client, WorkflowFailureError

address, namespace, count, prefix, options = sys.argv[1:]
options = json.loads(options)

async def main() -> None:
    client = await Client.connect(address, namespace=namespace)
    limit, found = asyncio.Semaphore(16), collections.Counter()
    stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read) if options.get("per_second") else None

    async def one(number: int) -> None:
        async with limit:
            arguments = {"id": f"{prefix}-{number}", "task_queue": "orders"}
            handle = await client.start_workflow("Order", bool(options.get("hold")), **arguments)
        if not options.get("wait", True):
            return
        try:
            found[await handle.result()] += 1
        except WorkflowFailureError:
            found["failed"] += 1

    tasks = []
    for number in range(int(count)):
        tasks.append(asyncio.create_task(one(number)))
        if stop is not None:
            done, _pending = await asyncio.wait([stop], timeout=1 / options["per_second"])
            if done:
                break
    await asyncio.gather(*tasks)
    print(json.dumps(found), flush=True)
    os._exit(0)

asyncio.run(main())
"""
