"""A bounded load on one model, as a process of its own: `python -m frugal.cli.demo.load < plan.json`.

The plan is {url, model, images, rates}; each rate holds for a second, arrivals are evenly spaced and do not wait for
answers. It prints {requests, failed, p50Seconds, p99Seconds, errors}. Loopback or a cluster's own address only.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

ANSWER_SECONDS = 10.0
AT_A_TIME = 64  # more wait here, so that a slow server is not buried
MOST_REQUESTS = 20_000
DISTINCT_IMAGES = 64


@dataclass(slots=True)
class Tally:
    """What the requests came to."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        return {
            "requests": len(ordered) + sum(self.errors.values()),
            "failed": sum(self.errors.values()),
            "p50Seconds": ordered[len(ordered) // 2] if ordered else None,
            "p99Seconds": ordered[int(len(ordered) * 0.99)] if ordered else None,
            "errors": dict(self.errors),
        }


async def drive(url: str, model: str, bodies: list[bytes], rates: list[float]) -> Tally:
    """Send the load and return what came of it."""
    tally, places = Tally(), asyncio.Semaphore(AT_A_TIME)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)  # so that new replicas get their share at once
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:

        async def ask(body: bytes) -> None:
            began = time.perf_counter()
            try:
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{url}/v2/models/{model}/infer", data=body, headers=headers) as answer:
                    await answer.read()
                    if answer.status != 200:
                        tally.errors[f"HTTP {answer.status}"] += 1
                        return
                tally.seconds.append(time.perf_counter() - began)
            except (aiohttp.ClientError, TimeoutError) as error:
                tally.errors[type(error).__name__] += 1
            finally:
                places.release()

        start, count = time.monotonic(), 0
        for second, rate in enumerate(rates):
            arrivals = round(rate)
            for arrival in range(arrivals):
                if count >= MOST_REQUESTS:
                    return tally
                await asyncio.sleep(max(0.0, start + second + arrival / arrivals - time.monotonic()))
                await places.acquire()
                group.create_task(ask(bodies[count % len(bodies)]))
                count += 1
        await asyncio.sleep(max(0.0, start + len(rates) - time.monotonic()))
    return tally


async def request_bodies(url: str, model: str, images: Path) -> list[bytes]:
    """Return requests of one image each, in the shape and type that the model says it takes."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v2/models/{model}") as answer:
        answer.raise_for_status()
        tensor = (await answer.json())["inputs"][0]
    return [
        json.dumps(
            {
                "inputs": [
                    {
                        "name": tensor["name"],
                        "datatype": tensor["datatype"],
                        "shape": [1, *tensor["shape"][1:]],
                        "data": [pixel / 255 for pixel in image],
                    }
                ]
            }
        ).encode()
        for image in first_images(images)
    ]


def first_images(file: Path) -> list[bytes]:
    """Return the pixels of the first images of a gzipped IDX file."""
    with gzip.open(file) as stream:
        _, count, height, width = struct.unpack(">4I", stream.read(16))
        return [stream.read(height * width) for _ in range(min(count, DISTINCT_IMAGES))]


async def run_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Carry out one plan."""
    bodies = await request_bodies(plan["url"], plan["model"], Path(plan["images"]))
    return (await drive(plan["url"], plan["model"], bodies, plan["rates"])).to_json()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run_plan(json.load(sys.stdin)))))
