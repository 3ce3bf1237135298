"""Several processes of a server that has no option for workers, as one peer: connections go to them in turn."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from loadtest.bench.peer import Launch, Peer, Setting


def side_by_side(peer: Peer) -> Peer:
    """The peer that starts as many processes as its setting has workers, each on ports of its own."""

    def launch(setting: Setting) -> Launch:
        return _together([peer.launch(setting) for _ in range(setting.workers)])

    return replace(peer, launch=launch)


def _together(launches: Sequence[Launch]) -> Launch:
    """One launch of all. Its addresses are all of theirs, after commas; SIGTERM reaches each."""
    starts = " ".join(f'{shlex.join(one.command)} & all="$all $!";' for one in launches)
    counts = [one.handled for one in launches]

    def clean() -> None:
        for one in launches:
            one.clean()

    return Launch(
        ["sh", "-c", f"{starts} trap 'kill $all; wait' TERM; wait"],
        {name: ",".join(one.addresses[name] for one in launches) for name in launches[0].addresses},
        variables={name: value for one in launches for name, value in one.variables.items()},
        handled=None if None in counts else lambda: sum(count() for count in counts if count),
        clean=clean,
    )
