"""Remote backends against fakes that speak the official stubs: both protocols, names, TLS, several addresses."""

import asyncio
import subprocess
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.backends.remote import servers as servers_module
from serving.backends.remote.codec import Codec
from serving.backends.remote.remote import RemoteBackend
from serving.backends.remote.servers import Servers
from serving.backends.remote.tf_serving import TfServing
from serving.backends.remote.triton import Triton
from serving.errors import BackendFailed, BackendRefused, ContractError, TooLate
from tests.support.fake_model_servers import FakeServer, FakeTriton
from tests.support.models import GRADE, NUMBERS
from tests.support.remote import all_closed, asking, eventually, is_right, make, outcome, rows, tended

pytestmark = pytest.mark.integration


def fake(protocol: Codec, **fields: object) -> FakeServer:
    if isinstance(protocol, Triton):
        return FakeTriton(**fields)
    from tests.support.fake_tf_serving import FakeTfServing  # it imports TensorFlow

    return FakeTfServing(**fields)


class Names:
    """A resolver whose answers the test sets."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        if not self.addresses:
            raise OSError("no such name")
        return list(self.addresses)


@pytest.mark.parametrize("outputs", [GRADE, NUMBERS], ids=["grade", "numbers"])
@pytest.mark.parametrize("flat", [True, False], ids=["n", "n,1"])
@pytest.mark.parametrize("typed", [False, True], ids=["bytes", "typed"])
@pytest.mark.parametrize("protocol", [Triton(), TfServing()], ids=["triton", "tf_serving"])
def test_every_form_of_a_right_answer_is_understood(protocol: Codec, typed: bool, flat: bool, outputs: tuple) -> None:
    async def run() -> None:
        server = fake(protocol, outputs=outputs)
        server.typed, server.flat = typed, flat
        async with server, asking(server.address, protocol=protocol, outputs=outputs) as backend:
            for count in (1, 5, 300):
                answers = await backend.infer(rows(count), None)
                assert is_right(rows(count), answers, outputs)
                for values in answers.values():
                    assert values.flags.writeable
                    assert values.flags.c_contiguous
            assert (backend.name, backend.device, backend.unavailable) == (protocol.name, server.address, "")
            assert backend.outcomes == {**dict.fromkeys(backend.outcomes, 0), "ok": 3}

    asyncio.run(run())


def test_numbers_that_repeat_come_short_from_tensorflow_and_are_filled_up() -> None:
    async def run() -> None:
        server = fake(TfServing())
        server.typed = server.short = True
        async with server, asking(server.address, protocol=TfServing()) as backend:
            same = {"features": np.repeat(rows(1)["features"], 40, axis=0)}
            assert is_right(same, await backend.infer(same, None))

    asyncio.run(run())


def test_several_addresses_are_asked_in_turn() -> None:
    async def run() -> None:
        async with (
            FakeTriton() as one,
            FakeTriton() as two,
            FakeTriton() as three,
            asking(one.address, two.address, three.address) as backend,
        ):
            await all_closed(backend, 3)
            answers = await asyncio.gather(*(backend.infer(rows(3, seed), None) for seed in range(30)))
            assert all(is_right(rows(3, seed), answer) for seed, answer in enumerate(answers))
            assert [one.calls, two.calls, three.calls] == [10, 10, 10]
            assert [state.outcomes["ok"] for state in backend.states()] == [10, 10, 10]

    asyncio.run(run())


def test_models_of_one_target_share_its_channels() -> None:
    async def run() -> None:
        async with FakeTriton() as server:
            servers = Servers(server.address)
            backends = [make(servers, Triton()) for _ in range(3)]
            async with tended(*backends):
                for backend in backends:
                    assert is_right(rows(2), await backend.infer(rows(2), None))
                assert len(servers.endpoints) == 1
                assert server.proofs == 3
                await servers.close()

    asyncio.run(run())


def test_nothing_is_asked_before_the_proof_and_the_first_callers_wait_for_it() -> None:
    async def run() -> None:
        async with FakeTriton() as server:
            server.delay = 0.1
            servers = Servers(server.address)
            backend = make(servers, Triton())
            assert "not known yet" in backend.unavailable
            calls = [asyncio.create_task(backend.infer(rows(2), None)) for _ in range(5)]  # nobody has tended it yet
            await eventually(lambda: server.proofs == 1)
            assert (server.calls, "not proven yet" in backend.unavailable) == (0, True)
            assert all(is_right(rows(2), answer) for answer in await asyncio.gather(*calls))
            assert (server.calls, server.proofs) == (5, 1)
            await servers.close()

    asyncio.run(run())


def test_a_name_stands_for_all_its_addresses_and_they_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "RESOLVE_SECONDS", 0.05)

    async def run() -> None:
        names = Names("127.0.0.1")
        async with FakeTriton() as one:
            two = FakeTriton()
            two.port = one.port
            await two.start(host="127.0.0.2")
            servers = Servers(f"models.test:{one.port}", resolve=names)
            backend = make(servers, Triton(), 2.0)
            async with tended(backend):
                assert is_right(rows(2), await backend.infer(rows(2), None))
                names.addresses = ["127.0.0.1", "127.0.0.2"]
                await all_closed(backend, 2)
                await asyncio.gather(*(backend.infer(rows(2), None) for _ in range(10)))
                assert abs(one.calls - two.calls) <= 1
                two.delay = 0.3
                calls = [asyncio.create_task(backend.infer(rows(2), None)) for _ in range(4)]
                await eventually(lambda: two.running == 2)
                names.addresses = ["127.0.0.1"]  # the other one is leaving, with two calls
                await eventually(lambda: len(backend.states()) == 1)
                seen = two.calls
                assert all(is_right(rows(2), answer) for answer in await asyncio.gather(*calls))
                await asyncio.gather(*(backend.infer(rows(2), None) for _ in range(4)))
                assert two.calls == seen
                await eventually(lambda: not servers._leaving)
                names.addresses = []  # a name service that is away takes nothing away
                asked = names.asked
                await eventually(lambda: names.asked > asked + 2)
                assert is_right(rows(2), await backend.infer(rows(2), None))
                await servers.close()
            await two.stop()

    asyncio.run(run())


def test_a_name_without_addresses_is_said_and_used_when_it_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "RESOLVE_SECONDS", 0.05)

    async def run() -> None:
        names = Names()
        async with FakeTriton() as server:
            servers = Servers(f"models.test:{server.port}", resolve=names)
            backend = make(servers, Triton())
            async with tended(backend):
                with pytest.raises(BackendFailed, match=r"models\.test has no address"):
                    await backend.infer(rows(2), None)
                with pytest.raises(BackendFailed, match=r"models\.test has no address"):
                    await backend.prove()
                names.addresses = ["127.0.0.1"]
                await eventually(lambda: not backend.unavailable)
                assert is_right(rows(2), await backend.infer(rows(2), None))
                await servers.close()

    asyncio.run(run())


def test_names_of_this_machine_are_resolved_by_the_system() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(f"localhost:{server.port}") as backend:
            assert is_right(rows(2), await backend.infer(rows(2), None))

    asyncio.run(run())


def certificate(folder: Path, name: str) -> tuple[Path, grpc.ServerCredentials]:
    key, made = folder / "key.pem", folder / "certificate.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    who = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(["openssl", "req", *options, "-keyout", key, "-out", made, *who], check=True, capture_output=True)
    return made, grpc.ssl_server_credentials([(key.read_bytes(), made.read_bytes())])


def test_over_tls_the_certificate_is_held_to_the_name_not_to_its_addresses(tmp_path: Path) -> None:
    authority, credentials = certificate(tmp_path, "models.test")

    async def ask(backend: RemoteBackend, servers: Servers) -> object:
        async with tended(backend):
            answer = await outcome(backend.infer(rows(2), None))
        await servers.close()
        return answer

    async def run() -> None:
        server = FakeTriton()
        await server.start(credentials)
        port = server.port
        for target, ca_file, reason in (
            (f"grpcs://models.test:{port}", authority, ""),
            (f"grpcs://other.test:{port}", authority, "for another name"),
            (f"grpcs://models.test:{port}", None, "not trusted"),
            (f"grpcs://127.0.0.1:{port}", authority, "for another name"),
            (f"models.test:{port}", None, "no connection"),
        ):
            servers = Servers(target, ca_file, resolve=Names("127.0.0.1"))
            answer = await ask(make(servers, Triton(), 3.0), servers)
            if reason:
                assert isinstance(answer, BackendFailed)
                assert reason in str(answer)
            else:
                assert is_right(rows(2), answer)
        await server.stop()

    asyncio.run(run())


def test_prove_tells_whether_one_of_them_may_be_asked() -> None:
    async def run() -> None:
        async with FakeTriton() as right, FakeTriton() as wrong, FakeTriton() as dead:
            wrong.seed = 5
            await dead.stop()
            async with asking(dead.address, wrong.address, right.address) as backend:
                await backend.prove()
                assert not backend.unavailable
            async with asking(dead.address, wrong.address) as backend:
                with pytest.raises(ContractError, match="not the trained model's"):
                    await backend.prove()
            async with asking(dead.address) as backend:
                with pytest.raises(BackendFailed, match="the connection is refused"):
                    await backend.prove()
                await dead.start()
                await eventually(lambda: not backend.unavailable)
                await backend.prove()
                assert is_right(rows(2), await backend.infer(rows(2), None))

    asyncio.run(run())


def test_a_call_that_is_cancelled_is_cancelled_at_the_server_and_held_against_nobody() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address, seconds=5) as backend:
            await backend.prove()
            server.delay = 30
            calls = [asyncio.create_task(backend.infer(rows(2), None)) for _ in range(6)]
            await eventually(lambda: server.running == 6)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            assert all(call.cancelled() for call in calls)
            await eventually(lambda: server.cancelled == 6)
            server.delay = 0
            assert is_right(rows(2), await backend.infer(rows(2), None))
            assert Counter(backend.outcomes) == Counter(ok=1)

    asyncio.run(run())


def test_closing_ends_calls_with_an_error_that_can_be_told_from_a_cancelled_caller() -> None:
    async def run() -> None:
        async with FakeTriton() as server:
            servers = Servers(server.address)
            backend = make(servers, Triton(), 30.0)
            await backend.prove()
            server.delay = 30
            calls = [asyncio.create_task(outcome(backend.infer(rows(2), None))) for _ in range(3)]
            await eventually(lambda: server.running == 3)
            await servers.close()
            assert all(isinstance(answer, BackendFailed) for answer in await asyncio.gather(*calls))
            with pytest.raises(BackendFailed, match="has left it"):
                await backend.infer(rows(2), None)
            backend.tend()
            with pytest.raises(BackendFailed):
                await backend.prove()
            codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
            assert [code for code in codes if code is not None and "/serving/backends/" in code.co_filename] == []

    asyncio.run(run())


def test_rows_that_it_refuses_are_the_callers_affair() -> None:
    async def run() -> None:
        async with FakeTriton() as one, FakeTriton() as two, asking(one.address, two.address) as backend:
            await all_closed(backend, 2)

            def poisoned(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                probabilities = answers["probabilities"].copy()
                probabilities[0] = np.nan
                return {**answers, "probabilities": probabilities}

            one.twist_calls = two.twist_calls = poisoned
            for _ in range(8):
                with pytest.raises(BackendRefused, match="no number in 3 places"):
                    await backend.infer(rows(2), None)
            assert (one.calls + two.calls, backend.unavailable) == (8, "")  # nobody was asked twice
            one.twist_calls = two.twist_calls = dict
            assert is_right(rows(2), await backend.infer(rows(2), None))
            assert backend.outcomes["refused"] == 8

    asyncio.run(run())


def test_no_time_is_spent_on_a_call_that_is_too_late() -> None:
    async def run() -> None:
        async with FakeTriton() as server, asking(server.address) as backend:
            await backend.prove()
            with pytest.raises(TooLate):
                await backend.infer(rows(2), time.monotonic() - 1)
            assert server.calls == 0

    asyncio.run(run())
