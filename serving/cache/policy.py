"""Whether a model's rows are looked up, and where: as the settings say, or as measured."""

from enum import StrEnum


class Policy(StrEnum):
    """What the settings say of one model."""

    OFF = "off"
    LOCAL = "local"
    """The table in this process."""
    REDIS = "redis"
    """The table, then Redis."""
    AUTO = "auto"
    """Each of them where it is quicker than the model."""


class Choice:
    """Says what is used for a call, and hears what it took. This one uses what it is told to.

    May be asked and told from any thread: what two say at the same moment may be lost.
    """

    def __init__(self, local: bool, redis: bool) -> None:
        self._local = local
        self._redis = redis

    def use_local(self, rows: int) -> bool:
        """Whether to look up a call's rows at all."""
        return self._local

    def ask_redis(self, rows: int) -> bool:
        """Whether to ask Redis for rows that the table does not have."""
        return self._redis

    def looked_up(self, rows: int, seconds: float) -> None:
        """A call used the table: what it took to look its rows up and to keep what was missing, without the model."""

    def computed(self, rows: int, seconds: float) -> None:
        """The model computed rows, in one call."""

    def asked(self, rows: int, seconds: float) -> None:
        """Redis was asked for rows, in one round trip, whether it answered in time or not."""


class Cost:
    """What something costs: so much a call and so much a row, the last hundred calls or so counting most.

    A time far beyond what was expected counts as a few times that: one hiccup changes little, a lasting change a lot.
    After one far below, what was known before is forgotten: nothing is quick by accident, but first calls are slow.
    """

    _REMEMBERS = 0.97
    _FARTHEST = 4.0

    def __init__(self) -> None:
        self._weight = self._rows = self._seconds = self._squares = self._products = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """One call of `rows` took `seconds`."""
        expected = self.expected(rows)
        if expected is not None and seconds * self._FARTHEST < expected:
            self._weight = self._rows = self._seconds = self._squares = self._products = 0.0
        elif expected is not None:
            seconds = min(seconds, self._FARTHEST * expected)
        remembers = self._REMEMBERS
        self._weight = self._weight * remembers + 1
        self._rows = self._rows * remembers + rows
        self._seconds = self._seconds * remembers + seconds
        self._squares = self._squares * remembers + rows * rows
        self._products = self._products * remembers + rows * seconds

    def expected(self, rows: int) -> float | None:
        """Seconds that a call of `rows` takes; None before the first one.

        Neither part is negative. Where all calls had as many rows, all of it is by row.
        """
        if not self._weight:
            return None
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        a_row = mean_seconds / mean_rows
        variance = self._squares / self._weight - mean_rows**2
        if variance > 1e-6 * mean_rows**2:
            slope = (self._products / self._weight - mean_rows * mean_seconds) / variance
            a_row = min(max(slope, 0.0), a_row)
        return mean_seconds + a_row * (rows - mean_rows)


class Auto(Choice):
    """Uses the table where a row costs the model several look-ups, and Redis where it answers before the model would.

    Every hundredth time it does the other thing, so that it notices when that has become better. What was never
    measured is tried, also with many more rows than ever: what small calls cost tells little of them.
    """

    EXPLORES = 100
    LOOK_UPS = 3.0
    """How many times what the table takes a row has to cost: not every row that is looked up is found."""
    _MEASURED_FIRST, _MEASURED_THEN = 32, 16
    _COMPUTED_FIRST, _COMPUTED_THEN = 64, 4
    _JUDGED = 16
    """Calls of one size that one judgement is good for: to judge costs some microseconds."""

    def __init__(self, redis: bool) -> None:
        super().__init__(True, redis)
        self._model, self._look_up, self._round_trip = Cost(), Cost(), Cost()
        self._local_calls = self._redis_calls = self._look_ups = self._computed = self._judged_rows = 0
        self._most_rows = 0
        self._local_is_better = True

    def use_local(self, rows: int) -> bool:
        """Whether computing these rows takes longer than a few times looking them up."""
        self._local_calls += 1
        if rows != self._judged_rows or self._local_calls % self._JUDGED == 0:
            model, look_up = self._model.expected(rows), self._look_up.expected(rows)
            unknown = model is None or look_up is None or rows > 2 * self._most_rows
            self._local_is_better = unknown or (model or 0.0) > self.LOOK_UPS * (look_up or 0.0)
            self._judged_rows = rows
        return self._local_is_better is not (self._local_calls % self.EXPLORES == 0)

    def ask_redis(self, rows: int) -> bool:
        """Whether computing these rows takes longer than asking for them."""
        if not self._redis:
            return False
        self._redis_calls += 1
        model, round_trip = self._model.expected(rows), self._round_trip.expected(rows)
        better = model is None or round_trip is None or model > round_trip
        return better is not (self._redis_calls % self.EXPLORES == 0)

    def looked_up(self, rows: int, seconds: float) -> None:
        """Where they are the rule only some of them are taken in: that costs about as much as a row."""
        self._look_ups += 1
        rare = not self._local_is_better or rows > self._most_rows
        if rare or self._look_ups <= self._MEASURED_FIRST or self._look_ups % self._MEASURED_THEN == 0:
            self._look_up.observe(rows, seconds)
            self._most_rows = max(self._most_rows, rows)

    def computed(self, rows: int, seconds: float) -> None:
        """Only some of them are taken in, as of look-ups."""
        self._computed += 1
        if self._computed <= self._COMPUTED_FIRST or self._computed % self._COMPUTED_THEN == 0:
            self._model.observe(rows, seconds)

    def asked(self, rows: int, seconds: float) -> None:
        self._round_trip.observe(rows, seconds)


def choice(policy: Policy, redis: bool) -> Choice:
    """What a model with this policy does. redis: whether there is one to ask."""
    if policy is Policy.AUTO:
        return Auto(redis)
    return Choice(policy is not Policy.OFF, policy is Policy.REDIS and redis)
