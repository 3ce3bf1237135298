"""What a supervisor adds up, how long it waits, and how light it is."""

import socket
import subprocess
import sys

import pytest

from serving.supervisor.exposition import ADDED, Exposition, together
from serving.supervisor.pauses import Pauses
from serving.supervisor.ports import hold

pytestmark = pytest.mark.unit

ONE = """# HELP epm_calls_total Calls.
# TYPE epm_calls_total counter
epm_calls_total{of="a b",path="\\\\ \\"{}"} 3.0
epm_calls_total{of="only here"} 1.0
# HELP epm_seconds Times.
# TYPE epm_seconds histogram
epm_seconds_bucket{le="0.1"} 1.0
epm_seconds_bucket{le="+Inf"} 2.0
epm_seconds_count 2.0
epm_seconds_sum 0.75
# HELP epm_rows_in_flight Rows.
# TYPE epm_rows_in_flight gauge
epm_rows_in_flight 7.0
# HELP epm_ready Ready.
# TYPE epm_ready gauge
epm_ready 1.0
# HELP epm_replica_age_seconds Age.
# TYPE epm_replica_age_seconds gauge
epm_replica_age_seconds +Inf
"""
OTHER = (
    ONE.replace('of="only here"', 'of="only there"')
    .replace("epm_ready 1.0", "epm_ready 0.0")
    .replace("+Inf\n", "2.0\n")
)


def test_an_exposition_that_is_read_is_written_as_it_was() -> None:
    assert Exposition(ONE).text() == ONE


def test_counters_are_added_and_gauges_are_what_they_mean() -> None:
    one, other = Exposition(ONE), Exposition(OTHER)
    whole = together([one, other], [one, other])
    values = {key: value for family in whole.families.values() for key, value in family.series.items()}
    assert values == {
        'epm_calls_total{of="a b",path="\\\\ \\"{}"}': 6.0,
        'epm_calls_total{of="only here"}': 1.0,
        'epm_calls_total{of="only there"}': 1.0,
        'epm_seconds_bucket{le="0.1"}': 2.0,
        'epm_seconds_bucket{le="+Inf"}': 4.0,
        "epm_seconds_count": 4.0,
        "epm_seconds_sum": 1.5,
        "epm_rows_in_flight": 14.0,
        "epm_ready": 0.0,
        "epm_replica_age_seconds": float("inf"),
    }
    assert one.text() == ONE, "what was added up is as it was"


def test_of_those_that_have_ended_only_what_they_counted_remains() -> None:
    ended = Exposition()
    for _ in range(3):
        ended.join(Exposition(ONE), ADDED)
    whole = together([ended, Exposition(ONE)], [])
    assert whole.families.keys() == {"epm_calls_total", "epm_seconds"}
    assert whole.families["epm_seconds"].series["epm_seconds_count"] == 8.0
    assert "# TYPE epm_seconds histogram" in whole.text()


def test_pauses_grow_while_a_worker_ends_at_its_beginning_and_a_life_forgets_them() -> None:
    pauses = Pauses()
    assert [pauses.after(1) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert [pauses.after(3600), pauses.after(1), pauses.after(1)] == [0, 0.5, 1]


def test_a_port_that_is_held_is_shared_with_who_shares_and_with_nobody_else() -> None:
    held, port = hold("HTTP", "127.0.0.1", 0)
    try:
        for shares in (True, False):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
                try:
                    other.bind(("127.0.0.1", port))
                    other.listen()
                    got = True
                except OSError:
                    got = False
                assert got is shares
        with pytest.raises(OSError, match=f"HTTP on 127.0.0.1:{port}"):
            hold("HTTP", "127.0.0.1", port)
    finally:
        for one in held:
            one.close()


def test_a_supervisor_imports_nothing_that_computes() -> None:
    code = "import serving.supervisor.supervisor, sys; print(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "numpy", "onnxruntime", "grpc", "uvloop"} & set(done.stdout.split())
