"""Users of locust, one class a kind of use: gRPC through gevent, bytes out, bytes in, checked, told to locust."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import locust  # first: it patches the standard library
from grpc.experimental import gevent as grpc_gevent

grpc_gevent.init_gevent()  # before any channel

import grpc  # noqa: E402

from loadtest.h2.client import loopback  # noqa: E402
from loadtest.users.checks import check, check_echo  # noqa: E402
from loadtest.users.failures import CallFailedError, name_of  # noqa: E402
from loadtest.users.kinds import KINDS, Kind  # noqa: E402
from loadtest.users.work import calls_of  # noqa: E402

REQUEST_TYPE = "gRPC"
OWN_CONNECTION = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),  # the load goes where it is sent, whatever http_proxy says
]
APART = 37
"""How far from each other users begin among the bodies, so that two of them seldom send the same."""


class GatewayUser(locust.User):
    """Calls, looks at the answer, thinks, calls again. A class below names its kind of use by its own name."""

    abstract = True
    host = "127.0.0.1:8500"
    kind: ClassVar[Kind]
    users: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        cls.kind = KINDS[cls.__name__]
        cls.weight = cls.kind.weight
        cls.fixed_count = cls.kind.fixed
        cls.wait_time = locust.between(*cls.kind.think)

    def on_start(self) -> None:
        """A connection of its own, and a place among the bodies. Raises LoadError for a host that is no loopback."""
        loopback(self.host)
        options = self.environment.parsed_options
        self._calls = calls_of(self.kind, Path(options.model_repo))
        self._echo = options.echo
        self._first, self._number = GatewayUser.users * APART, 0
        GatewayUser.users += 1
        self._channel = grpc.insecure_channel(self.host, options=OWN_CONNECTION)
        call = self._channel.stream_stream if self.kind.messages else self._channel.unary_unary
        self._call = call(self.kind.protocol.path)

    def on_stop(self) -> None:
        """The connection goes."""
        self._channel.close()

    @locust.task
    def call(self) -> None:
        """One call. What is no failure of the call is a defect of this program, and left to locust."""
        sent = self._calls[(self._first + self._number) % len(self._calls)]
        started, answers, failure = time.perf_counter(), (), None
        try:
            answers = self._ask(sent)
            ended = time.perf_counter()
            self._check(sent, answers)
        except grpc.RpcError as error:
            ended, failure = time.perf_counter(), name_of(error)
        except CallFailedError as error:
            failure = name_of(error)
        self._number += 1
        self.environment.events.request.fire(
            request_type=REQUEST_TYPE,
            name=self.kind.name,
            response_time=(ended - started) * 1000,
            response_length=sum(map(len, answers)),
            context=self.context(),
            exception=failure,
        )

    def _ask(self, sent: Sequence[bytes]) -> Sequence[bytes]:
        """Raises grpc.RpcError."""
        if self.kind.messages:
            return list(self._call(iter(sent), timeout=self.kind.deadline))
        return (self._call(sent[0], timeout=self.kind.deadline),)

    def _check(self, sent: Sequence[bytes], answers: Sequence[bytes]) -> None:
        """Raises CallFailedError."""
        if self._echo:
            check_echo(sent, answers)
        else:
            check(self.kind, sent, answers, self._number)


USERS: dict[str, type[GatewayUser]] = {
    name: type(name, (GatewayUser,), {"__module__": __name__, "__doc__": kind.name}) for name, kind in KINDS.items()
}
"""By the names of the table of kinds."""
