"""The baseline of the cost per task: the outside calls of a processor and a relay, and no more.

Arguments: a JSON object of addresses. It publishes each message, takes it from the queue, creates a
prediction, polls it, downloads the output, stores it and acknowledges, 16 at once. No log, no
retries, no checks, no bounds: what a first script would do with the same client libraries.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aio_pika
import httpx
import uvloop
from minio import Minio
from replicate.client import Client

CONCURRENCY = 16


async def main(at: dict[str, Any]) -> None:
    """Work off ``at["tasks"]`` messages."""
    replicate = Client(api_token="r8_bench", base_url=at["replicate"])  # noqa: S106
    http = httpx.AsyncClient()
    minio = Minio(
        at["s3"],
        access_key=at["access_key"],
        secret_key=at["secret_key"],
        secure=False,
        region="us-east-1",
    )
    threads = ThreadPoolExecutor(CONCURRENCY)
    base = f"{at['templates']}/template1"
    transcript = (await http.get(f"{base}/source_transcript.txt")).text
    await http.head(f"{base}/source_audio.mp3")
    connection = await aio_pika.connect(at["rabbitmq"])
    channel = await connection.channel()
    await channel.set_qos(CONCURRENCY)
    queue = await channel.declare_queue("bare", durable=True, arguments={"x-queue-type": "quorum"})
    publishing = await connection.channel()
    left = at["tasks"]
    done = asyncio.get_running_loop().create_future()

    async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal left
        number = json.loads(message.body)["task"]
        prediction = await replicate.predictions.async_create(
            version=at["version"],
            input={
                "source_audio": f"{base}/source_audio.mp3",
                "source_transcript": transcript,
                "tts_text": f"第{number}句话",
                "task": "zero-shot voice clone",
            },
        )
        while prediction.status not in {"succeeded", "failed", "canceled"}:
            await asyncio.sleep(at["poll_interval"])
            prediction = await replicate.predictions.async_get(prediction.id)
        audio = (await http.get(str(prediction.output))).content
        await asyncio.get_running_loop().run_in_executor(
            threads,
            lambda: minio.put_object(
                at["bucket"], f"bare-{number}.wav", io.BytesIO(audio), len(audio), "audio/wav"
            ),
        )
        await message.ack()
        left -= 1
        if left == 0:
            done.set_result(None)

    await queue.consume(handle)
    print("ready", flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for start in range(0, at["tasks"], 200):
        await asyncio.gather(
            *(
                publishing.default_exchange.publish(
                    aio_pika.Message(
                        json.dumps({"task": number}).encode(),
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    "bare",
                )
                for number in range(start, min(start + 200, at["tasks"]))
            )
        )
    await done
    print("done", flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await connection.close()


uvloop.run(main(json.loads(sys.argv[1])))
