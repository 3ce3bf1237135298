"""A real gateway that answers late: `python -m tests.support.slow_gateway MILLISECONDS [options of epm serve]`.

Every prediction that Python answers waits so long before it begins, without holding up the others. Nothing in the
product can do this.
"""

import asyncio
import sys
from typing import Any

from serving import cli
from serving.pipeline import Pipeline, Prediction


def slow_down(milliseconds: float) -> None:
    """All pipelines of this process from now on."""
    predict = Pipeline.predict

    async def late(self: Pipeline, *arguments: Any, **named: Any) -> Prediction:
        await asyncio.sleep(milliseconds / 1000)
        return await predict(self, *arguments, **named)

    Pipeline.predict = late


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    sys.exit(cli.main(["serve", *sys.argv[2:]]))
