# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m approvals.worker``: runs approvals until SIGTERM, then finishes its activities and leaves with 0."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListTaskQueuePartitionsRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from .activities import Activities
from .config import Config
from .ledger import Ledger
from .process import identity_of, log, notify, run, stop_event, within, words
from .temporal import connect
from .workflows import WORKFLOWS

_POLLED_TYPES = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


async def work(config: Config) -> int:
    """Polls until it is told to stop; outlives the server's absence: after a reboot a worker is often there first."""
    stop = stop_event()
    if not config.enabled:
        log.warning("Temporal is switched off by ENABLE_TEMPORAL=false: this worker does nothing")
        notify(READY="1", STATUS="idle: ENABLE_TEMPORAL is false")
        await stop.wait()
        return 0

    ledger = Ledger(config.data_directory)
    ledger.open()
    pause = 0.5
    while not stop.is_set():
        try:
            client = await connect(config, identity_of(config))
            await _poll(client, config, ledger, stop)
        except Exception as error:
            log.warning("cannot work yet, trying again", extra={"fields": {"error": words(error), "pause": pause}})
            notify(STATUS=f"waiting for Temporal at {config.address}: {words(error)[:200]}")
            await within(pause, stop)
            pause = min(pause * 2, 5)
    log.info("stopped")
    return 0


async def _poll(client: Client, config: Config, ledger: Ledger, stop: asyncio.Event) -> None:
    activities = Activities(ledger, config.release, config.fail_activity)
    worker = Worker(
        client,
        task_queue=config.task_queue,
        workflows=WORKFLOWS,
        activities=[activities.notify, activities.audit],
        graceful_shutdown_timeout=timedelta(seconds=config.grace_seconds),
        deployment_config=_deployment(config),
    )
    running = asyncio.create_task(worker.run())
    ready = asyncio.create_task(_announce(client, config, running))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    stopping.cancel()
    if not running.done():
        log.info("finishing what runs")
        notify(STOPPING="1", STATUS=f"finishing activities, at most {config.grace_seconds} s")
        await worker.shutdown()
    await running


async def _announce(client: Client, config: Config, running: asyncio.Task[None]) -> None:
    """Ready is what the server says: it knows this process as a poller for workflows and for activities."""
    identity = identity_of(config)
    while not running.done():
        try:
            polled = [await _polled(client, config.task_queue, kind, identity) for kind in _POLLED_TYPES]
            if all(polled):
                log.info("polling", extra={"fields": {"task_queue": config.task_queue, "identity": identity}})
                notify(READY="1", STATUS=f"polling {config.task_queue} as {identity}")
                return
        except Exception as error:
            log.warning("cannot see the own pollers yet", extra={"fields": {"error": words(error)}})
        await asyncio.sleep(0.2)


async def _polled(client: Client, task_queue: str, kind: TaskQueueType.ValueType, identity: str) -> bool:
    # A task queue has partitions, and each lists only its own pollers: a worker beside others may not be on the first.
    listed = await client.workflow_service.list_task_queue_partitions(
        ListTaskQueuePartitionsRequest(namespace=client.namespace, task_queue=TaskQueue(name=task_queue)),
        timeout=timedelta(seconds=5),
    )
    rows = (*listed.workflow_task_queue_partitions, *listed.activity_task_queue_partitions)
    answers = await asyncio.gather(
        *(
            client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind
                ),
                timeout=timedelta(seconds=5),
            )
            for name in {task_queue, *(row.key for row in rows)}
        )
    )
    return any(poller.identity == identity for answer in answers for poller in answer.pollers)


def _deployment(config: Config) -> WorkerDeploymentConfig | None:
    if config.versioning is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(config.versioning.deployment_name, config.versioning.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


if __name__ == "__main__":
    run(work)
