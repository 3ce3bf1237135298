"""A shape of the table as locust's LoadTestShape."""

import locust

from loadtest.users.shapes import Plan, users_at


class PlannedShape(locust.LoadTestShape):
    """Follows a plan. Abstract to locust, which would use it unasked; it is put in place when `--shape` is given."""

    abstract = True

    def __init__(self, shape: str, plan: Plan) -> None:
        super().__init__()
        self._shape = shape
        self._plan = plan

    def tick(self) -> tuple[int, float] | None:
        """Users now, and how many may come or go in a second: all of them."""
        users = users_at(self._shape, self._plan, self.get_run_time())
        return None if users is None else (users, float(self._plan.peak))
