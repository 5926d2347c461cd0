# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn(name="hello")
class Hello:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(minutes=1))


async def main() -> None:
    client = await Client.connect("localhost:7233")
    await Worker(client, task_queue="hello-python", workflows=[Hello], activities=[greet]).run()


if __name__ == "__main__":
    asyncio.run(main())
