"""This gateway beside Triton, MLServer, KServe and a bare echo, on one processor: `python -m loadtest.bench`.

A peer that is not installed (`make bench-envs`) or does not start is a row that says so. Fails when the gateway does,
or when any of its answers is not onnxruntime's.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bench import page
from loadtest.bench.peer import ENVIRONMENTS, Peer
from loadtest.bench.peers import PEERS, gateway
from loadtest.bench.rounds import Contest, Effort, Places
from loadtest.bench.rows import BODIES, draw
from loadtest.published import MODEL, newest_version
from loadtest.study import Study
from serving.contract import Contract

ROWS = (1, 64)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises MeasurementError, WrongAnswerError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    rounds, effort = (1, Effort(0.3, 8)) if options.quick else (options.rounds, Effort(options.seconds, 8))
    repo = options.model_repo.absolute()
    contract = Contract.load(newest_version(repo / MODEL) / "contract.json")
    pinned = servers.pin(servers.CLIENT_CPU)
    samples = [draw(repo, MODEL, rows) for rows in ROWS]
    contest = Contest(Places(repo, options.environments), samples, effort)
    cold = None if options.quick else contest.start_seconds(gateway.COLD)
    contest.admit(PEERS)
    for number in range(rounds):
        contest.play(number)
    features = samples[0].calls[0].features.shape[1]
    return {
        **stamp,
        "conditions": {
            "model": f"{contract.model} ({contract.provenance.algorithm}, {features} features)",
            "seconds": effort.seconds,
            "rounds": rounds,
            "streams": effort.streams,
            "rates": {str(rows): rate for rows, rate in contest.rates.items()},
            "distinct_bodies": BODIES,
            "pinned": pinned and all(start["pinned"] for start in contest.starts),
        },
        "peers": [_described(peer, contest, options.environments) for peer in _chosen(contest)],
        "runs": contest.runs,
        "starts": contest.starts,
        "cold_start_seconds": cold,
    }


def _chosen(contest: Contest) -> list[Peer]:
    """In the order of the tables, each in the setup that was compared."""
    compared = {peer.name: peer for peer in contest.peers}
    return [compared.get(peer.name, peer) for peer in PEERS]


def _described(peer: Peer, contest: Contest, environments: Path) -> dict[str, Any]:
    missing = contest.missing.get(peer.name)
    return {
        "name": peer.name,
        "title": peer.title,
        "note": peer.note,
        "setup": peer.setup,
        "tried": contest.tried.get(peer.name, {}),
        "missing": missing,
        "versions": {} if missing else peer.installed_versions(environments),
        "wires": [{"name": wire.name, "title": wire.title, "predicts": wire.predicts} for wire in peer.wires],
    }


STUDY = Study("bench", Path("docs/performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each server, and runs of each kind and size")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where the other servers are installed")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
