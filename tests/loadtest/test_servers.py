"""Server processes start, are measured, and stop."""

import os
import sys
import time

import pytest

from loadtest import servers
from loadtest.h2.client import Load, LoadError, run

pytestmark = pytest.mark.integration


def test_the_canned_server_answers_every_call():
    some = [bytes([number]) * 30_000 for number in range(50)]
    with servers.canned() as server:
        result = run(Load(address=server.address, path="/a.B/C", bodies=some, distinct=50, calls=50, keep=50))
    assert result.all_ok
    assert result.statuses[0] == 50
    assert set(result.kept.values()) == {b"canned"}


def test_usage_grows_with_work_and_ends_with_the_process():
    busy = "import time\nprint('x\\nready grpc=a:1 http=b:2', flush=True)\nwhile True: pass"
    with servers.Server([sys.executable, "-c", busy]) as server:
        assert (server.address, server.http) == ("a:1", "b:2")
        before = server.usage()
        time.sleep(0.5)
        assert 0.1 < server.usage().cpu_seconds - before.cpu_seconds < 0.8
        assert 1 < before.rss_mib < 100
        server.stop()
        with pytest.raises(servers.ServerError):
            server.usage()


def test_a_process_is_held_to_one_processor():
    cpu = max(os.sched_getaffinity(0))
    idle = "import time\nprint('ready grpc=a:1', flush=True)\ntime.sleep(60)"
    with servers.Server([sys.executable, "-c", idle], cpu) as server:
        assert server.pinned
        assert os.sched_getaffinity(server.pid) == {cpu}
    assert not servers.pin(4095)


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import time; print('ready', flush=True); time.sleep(60)"])
def test_a_server_that_does_not_get_ready_is_an_error_and_leaves_no_process(code):
    with pytest.raises(servers.ServerError, match="ready"):
        servers.Server([sys.executable, "-c", code], patience=1.0)


def test_a_server_that_is_ready_without_an_address_is_an_error_and_leaves_no_process(tmp_path):
    code = (
        "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "print('ready http=b:2', flush=True); time.sleep(60)"
    )
    with pytest.raises(servers.ServerError, match="said 'ready http=b:2', expected `ready grpc=HOST:PORT`"):
        servers.Server([sys.executable, "-c", code, str(tmp_path / "pid")])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_metrics_are_read_from_this_machine_and_through_no_proxy(performance, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    assert "epm_requests_total" in servers.read_metrics(performance.http)
    with pytest.raises(LoadError, match="this machine only"):
        servers.read_metrics("192.0.2.1:80")


def test_a_server_that_will_not_stop_is_killed(monkeypatch):
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready grpc=a:1', flush=True)\ntime.sleep(60)"
    )
    monkeypatch.setattr(servers, "PATIENCE_TO_STOP", 0.3)
    server = servers.Server([sys.executable, "-c", stubborn])
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
