"""One address, as one version of a model sees it: asked, proven, counted, and what becomes of it logged."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from grpc import StatusCode

from serving.backends.backend import Promised, Proof, Tensors, check_promised, rows_of
from serving.backends.remote.breaker import LONGEST_PAUSE, UNREACHED_PAUSE, Breaker, State
from serving.backends.remote.codec import Codec
from serving.backends.remote.endpoint import CallFailed, Endpoint
from serving.backends.remote.servers import Servers
from serving.errors import BackendFailed, BackendRefused, ContractError, EpmError, TooLate

log = logging.getLogger("epm.backends")

LEAST_PROOF_SECONDS = 1.0
"""What a proof may take, where the timeout of calls is shorter: golden rows are many."""


class Outcome(StrEnum):
    """How one try at one address ended."""

    OK = "ok"
    FAILED = "failed"
    """A status that is no fault of the rows, or no connection."""
    TIMEOUT = "timeout"
    """No answer within the timeout of this backend."""
    REFUSED = "refused"
    """The server will not compute these rows, or has no numbers for some of them."""
    WRONG = "wrong"
    """An answer as the model never gives it."""
    LATE = "late"
    """No answer in the time there was, less than the timeout: for a caller's deadline, or as another could answer."""


def no_outcomes() -> Counter[str]:
    """All of them, none yet."""
    return Counter({outcome.value: 0 for outcome in Outcome})


@dataclass(frozen=True, repr=False)
class Question:
    """What is asked, wherever it is asked."""

    protocol: Codec
    model: str
    version: int
    promised: Promised
    proof: Proof
    timeout: float
    """Seconds for one try."""

    def encode(self, tensors: Tensors) -> bytes:
        """The question about n rows."""
        return self.protocol.encode(self.model, self.version, tensors, self.promised)

    def decode(self, answer: bytes, rows: int) -> Tensors:
        """The promised outputs. Raises ContractError."""
        return self.protocol.decode(answer, self.model, self.version, self.promised, rows)


class Member:
    """One endpoint and what is known of it. total: outcomes that all members of a backend count together."""

    def __init__(self, question: Question, servers: Servers, endpoint: Endpoint, total: Counter[str]) -> None:
        self.endpoint = endpoint
        self.breaker = Breaker()
        self.outcomes = no_outcomes()
        """Of calls, not of proofs."""
        self.proof: asyncio.Task[None] | None = None
        """In progress."""
        self.wrong = False
        """Whether the last proof was answered, and wrongly."""
        self._question = question
        self._servers = servers
        self._total = total
        self._said = endpoint.said.setdefault((question.model, question.version), set())
        self._is_asked = False
        self._called = f"{question.protocol.name} {endpoint.address}"
        endpoint.followers.add(self)

    @property
    def closed(self) -> bool:
        """Whether calls may go here."""
        return self.breaker.state is State.CLOSED

    def connection_lost(self) -> None:
        """What stands there now has to prove itself."""
        self.breaker.lost()
        if self.breaker.fresh and self.breaker.due and self.endpoint in self._servers.endpoints:
            self.begin_proof()

    async def ask(self, request: bytes, rows: int, deadline: float | None) -> Tensors:
        """One try. Raises BackendRefused, BackendFailed, TooLate."""
        left, ticket, question = seconds_left(deadline), self.breaker.ticket, self._question
        try:
            answer = await self.endpoint.call(question.protocol.method, request, min(question.timeout, left))
        except CallFailed as error:
            raise self._failure(ticket, error, left < question.timeout) from None
        try:
            outputs = question.decode(answer, rows)
            without_numbers = _without_numbers(outputs, question.promised, rows)
        except ContractError as error:
            reason = f"it answered wrongly: {error.message}"
            self._count(Outcome.WRONG)
            self.breaker.wrong(ticket, reason)
            self._notice()
            raise BackendFailed(f"{self._called}: {reason}") from None
        if without_numbers:
            self._count(Outcome.REFUSED)
            self._suspect(ticket)
            raise BackendRefused(f"{self._called}: {without_numbers}")
        self._count(Outcome.OK)
        self.breaker.succeeded(ticket)
        return outputs

    def begin_proof(self) -> asyncio.Task[None]:
        """The proof in progress; a new one if there is none. It never raises."""
        if self.proof is None:
            ticket = self.breaker.begin_proof()
            self.proof = asyncio.get_running_loop().create_task(self._prove(ticket))
        return self.proof

    def _failure(self, ticket: int, error: CallFailed, by_caller: bool) -> EpmError:
        """What a status means. by_caller: whether the caller's deadline was the one that the call ran under."""
        match error.code:
            case StatusCode.DEADLINE_EXCEEDED if by_caller:
                self._count(Outcome.LATE)
                self._suspect(ticket)
                return TooLate(f"{self._question.protocol.name} did not answer before the deadline")
            case StatusCode.INVALID_ARGUMENT:
                self._count(Outcome.REFUSED)
                self._suspect(ticket)
                return BackendRefused(f"{self._called}: it refuses these rows")
            case StatusCode.RESOURCE_EXHAUSTED:  # a pause would take from the others what this one can still do
                self._count(Outcome.FAILED)
                self._suspect(ticket)
                return BackendFailed(f"{self._called}: {error.reason}")
        self._count(Outcome.TIMEOUT if error.code is StatusCode.DEADLINE_EXCEEDED else Outcome.FAILED)
        self.breaker.failed(ticket, error.reason)
        self._notice()
        self._suspect(ticket)
        return BackendFailed(f"{self._called}: {error.reason}")

    def _count(self, outcome: Outcome) -> None:
        self.outcomes[outcome.value] += 1
        self._total[outcome.value] += 1

    def _suspect(self, ticket: int) -> None:
        self.breaker.suspect(ticket)
        if self.breaker.due:
            self.begin_proof()

    async def _prove(self, ticket: int) -> None:
        """Put the golden rows to this address, and tell the breaker."""
        reason, longest, busy, wrong = "the proof was broken off", LONGEST_PAUSE, False, False
        try:
            await self._answer_golden_rows()
            reason = ""
        except CallFailed as error:
            reason, busy = error.reason, error.code is StatusCode.RESOURCE_EXHAUSTED
            if error.code is StatusCode.UNAVAILABLE:
                longest = UNREACHED_PAUSE
        except ContractError as error:
            reason, wrong = f"it answered wrongly: {error.message}", True
        except Exception as error:  # of whatever kind: what is not proven is not believed
            reason, wrong = f"it answered wrongly ({type(error).__name__})", True
        finally:
            self.proof, self.wrong = None, wrong
            if not reason:
                self.breaker.proven(ticket)
            elif busy and self.closed:
                self.breaker.unsettled()
            else:
                self.breaker.disproved(ticket, reason, longest)
        self._notice()

    async def _answer_golden_rows(self) -> None:
        """Raises CallFailed; ContractError when it answers wrongly, and whatever else the check may raise."""
        question = self._question
        tensors = question.proof.tensors
        rows, wait = rows_of(tensors), max(question.timeout, LEAST_PROOF_SECONDS)
        outputs = question.decode(
            await self.endpoint.call(question.protocol.method, question.encode(tensors), wait), rows
        )
        check_promised(outputs, question.promised, rows)
        question.proof.check(outputs)

    def _notice(self) -> None:
        """Log what has become of it: a line when it is asked, and one for each reason why it no longer is."""
        if self.endpoint not in self._servers.endpoints:
            return
        about = (self._called, self._question.model, self._question.version)
        if self.closed:
            if not self._is_asked:
                log.info("%s is asked for %s version %d: it answers the golden rows rightly", *about)
            self._is_asked = True
            self._said.clear()
        elif self.breaker.state is State.OPEN:
            self._servers.suspect()
            self._is_asked = False
            if self.breaker.reason not in self._said:
                log.warning("%s is not asked for %s version %d: %s", *about, self.breaker.reason)
            self._said.add(self.breaker.reason)


def seconds_left(deadline: float | None) -> float:
    """Seconds until then. Raises TooLate when there are none."""
    left = float("inf") if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise TooLate("the deadline passed before work began")
    return left


def _without_numbers(outputs: Tensors, promised: Promised, rows: int) -> str:
    """Empty when all is as promised; in words, when nothing but numbers is missing: that may be the fault of a row.

    Raises ContractError for all else.
    """
    try:
        check_promised(outputs, promised, rows)
    except ContractError as error:
        check_promised({name: np.nan_to_num(values) for name, values in outputs.items()}, promised, rows)
        return error.message
    return ""
