"""`epm facts`: files into a real gateway with a real Redis, and what is stored on the screen."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.integration.commands import epm
from tests.support.gateways import gateway
from tests.support.metrics import until
from tests.support.ports import free_ports
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

TOKEN = "0123456789-abcdef"  # noqa: S105
CHANGED = 1_774_000_000
"""When files of these tests were last changed: 2026-03-20 09:46:40 UTC."""
PANEL = """employee,month,hours,output
E1,2026-01,160,1
E1,2026-02,150.25,
E1,2026-03,155.5,3
张三,2026-03,4,-2
"""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "token").write_text(TOKEN)
    (folder / "key").write_text("00112233445566778899aabbccddeeff")
    return folder


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as running:
        yield running


@pytest.fixture(scope="module")
def at(small_repository, redis, secrets):
    with gateway(
        small_repository, redis_url=redis.url, hash_key_file=secrets / "key", facts_token_file=secrets / "token"
    ) as running:
        yield running
    log = "".join(running.log)
    assert "Traceback" not in log
    assert "defect" not in log


@pytest.fixture(autouse=True)
def _empty(redis):
    """Each test begins with nothing stored."""
    with redis.client() as client:
        client.flushall()


@pytest.fixture
def facts(at, secrets):
    """Run `epm facts`."""

    def run(*arguments, **environment):
        return epm("facts", *arguments, "--address", at.grpc, EPM_TOKEN_FILE=str(secrets / "token"), **environment)

    return run


@pytest.fixture
def load(facts, tmp_path):
    """Write a file and load it."""

    def run(content, *options, name="attendance.csv"):
        path = tmp_path / name
        path.write_text(content, "utf-8")
        os.utime(path, (CHANGED, CHANGED))
        return facts("load", path, *options)

    return run


def lines(done):
    """Cells of a table."""
    return [line.split() for line in done.stdout.splitlines()[2:]]


def test_a_loaded_panel_is_there_and_loading_it_again_changes_nothing(load, facts):
    done = load(PANEL, "--month", "month")
    assert (done.returncode, done.stdout) == (0, "entities 2, rows 4, applied 2, rejected 0\n"), done
    assert load(PANEL, "--month", "month").stdout == "entities 2, rows 4, applied 0, rejected 0\n"
    shown = facts("get", "--id", "E1")
    assert shown.returncode == 0
    said = ["attendance", "2026-03-20", "09:46:40Z", "0"]
    assert lines(shown) == [
        ["hours", "2026-01", "160", *said],
        ["hours", "2026-02", "150.25", *said],
        ["hours", "2026-03", "155.5", *said],
        ["output", "2026-01", "1", *said],
        ["output", "2026-03", "3", *said],
    ]
    assert lines(facts("get", "--id", "张三"))[1][:3] == ["output", "2026-03", "-2"]


def test_facts_with_texts_of_another_kind_of_entity(load, facts):
    content = "shop,city,opened,area\nS1,成都,2019-05-01,120.5\nS2,,,\n"
    options = ("--id", "shop", "--entity-type", "store", "--text", "city,opened", "--source", "erp", "--sequence", 4)
    assert load(content, *options, "--as-of", "2026-02-28").returncode == 0
    said = ["erp", "2026-02-28", "00:00:00Z", "4"]
    assert lines(facts("get", "--id", "S1", "--entity-type", "store")) == [
        ["area", "120.5", *said],
        ["city", "成都", *said],
        ["opened", "2019-05-01", *said],
    ]
    assert [line[1] for line in lines(facts("get", "--id", "S2", "--entity-type", "store"))] == ["-"] * 3
    assert facts("get", "--id", "S1").returncode == 1


def test_parquet_is_loaded_too(facts, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"employee": ["E1", "E1"], "month": ["2026-01", "2026-02"], "hours": [160, 150.25]}
    pq.write_table(pa.table(columns), tmp_path / "panel.parquet")
    done = facts("load", tmp_path / "panel.parquet", "--month", "month", "--as-of", "2026-03-01")
    assert done.stdout == "entities 1, rows 2, applied 1, rejected 0\n", done
    assert [line[:4] for line in lines(facts("get", "--id", "E1"))] == [
        ["hours", "2026-01", "160", "panel"],
        ["hours", "2026-02", "150.25", "panel"],
    ]


def test_thousands_of_entities_in_many_messages(load, redis):
    rows = [f"E{n},{2024 + m // 12}-{m % 12 + 1:02},{n + m / 4},{m}" for n in range(5000) for m in range(4)]
    done = load("\n".join(["employee,month,a,b", *rows]), "--month", "month", "--batch", 50)
    assert (done.returncode, done.stdout) == (0, "entities 5000, rows 20000, applied 5000, rejected 0\n"), done
    with redis.client() as client:
        assert sum(1 for _ in client.scan_iter("epm:facts:*")) == 5000


def test_what_the_gateway_rejects_is_named_by_its_line_and_its_neighbours_are_loaded(load, facts):
    wide = ",".join(["employee", *(f"f{n}" for n in range(200))])
    assert load(f"{wide}\nE2{',1' * 200}\n").returncode == 0
    wider = ",".join(["employee", *(f"g{n}" for n in range(100))])
    rows = "\n".join(f"E{n}{',1' * 100}" for n in range(5))
    done = load(f"{wider}\n{rows}\n", name="more.csv")
    assert done.returncode == 1
    assert done.stdout.endswith("rejected 1\n")
    assert "more.csv, line 4: " in done.stderr
    assert "256" in done.stderr
    assert [len(lines(facts("get", "--id", f"E{n}"))) for n in range(5)] == [100, 100, 200, 100, 100]


def test_a_redis_that_stops_for_a_while_holds_up_a_load_and_loses_nothing(load, redis):
    rows = "\n".join(f"E{n},{n}" for n in range(30_000))
    redis.pause()
    resumed = threading.Timer(2, redis.resume)
    resumed.start()
    try:
        done = load(f"employee,a\n{rows}\n")
    finally:
        resumed.join()
    assert done.returncode == 0, done
    assert "trying again" in done.stderr
    assert done.stdout.startswith("entities 30000, rows 30000, ")
    with redis.client() as client:
        assert sum(1 for _ in client.scan_iter("epm:facts:*")) == 30_000


def test_a_gateway_that_is_replaced_during_a_load_loses_nothing(small_repository, secrets, tmp_path):
    path, people = tmp_path / "many.csv", 60_000
    path.write_text("\n".join(["employee,a", *(f"E{n},{n}" for n in range(people))]))
    keys = {"hash_key_file": secrets / "key", "facts_token_file": secrets / "token", "grpc_port": free_ports(1)[0]}
    with RedisServer() as redis, redis.client() as client:
        with gateway(small_repository, redis_url=redis.url, **keys) as first:
            command = [sys.executable, "-m", "serving.cli", "facts", "load", str(path), "--address", first.grpc]
            command += ["--token-file", str(secrets / "token")]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert until(lambda: client.dbsize() > people / 10, 60)
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(20) == 0
        assert client.dbsize() < people
        with gateway(small_repository, redis_url=redis.url, **keys):
            said, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert "trying again" in complaints
        assert said.startswith(f"entities {people}, rows {people}, ")
        assert sum(1 for _ in client.scan_iter("epm:facts:*", count=1000)) == people


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (PANEL.replace("155.5", "canary"), ["--month", "month"], ["hours", "line 4"]),
        (PANEL.replace("2026-03", "2026-05"), ["--month", "month"], ["line 4", "--as-of"]),
        (PANEL, [], ["month", "line 2", "--text"]),
        (PANEL, ["--id", "person"], ["'person'", "--id"]),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_sentence_that_names_the_place(load, content, options, expected):
    done = load(content, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert [word for word in expected if word not in done.stderr] == [], done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "canary" not in done.stderr


def test_wrong_use_is_status_2(load, facts, at, tmp_path):
    (tmp_path / "short").write_text("short")
    for done in (
        load(PANEL, "--batch", 0),
        load(PANEL, "--month", "month", "--text", "hours"),
        load(PANEL, "--source", ""),
        load(PANEL, "--sequence", "first"),
        load(PANEL, "--token-file", tmp_path / "short"),
        load(PANEL, "--token-file", tmp_path / "nowhere"),
        epm("facts", "get", "--id", "x", "--address", at.grpc),
        facts("get"),
        facts("forget"),
        facts(),
    ):
        assert done.returncode == 2, done
        assert done.stderr
        assert "Traceback" not in done.stderr


def test_another_token_is_refused(load, tmp_path):
    (tmp_path / "other").write_text("another-token-of-16")
    done = load(PANEL, "--month", "month", "--token-file", tmp_path / "other")
    assert (done.returncode, done.stdout) == (1, "")
    assert "UNAUTHENTICATED" in done.stderr


def test_a_missing_file_and_a_missing_gateway_are_named(facts, secrets, tmp_path):
    done = facts("load", tmp_path / "nowhere.csv")
    assert done.returncode == 1
    assert "nowhere.csv" in done.stderr
    began = time.monotonic()
    done = epm(
        "facts", "get", "--id", "x", "--address", "127.0.0.1:9", "--wait", 0.5, "--token-file", secrets / "token"
    )
    assert done.returncode == 1
    assert "epm serve" in done.stderr
    assert time.monotonic() - began < 10


def test_an_entity_is_erased(load, facts):
    load(PANEL, "--month", "month")
    done = facts("delete", "--id", "E1")
    assert (done.returncode, done.stdout) == (0, "E1: erased\n")
    done = facts("delete", "--id", "E1")
    assert (done.returncode, done.stdout) == (0, "E1: nothing was stored\n")
    done = facts("get", "--id", "E1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "E1: nothing is stored\n")
    assert facts("get", "--id", "张三").returncode == 0


def test_ids_come_from_standard_input(load, at, secrets):
    load(PANEL, "--month", "month")

    def run(action, ids):
        command = [sys.executable, "-m", "serving.cli", "facts", action, "--id", "-", "--address", at.grpc]
        command += ["--token-file", str(secrets / "token")]
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(command, input=ids, capture_output=True, text=True, check=False, env=environment)

    done = run("get", "E1\n\n nobody \n张三\n")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.endswith(":")] == ["E1:", "张三:"]
    assert done.stderr == "nobody: nothing is stored\n"
    done = run("delete", "E1\nnobody\n张三")
    assert (done.returncode, done.stdout) == (0, "E1: erased\nnobody: nothing was stored\n张三: erased\n")


def test_progress_is_shown_on_a_terminal(at, secrets, tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("\n".join(["employee,a", *(f"E{n},1" for n in range(60_000))]))
    command = [sys.executable, "-m", "serving.cli", "facts", "load", str(path), "--address", at.grpc]
    main, terminal = pty.openpty()
    with subprocess.Popen(
        [*command, "--token-file", str(secrets / "token")], stdout=subprocess.PIPE, stderr=terminal, text=True
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(main, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert process.stdout.read() == "entities 60000, rows 60000, applied 60000, rejected 0\n"
        assert process.wait(10) == 0
    os.close(main)
    assert b"%" in shown
    assert b"entities/s" in shown
