"""The servers that are compared. What each runs in its own environment stands in the folder of its name."""

from loadtest.bench.peer import Peer
from loadtest.bench.peers import echo, gateway, kserve, mlserver, triton

PEERS: tuple[Peer, ...] = (gateway.PEER, triton.PEER, mlserver.PEER, kserve.PEER, echo.PEER)
"""In the order of the tables; the gateway first."""
