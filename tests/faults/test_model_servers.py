"""Model servers that die, hang, come back, refuse or answer wrongly: no wrong answer, no long wait, no harm after."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import grpc
import numpy as np
import pytest

from serving.backends.backend import Proof, Tensors
from serving.backends.remote import breaker as breaker_module
from serving.backends.remote.breaker import State
from serving.backends.remote.remote import RemoteBackend
from serving.backends.remote.servers import Servers
from serving.backends.remote.triton import Triton
from serving.errors import BackendFailed, BackendRefused, ContractError, EpmError, TooLate
from tests.support.fake_model_servers import PROOF_ROWS, Answers, FakeTriton
from tests.support.models import contract
from tests.support.remote import TIMEOUT, all_closed, asking, eventually, is_right, outcome, rows

pytestmark = [pytest.mark.faults, pytest.mark.alone]

SLACK = 2.0
"""Seconds that a call may take beyond its limit, on a busy machine."""


async def timed(call: Awaitable[Tensors], limit: float) -> object:
    """The outcome of a call, which must come in time."""
    begin = time.monotonic()
    answer = await outcome(call)
    assert time.monotonic() - begin < limit + SLACK
    return answer


PATIENT = 10.0
"""Seconds to give a server where a call may not fail though this machine itself stands still for a while."""


class Load:
    """Callers that never stop asking. Every answer must be right and in time; what else came is kept."""

    def __init__(
        self, backend: RemoteBackend, callers: int = 4, deadline: float | None = None, seconds: float = TIMEOUT
    ) -> None:
        self.right = 0
        self.errors: list[EpmError] = []
        self._backend = backend
        self._deadline = deadline
        self._limit = 2 * seconds if deadline is None else deadline
        self._over = False
        self._callers = callers

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._ask(caller)) for caller in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _ask(self, caller: int) -> None:
        number = 0
        while not self._over:
            number += 1
            asked = rows(1 + number % 5, 100 * caller + number % 7)
            deadline = None if self._deadline is None else time.monotonic() + self._deadline
            answer = await timed(self._backend.infer(asked, deadline), self._limit)
            if isinstance(answer, EpmError):
                self.errors.append(answer)
                await asyncio.sleep(0.005)
            else:
                assert is_right(asked, answer)
                self.right += 1
            await asyncio.sleep(0)

    async def more(self, count: int = 20) -> None:
        """Until so many more calls were answered."""
        wanted = self.right + count
        await eventually(lambda: self.right >= wanted)


def test_one_of_two_is_killed_and_no_caller_notices(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "epm.backends")

    one, two = FakeTriton(), FakeTriton()

    async def run() -> None:
        async with one, two, asking(one.address, two.address, seconds=PATIENT) as backend:
            await all_closed(backend, 2)
            async with Load(backend, seconds=PATIENT) as load:
                await load.more()
                for _ in range(2):
                    await two.stop()
                    await eventually(lambda: backend.states()[1].state is State.OPEN)
                    await load.more()
                    await two.start()
                    await eventually(lambda: backend.states()[1].state is State.CLOSED)
                    seen = two.calls
                    await eventually(lambda seen=seen: two.calls > seen)
            assert load.errors == []

    asyncio.run(run())
    for address, closings in ((one.address, 1), (two.address, 3)):
        said = [record.getMessage() for record in caplog.records if address in record.getMessage()]
        outages: list[list[str]] = [[]]
        for line in said:
            if " is asked for " in line:
                outages.append([])
            else:
                outages[-1].append(line)
        assert outages.pop() == []
        assert len(outages) == closings, said
        assert all(outages[1:]), "it is asked again without having been left"
        assert all(len(set(lines)) == len(lines) for lines in outages), "a line twice in one outage"


def test_a_single_one_that_is_killed_fails_calls_at_once_and_is_used_when_it_is_back() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            async with Load(backend) as load:
                await load.more()
                await server.stop()
                await eventually(lambda: len(load.errors) > 50)
                assert all(type(error) is BackendFailed for error in load.errors)
                begin = time.monotonic()
                with pytest.raises(BackendFailed, match=r"refused|lost|no connection"):
                    await backend.infer(rows(1), None)
                assert time.monotonic() - begin < SLACK
                await server.start()
                await eventually(lambda: not backend.unavailable, 8)
                await load.more()

    asyncio.run(run())


def test_one_of_two_that_hangs_costs_less_than_a_timeout_and_no_answer() -> None:
    async def run() -> None:
        one, two = FakeTriton(), FakeTriton()
        async with one, two, asking(one.address, two.address, seconds=4 * TIMEOUT) as backend:
            await all_closed(backend, 2)
            async with Load(backend, seconds=4 * TIMEOUT) as load:
                await load.more()
                two.delay = 60
                await eventually(lambda: backend.states()[1].state is State.OPEN, PATIENT)
                seen = two.calls
                await load.more()
                assert two.calls == seen
                two.delay = 0
                await eventually(lambda: backend.states()[1].state is State.CLOSED, PATIENT)
                await load.more()
            assert load.errors == []
            assert backend.outcomes["late"] >= 1
            assert backend.outcomes["timeout"] == 0

    asyncio.run(run())


def test_one_that_hangs_is_found_out_though_every_caller_has_a_short_deadline() -> None:
    async def run() -> None:
        one, two = FakeTriton(), FakeTriton()
        async with one, two, asking(one.address, two.address, seconds=4 * TIMEOUT) as backend:
            await all_closed(backend, 2)
            async with Load(backend, deadline=0.5) as load:
                await load.more()
                two.delay = 60
                await eventually(lambda: backend.states()[1].state is State.OPEN, PATIENT)
                await load.more(100)
                assert load.errors == []  # half of the time was left for the other one
            assert backend.outcomes["timeout"] == 0

    asyncio.run(run())


def test_a_deadline_shorter_than_the_model_is_the_callers_and_the_server_stays_in_use() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            server.delay = 0.05
            patient = asyncio.create_task(outcome(backend.infer(rows(4), None)))
            hasty = [timed(backend.infer(rows(2), time.monotonic() + 0.005), 0.005) for _ in range(20)]
            assert {type(answer) for answer in await asyncio.gather(*hasty)} == {TooLate}
            assert is_right(rows(4), await patient)
            assert is_right(rows(2), await backend.infer(rows(2), time.monotonic() + 1))
            assert (backend.unavailable, backend.outcomes["late"]) == ("", 20)
            assert server.proofs <= 2  # not one after each of them

    asyncio.run(run())


def test_the_second_try_stays_within_the_deadline() -> None:
    async def run() -> None:
        async with FakeTriton() as one, FakeTriton() as two, asking(one.address, two.address) as backend:
            await all_closed(backend, 2)
            one.delay = two.delay = 60
            for deadline, kind in ((TIMEOUT * 1.5, TooLate), (None, BackendFailed)):
                await all_closed(backend, 2)
                until = None if deadline is None else time.monotonic() + deadline
                answer = await timed(backend.infer(rows(2), until), deadline or 2 * TIMEOUT)
                assert type(answer) is kind
            assert one.calls == two.calls == 2  # each call went to both

    asyncio.run(run())


def shape(answers: Answers) -> Answers:
    return {**answers, "probabilities": answers["probabilities"][:, :2]}


def transposed(answers: Answers) -> Answers:
    return {**answers, "probabilities": answers["probabilities"].T.copy()}


def fewer_rows(answers: Answers) -> Answers:
    return {name: values[:-1] for name, values in answers.items()}


def wide_label(answers: Answers) -> Answers:
    return {**answers, "label": answers["label"].astype(np.int64)}


def doubles(answers: Answers) -> Answers:
    return {**answers, "probabilities": answers["probabilities"].astype(np.float64)}


def no_label(answers: Answers) -> Answers:
    return {"probabilities": answers["probabilities"]}


def nothing(_: Answers) -> Answers:
    return {}


WRONG: list[Callable[[Answers], Answers]] = [shape, fewer_rows, wide_label, doubles, no_label, nothing, transposed]
"""The last one does not show where there are as many rows as classes."""


@pytest.mark.parametrize("twist", WRONG)
def test_one_answer_that_is_not_as_promised_is_never_given_and_the_address_is_left_at_once(
    twist: Callable[[Answers], Answers],
) -> None:
    async def run() -> None:
        async with FakeTriton() as one, FakeTriton() as two, asking(one.address, two.address) as backend:
            await all_closed(backend, 2)
            two.twist = twist
            for number in range(6):
                assert is_right(rows(4, number), await backend.infer(rows(4, number), None))
            assert (backend.states()[1].state, two.calls) == (State.OPEN, 1)
            assert "answered wrongly" in backend.states()[1].reason
            two.twist = dict
            await all_closed(backend, 2)
            assert is_right(rows(3), await backend.infer(rows(3), None))

    asyncio.run(run())


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"", b"no protobuf at all"])
def test_what_is_no_answer_is_a_wrong_one(raw: bytes) -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            server.raw = raw
            with pytest.raises(BackendFailed, match="answered wrongly"):
                await backend.infer(rows(2), None)
            assert backend.unavailable
            assert backend.outcomes["wrong"] == 1

    asyncio.run(run())


def test_another_version_or_another_artifact_under_the_same_number_is_not_believed() -> None:
    async def run() -> None:
        async with FakeTriton() as server:
            server.seed = 3
            async with asking(server.address) as backend:
                with pytest.raises(BackendFailed, match="not the trained model's"):
                    await backend.infer(rows(2), None)
                assert server.calls == 0
                server.seed, server.said_version = 0, "2"
                await eventually(lambda: "another model's or version's" in backend.unavailable)
                server.said_version, server.version = None, 2
                await eventually(lambda: "does not serve this version" in backend.unavailable, 8)
                assert server.calls == 0
                server.version = 1
                await eventually(lambda: backend.unavailable == "", 8)
                assert is_right(rows(2), await backend.infer(rows(2), None))

    asyncio.run(run())


def test_a_server_that_comes_back_with_another_artifact_has_to_prove_itself_before_it_is_believed() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            assert is_right(rows(2), await backend.infer(rows(2), None))
            await server.stop()
            await server.start()
            await eventually(lambda: server.proofs >= 2 and backend.unavailable == "")
            assert is_right(rows(2), await backend.infer(rows(2), None))
            await server.stop()
            server.seed = 3
            await server.start()
            for _ in range(3):  # one may be on its way before the loss is known: its answer is dropped
                with pytest.raises(BackendFailed):
                    await backend.infer(rows(2), None)
            await eventually(lambda: "not the trained model's" in backend.unavailable)
            server.seed = 0
            await eventually(lambda: backend.unavailable == "")
            assert is_right(rows(2), await backend.infer(rows(2), None))

    asyncio.run(run())


def test_a_model_that_is_swapped_while_it_is_asked_is_found_out_by_the_repeated_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker_module, "AGAIN_SECONDS", 0.1)

    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            server.seed = 3
            await eventually(lambda: "not the trained model's" in backend.unavailable)
            with pytest.raises(BackendFailed):
                await backend.infer(rows(2), None)
            assert server.calls == 0
            server.seed = 0
            await eventually(lambda: backend.unavailable == "")

    asyncio.run(run())


def test_one_that_refuses_everything_is_found_out_soon() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            server.code = grpc.StatusCode.INVALID_ARGUMENT
            answer = await outcome(backend.infer(rows(2), None))
            assert type(answer) is BackendRefused
            await asyncio.sleep(breaker_module.SUSPECT_SECONDS)
            await outcome(backend.infer(rows(2), None))
            await eventually(lambda: backend.unavailable != "", 2)

    asyncio.run(run())


CODES = ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED", "ABORTED"]


@pytest.mark.parametrize("code", [*CODES, "PERMISSION_DENIED", "CANCELLED", "DATA_LOSS"])
def test_a_status_fails_the_call_then_the_address_and_nothing_the_server_says_is_repeated(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "epm")

    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            server.code = grpc.StatusCode[code]
            for _ in range(3):
                assert backend.unavailable == ""
                answer = await outcome(backend.infer(rows(2), None))
                assert type(answer) is BackendFailed
                assert "canary" not in str(answer)
            assert backend.states()[0].state is State.OPEN
            assert "canary" not in backend.unavailable
            server.code = None
            await eventually(lambda: backend.unavailable == "")

    asyncio.run(run())
    assert "canary" not in caplog.text


OVERLOADED = [
    ("RESOURCE_EXHAUSTED", "canary"),
    ("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full; canary"),
    ("UNAVAILABLE", "[request id: canary] Exceeds maximum queue size"),
]
"""What servers say when they can take no more, and with which status."""


@pytest.mark.parametrize(("code", "details"), OVERLOADED)
def test_one_that_is_overloaded_is_not_left_and_another_one_is_asked(
    code: str, details: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "AGAIN_SECONDS", 0.05)

    async def run() -> None:
        async with FakeTriton() as one, FakeTriton() as two, asking(one.address, two.address) as backend:
            await all_closed(backend, 2)
            two.code, two.details = grpc.StatusCode[code], details
            for _ in range(8):
                assert is_right(rows(2), await backend.infer(rows(2), None))
            proofs = two.proofs
            await eventually(lambda: two.proofs > proofs + 1)
            assert [state.state for state in backend.states()] == [State.CLOSED] * 2
            one.code, one.details = two.code, details
            for _ in range(8):
                with pytest.raises(BackendFailed, match="overloaded") as failure:
                    await backend.infer(rows(2), None)
                assert "canary" not in str(failure.value)
            assert [state.state for state in backend.states()] == [State.CLOSED] * 2

    asyncio.run(run())


def test_a_check_that_stumbles_proves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def stumble(_: Tensors) -> None:
        raise KeyError("canary")

    async def run() -> None:
        async with FakeTriton() as server:
            servers = Servers(server.address)
            proof = Proof(rows(PROOF_ROWS), stumble)
            backend = RemoteBackend(Triton(), servers, "small", 1, contract("small").graph_outputs(), proof, TIMEOUT)
            with pytest.raises(ContractError, match="KeyError"):
                await backend.prove()
            with pytest.raises(BackendFailed):
                await backend.infer(rows(2), None)
            assert server.calls == 0
            await servers.close()

    asyncio.run(run())
    assert "canary" not in caplog.text


def test_an_address_where_somebody_listens_and_says_nothing_holds_nobody_up() -> None:
    async def run() -> None:
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        async with FakeTriton() as server, asking(f"127.0.0.1:{port}", server.address) as backend:
            for _ in range(5):
                assert is_right(rows(2), await timed(backend.infer(rows(2), None), 0))
        async with asking(f"127.0.0.1:{port}") as backend:
            assert type(await timed(backend.infer(rows(2), None), TIMEOUT)) is BackendFailed
            assert type(await timed(backend.infer(rows(2), time.monotonic() + 0.05), 0.05)) is TooLate
        silent.close()

    asyncio.run(run())


def test_under_many_failures_every_call_ends_in_time_and_no_answer_is_wrong() -> None:
    async def run() -> None:
        async with FakeTriton() as one, FakeTriton() as two, asking(one.address, two.address) as backend:
            await all_closed(backend, 2)
            random = np.random.default_rng(7)
            async with Load(backend, 8) as patient, Load(backend, 8, deadline=0.1) as hasty:
                for _ in range(30):
                    server = (one, two)[random.integers(2)]
                    match random.integers(6):
                        case 0:
                            await server.stop()
                        case 1:
                            server.twist = WRONG[random.integers(len(WRONG) - 1)]
                        case 2:
                            server.delay = 60.0
                        case 3:
                            server.code = grpc.StatusCode.INTERNAL
                        case 4:
                            server.raw = b"\xff"
                    await asyncio.sleep(random.uniform(0, 0.15))
                    server.twist, server.delay, server.code, server.raw = dict, 0.0, None, None
                    if server._server is None:
                        await server.start()
                await all_closed_soon(backend)
                await patient.more()
                await hasty.more()
            assert {type(error) for error in patient.errors} <= {BackendFailed}
            assert {type(error) for error in hasty.errors} <= {BackendFailed, TooLate}

    asyncio.run(run())


async def all_closed_soon(backend: RemoteBackend) -> None:
    """After long pauses."""
    await eventually(lambda: all(state.state is State.CLOSED for state in backend.states()), 10)
