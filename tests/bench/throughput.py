# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput of a Temporal cluster: workflows of two activities, worker and client in this process.

Absolute figures belong to the machine. To compare two settings, measure both in the same run, in turns, and compare
the ratio: give ``--address`` twice or more, one per server.

    throughput.py --address 127.0.0.1:7233 --address 127.0.0.1:17233 --rounds 3 --output result.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

QUICK = timedelta(seconds=30)


@activity.defn
async def first(value: int) -> int:
    return value + 1


@activity.defn
async def second(value: int) -> int:
    return value * 2


@workflow.defn
class TwoSteps:
    @workflow.run
    async def run(self, value: int) -> int:
        value = await workflow.execute_activity(first, value, start_to_close_timeout=QUICK)
        return await workflow.execute_activity(second, value, start_to_close_timeout=QUICK)


@dataclass(frozen=True)
class Round:
    """One measured batch. Latency is from the start of a workflow to its result, in seconds."""

    address: str
    workflows: int
    seconds: float
    workflows_per_second: float
    p50_seconds: float
    p99_seconds: float


def percentile(values: list[float], part: float) -> float:
    """The smallest value that at least ``part`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)]


async def connected(address: str, namespace: str, create: bool) -> Client:
    client = await Client.connect(address, namespace=namespace)
    try:
        await client.count_workflows()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND or not create:
            raise
        await create_namespace(client, namespace)
    return client


async def create_namespace(client: Client, namespace: str) -> None:
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=namespace, workflow_execution_retention_period=Duration(seconds=24 * 60 * 60)
        )
    )
    deadline = time.monotonic() + 30
    while True:  # every host of the cluster learns of it within some seconds
        try:
            await client.count_workflows()
            return
        except RPCError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def measure(client: Client, address: str, workflows: int, concurrency: int, warm_up: int) -> Round:
    queue = f"throughput-{uuid.uuid4().hex[:8]}"
    latencies: list[float] = []

    async def batch(count: int, prefix: str) -> None:
        numbers = iter(range(count))

        async def one_after_another() -> None:
            for number in numbers:
                began = time.perf_counter()
                result = await client.execute_workflow(
                    TwoSteps.run, number, id=f"{queue}-{prefix}-{number}", task_queue=queue
                )
                assert result == (number + 1) * 2
                latencies.append(time.perf_counter() - began)

        await asyncio.gather(*(one_after_another() for _ in range(concurrency)))

    async with Worker(
        client,
        task_queue=queue,
        workflows=[TwoSteps],
        activities=[first, second],
        max_concurrent_activities=concurrency,
        max_concurrent_workflow_tasks=concurrency,
    ):
        await batch(warm_up, "warm-up")
        latencies.clear()
        began = time.perf_counter()
        await batch(workflows, "run")
        seconds = time.perf_counter() - began
    return Round(
        address=address,
        workflows=workflows,
        seconds=round(seconds, 3),
        workflows_per_second=round(workflows / seconds, 2),
        p50_seconds=round(percentile(latencies, 0.5), 3),
        p99_seconds=round(percentile(latencies, 0.99), 3),
    )


def summary(rounds: list[Round], addresses: list[str]) -> dict[str, Any]:
    """Medians per server, and the throughput of the first beside each other one."""
    servers: list[dict[str, Any]] = []
    for address in addresses:
        own = [each for each in rounds if each.address == address]
        servers.append(
            {
                "address": address,
                "workflows_per_second": round(statistics.median(each.workflows_per_second for each in own), 2),
                "p50_seconds": statistics.median(each.p50_seconds for each in own),
                "p99_seconds": statistics.median(each.p99_seconds for each in own),
            }
        )
    best = servers[0]["workflows_per_second"]
    for server in servers[1:]:
        server["first_is_faster_by"] = round(best / server["workflows_per_second"], 2)
    return {"servers": servers, "rounds": [asdict(each) for each in rounds]}


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    addresses = list(dict.fromkeys(arguments.address))
    clients = {
        address: await connected(address, arguments.namespace, arguments.create_namespace) for address in addresses
    }
    rounds = []
    for number in range(arguments.rounds):
        # In turns, and every other time the other way round: what the machine does besides hits all alike.
        for address in addresses if number % 2 == 0 else reversed(addresses):
            measured = await measure(
                clients[address], address, arguments.workflows, arguments.concurrency, arguments.warm_up
            )
            print(
                f"{address}: {measured.workflows_per_second} workflows/s, "
                f"p50 {measured.p50_seconds} s, p99 {measured.p99_seconds} s",
                file=sys.stderr,
            )
            rounds.append(measured)
    return {"concurrency": arguments.concurrency, **summary(rounds, addresses)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", action="append", required=True, help="host:port of a frontend; may be repeated")
    parser.add_argument("--namespace", default="throughput")
    parser.add_argument("--create-namespace", action="store_true", help="register the namespace when it is missing")
    parser.add_argument("--workflows", type=int, default=600, help="measured in each round")
    parser.add_argument("--warm-up", type=int, default=60, help="run before each round, not measured")
    parser.add_argument("--concurrency", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the JSON here instead of to standard output")
    arguments = parser.parse_args()
    document = json.dumps(asyncio.run(run(arguments)), indent=2) + "\n"
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(document)
    else:
        sys.stdout.write(document)


if __name__ == "__main__":
    main()
