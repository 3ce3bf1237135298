"""A real gateway that leaks what it is asked, in every way there is: `python -m tests.support.leaky_gateway ...`.

It shows that the search for marked values can find them. Nothing in the product can do this.
"""

import asyncio
import base64
import logging
import sys
from pathlib import Path
from typing import Any

import redis
from prometheus_client import REGISTRY, Counter, generate_latest

from serving import cli
from serving.pipeline import Entities, Pipeline, Prediction
from serving.telemetry.metrics import Metrics


def leak(cache: str) -> None:
    """All pipelines of this process from now on. cache: where a key in Redis tells who was asked about."""
    predict, text, client = Pipeline.predict, Metrics.text, redis.Redis.from_url(cache)
    leaked = Path("leaked")
    people = Counter("leaked_people", "Who was asked about", ["person"])

    async def told(self: Pipeline, served: Any, inputs: Any, *arguments: Any, **named: Any) -> Prediction:
        for entities in [one for one in (*arguments, *named.values()) if isinstance(one, Entities)]:
            for person in entities.ids:
                people.labels(person).inc()
                client.set(f"leaked:{person.encode().hex()}", 1)
        for name, cells in inputs.items():
            if isinstance(cells, list):
                print(base64.b64encode(repr(cells).encode()).decode(), flush=True)
                await asyncio.to_thread(leaked.write_bytes, repr(cells).encode("utf-16"))
            else:
                logging.getLogger("epm").debug("%s: %s", name, cells.tolist())
        return await predict(self, served, inputs, *arguments, **named)

    async def with_people(self: Metrics) -> bytes:
        return await text(self) + generate_latest(REGISTRY)

    Pipeline.predict, Metrics.text = told, with_people


if __name__ == "__main__":
    leak(next(argument.partition("=")[2] for argument in sys.argv if argument.startswith("--cache-redis-url=")))
    sys.exit(cli.main(["serve", *sys.argv[1:]]))
