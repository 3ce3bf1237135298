"""One version of one model on servers: proven before it is believed, asked in turn, left when it fails."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from serving.backends.backend import Backend, Promised, Proof, Tensors, rows_of
from serving.backends.patience import Patience
from serving.backends.remote.breaker import State
from serving.backends.remote.codec import Codec
from serving.backends.remote.endpoint import Endpoint
from serving.backends.remote.member import Member, Question, no_outcomes, seconds_left
from serving.backends.remote.servers import Servers
from serving.errors import BackendFailed, BackendRefused, ContractError, TooLate

_MOST_TOLD = 8


@dataclass(frozen=True)
class AddressState:
    """What is known of one address. reason: why it is not asked; outcomes: how often calls ended how (`Outcome`)."""

    address: str
    state: State
    reason: str
    outcomes: Mapping[str, int]


class RemoteBackend(Backend):
    """Asks servers of one target, all on one event loop. The loop's owner calls `tend` several times a second.

    A call goes to the next address whose breaker is closed, and once more to another one when the first fails or keeps
    it waiting (`Patience`): each try within the timeout, both within the caller's deadline. Nothing runs here for a
    backend that nobody asks or tends.
    """

    def __init__(
        self,
        protocol: Codec,
        servers: Servers,
        model: str,
        version: int,
        promised: Promised,
        proof: Proof,
        timeout: float,
    ) -> None:
        """timeout: seconds for one try."""
        self.name = protocol.name
        self.device = str(servers)
        self.outcomes = no_outcomes()
        """Of all tries, also at addresses that are gone."""
        self._question = Question(protocol, model, version, promised, proof, timeout)
        self._servers = servers
        self._endpoints: tuple[Endpoint, ...] = ()
        self._members: list[Member] = []
        self._turn = 0
        self._patience = Patience()

    @property
    def unavailable(self) -> str:
        """As `Backend`."""
        if any(member.closed for member in self._members):
            return ""
        if not self._members:
            return f"{self.name} {self._servers}: {self._servers.reason}"
        told = [f"{member.endpoint.address}: {member.breaker.reason}" for member in self._members[:_MOST_TOLD]]
        return f"{self.name} {'; '.join(told)}"

    def states(self) -> list[AddressState]:
        """Of all addresses that are known now."""
        return [
            AddressState(
                str(member.endpoint.address), member.breaker.state, member.breaker.reason, dict(member.outcomes)
            )
            for member in self._members
        ]

    def tend(self) -> None:
        """Begin what is due: resolutions, proofs. On the event loop."""
        self._servers.tend()
        self._follow()
        for member in self._members:
            if member.breaker.due:
                member.begin_proof()

    async def prove(self) -> None:
        """Prove addresses now, whatever their pauses; returns when one of them is proven.

        Raises ContractError when one answers wrongly and none rightly, BackendFailed when none answers.
        """
        self._servers.tend()
        if self._servers.resolving is not None and not self._servers.endpoints:
            await asyncio.wait({self._servers.resolving})
        self._follow()
        members = list(self._members)
        proofs = {member.begin_proof() for member in members}
        while proofs:
            _, proofs = await asyncio.wait(proofs, return_when=asyncio.FIRST_COMPLETED)
            if any(member.closed and member.proof is None for member in members):
                return
        if any(member.wrong for member in members):
            raise ContractError(self.unavailable)
        raise BackendFailed(self.unavailable)

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        """As `Backend`. A call that is cancelled is cancelled at the server."""
        seconds_left(deadline)
        self._follow()
        member = self._next() or await self._first_proven(deadline)
        request, rows = self._question.encode(tensors), rows_of(tensors)
        others = any(one.closed and one is not member for one in self._members)
        until = self._patience.until(deadline, time.monotonic()) if others else deadline
        try:
            return await self._ask(member, request, rows, until)
        except BackendRefused:
            raise
        except TooLate:
            if not others:
                raise
            other = self._next(besides=member) or member
        except BackendFailed:
            found = self._next(besides=member)
            if found is None and member.closed:
                raise
            other = found or await self._first_proven(deadline)  # the connection was lost
        return await self._ask(other, request, rows, deadline)

    async def _ask(self, member: Member, request: bytes, rows: int, until: float | None) -> Tensors:
        began = time.monotonic()
        try:
            outputs = await member.ask(request, rows, until)
        except TooLate:
            self._patience.in_vain(time.monotonic() - began)
            raise
        self._patience.answered(time.monotonic() - began)
        return outputs

    def _next(self, besides: Member | None = None) -> Member | None:
        """The address whose turn it is, of those that may be asked."""
        members = self._members
        for step in range(1, len(members) + 1):
            turn = (self._turn + step) % len(members)
            if members[turn].closed and members[turn] is not besides:
                self._turn = turn
                return members[turn]
        return None

    async def _first_proven(self, deadline: float | None) -> Member:
        """The first address to be proven, as long as there are some that no proof has judged yet.

        Raises BackendFailed when there is nothing to wait for or no time, TooLate when it was the caller's time.
        """
        until = time.monotonic() + min(self._question.timeout, seconds_left(deadline))
        while True:
            self.tend()
            if (member := self._next()) is not None:
                return member
            waiting = {member.proof for member in self._members if member.breaker.fresh and member.proof is not None}
            if self._servers.resolving is not None and not self._members:
                waiting.add(self._servers.resolving)
            left = until - time.monotonic()
            if not waiting or left <= 0:
                seconds_left(deadline)
                raise BackendFailed(self.unavailable)
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    def _follow(self) -> None:
        """Take over which addresses there are."""
        if self._endpoints is not self._servers.endpoints:
            self._endpoints = self._servers.endpoints
            known = {member.endpoint: member for member in self._members}
            self._members = [
                known.get(endpoint) or Member(self._question, self._servers, endpoint, self.outcomes)
                for endpoint in self._endpoints
            ]
