"""By id beside by columns, and a bulk load, against a real Redis: `python -m loadtest.store`.

Writes the figures as JSON and, from that JSON alone, the page `docs/store-performance.md`. Fails when anything was
answered wrong, was not applied, or did not keep its bounds. Takes a few minutes; needs redis-server.
"""

import argparse
import datetime
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
import redis

from loadtest import machine
from loadtest.answers import WrongAnswerError
from loadtest.h2.client import LoadError
from loadtest.measure import MeasurementError
from loadtest.published import MODEL, newest_version
from loadtest.servers import ServerError
from loadtest.store import bulk, page, ratios
from loadtest.store.people import MONTHLY_MODEL, draw, write_model
from loadtest.store.places import place
from serving.contract import Contract
from serving.errors import EpmError

SEED = 20_261_031


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    options = _options(arguments)
    try:
        if not options.report:
            figures = measure(options)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(figures, indent=1) + "\n")
        page.write(json.loads(options.results.read_text()), options.out)
    except (MeasurementError, WrongAnswerError, LoadError, ServerError, EpmError, OSError, redis.RedisError) as error:
        print(f"store: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(f"store: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    print(f"{options.results}\n{options.out}")
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values."""
    described = machine.describe()
    source = Path(options.model_repo) / MODEL
    base = Contract.load(newest_version(source) / "contract.json")
    with tempfile.TemporaryDirectory() as folder, place(Path(folder) / "store") as here:
        shutil.copytree(source, here.models / MODEL)
        write_model(here.models, base)
        sizes = ratios.QUICK if options.quick else ratios.FULL
        calls = ratios.measure(here, draw(base, sizes.people, SEED), (MODEL, MONTHLY_MODEL), sizes)
        return {
            "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "command": " ".join(["python -m loadtest.store", *sys.argv[1:]]),
            "machine": described,
            "redis": here.client.info("server")["redis_version"],
            "calls": calls,
            "bulk": bulk.measure(here, bulk.QUICK if options.quick else bulk.FULL),
        }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; writes below build/")
    parser.add_argument("--model-repo", default="model_repo")
    parser.add_argument("--out", type=Path, help="the page (default docs/store-performance.md)")
    parser.add_argument("--results", type=Path, help="the figures (default loadtest/results/store.json)")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the figures there are")
    options = parser.parse_args(arguments)
    base = Path("build/quick") if options.quick else Path()
    options.out = options.out or base / "docs/store-performance.md"
    options.results = options.results or base / "loadtest/results/store.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
