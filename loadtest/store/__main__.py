"""By id beside by columns, and a bulk load, against a real Redis: `python -m loadtest.store`.

Fails when anything was answered wrong, was not applied, or did not keep its bounds. Takes a few minutes; needs
redis-server.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
import redis

from loadtest.published import MODEL, newest_version
from loadtest.store import bulk, page, ratios
from loadtest.store.people import MONTHLY_MODEL, draw, write_model
from loadtest.store.places import place
from loadtest.study import Study
from serving.contract import Contract

SEED = 20_261_031


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values."""
    stamp = STUDY.stamp()
    source = options.model_repo / MODEL
    base = Contract.load(newest_version(source) / "contract.json")
    with tempfile.TemporaryDirectory() as folder, place(Path(folder) / "store") as here:
        shutil.copytree(source, here.models / MODEL)
        write_model(here.models, base)
        sizes = ratios.QUICK if options.quick else ratios.FULL
        calls = ratios.measure(here, draw(base, sizes.people, SEED), (MODEL, MONTHLY_MODEL), sizes)
        return {
            **stamp,
            "redis": here.client.info("server")["redis_version"],
            "calls": calls,
            "bulk": bulk.measure(here, bulk.QUICK if options.quick else bulk.FULL),
        }


STUDY = Study("store", Path("docs/store-performance.md"), measure, page.write, (redis.RedisError, grpc.RpcError))


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    return STUDY.run(STUDY.parser(__doc__), arguments)


if __name__ == "__main__":
    sys.exit(main())
