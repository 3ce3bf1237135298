"""The loop with a simulated clock, on which timing is tested."""

import asyncio

import pytest

from tests.support.virtual_time import HangError, run

pytestmark = pytest.mark.unit


def test_sleeping_takes_simulated_time_in_the_order_of_the_timers() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), []
        began = loop.time()

        async def sleep(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, round(loop.time() - began, 6)))

        await asyncio.gather(sleep("week", 604_800), sleep("second", 1), sleep("millisecond", 0.001))
        return seen

    assert run(main()) == [("millisecond", 0.001), ("second", 1.0), ("week", 604_800.0)]


def test_a_hang_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(HangError):
        run(main())


def test_an_error_that_nobody_looks_at_is_found() -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(ValueError("unseen"))

    with pytest.raises(AssertionError, match="never retrieved"):
        run(main())
