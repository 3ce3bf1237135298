"""Raw columns that a contract allows, and such as it does not: what is the same in all protocols."""

from dataclasses import dataclass
from random import Random

from serving.contract import CategoryInput, Contract, HistoryInput, NumberInput

Cell = float | str
WORDS = ("", "?", "研发", "sales ", "\x00", "x" * 300, "\udcff\udcfe", "Sales", "IT")
"""One of them is no UTF-8."""
EDGES = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e300, -1e300, float("inf"), float("-inf"), float("nan"), 2.0**31, 2.0**63)


@dataclass
class Column:
    """n cells of one input; of a history n x months of them. missing: the number of each cell that is not there."""

    name: str
    cells: list[Cell]
    missing: list[int]
    months: int = 0
    lengths: list[int] | None = None

    @property
    def text(self) -> bool:
        """Whether it holds texts."""
        return bool(self.cells) and isinstance(self.cells[0], str)


def rows(random: Random, odd: float) -> int:
    """How many, mostly one."""
    if random.random() < odd:
        return random.choice((0, 1, 2, 3, 64, 65, 66)) if random.random() < 0.5 else 1
    return 1 if random.random() < 0.85 else random.randint(2, 9)


def draw(random: Random, contract: Contract, n: int, odd: float) -> list[Column]:
    """Columns of n rows. odd: how often each thing is what no honest client sends."""
    columns = []
    for raw in contract.inputs:
        if not (isinstance(raw, HistoryInput) or raw.required) and random.random() < 0.05:
            continue
        if random.random() < odd / 8:
            continue  # a required one, too
        count = n + random.choice((-1, 1)) if random.random() < odd / 8 else n
        columns.append(_column(random, contract, raw, max(0, count), odd))
    if random.random() < odd and columns:
        again = random.choice(columns)
        name = random.choice((again.name, "nobody", "features", "entity_id", "", "研发"))
        columns.append(Column(name, again.cells, again.missing, again.months, again.lengths))
    if random.random() < odd / 2 and columns:  # what is meant for one input, or as a history, sent as something else
        one, other = random.choice(columns), random.choice(columns)
        one.name, other.name = other.name, one.name
        one.months = random.choice((0, 1, 2, contract.months))
    if random.random() < 0.1:
        random.shuffle(columns)
    return columns


def _column(random: Random, contract: Contract, raw: object, n: int, odd: float) -> Column:
    if isinstance(raw, CategoryInput):
        words: list[Cell] = [_word(random, raw, odd) for _ in range(n)]
        return Column(raw.name, words, _missing(random, n, odd if raw.required else 0.1))
    if isinstance(raw, HistoryInput):
        months = max(1, contract.months + random.choice((-1, 1)) if random.random() < odd else contract.months)
        numbers: list[Cell] = [_number(random, raw, odd / months) for _ in range(n * months)]
        lengths = [random.randint(0, months) for _ in range(n)] if random.random() < 0.3 else None
        return Column(raw.name, numbers, _missing(random, n * months, 0.1), months, lengths)
    if isinstance(raw, NumberInput):
        cells: list[Cell] = [_number(random, raw, odd) for _ in range(n)]
        return Column(raw.name, cells, _missing(random, n, odd / 8 if raw.required else 0.08))
    return Column(getattr(raw, "name", ""), [0.0] * n, [])


def _missing(random: Random, n: int, share: float) -> list[int]:
    return [cell for cell in range(n) if random.random() < share]


def _word(random: Random, raw: CategoryInput, odd: float) -> str:
    return random.choice(WORDS) if random.random() < 0.04 + odd / 4 else random.choice(raw.categories)


def _number(random: Random, raw: NumberInput | HistoryInput, odd: float) -> float:
    if random.random() < odd / 8:
        return random.choice(EDGES)
    low, high = raw.seen or (0.0, 1.0)
    how = random.random()
    if how < 0.05:
        return random.choice((low, high))
    if how < 0.1:  # outside of what training saw, within what can be
        least = raw.low if raw.low is not None else low
        return random.uniform(least, raw.high if raw.high is not None else 2 * high + 1)
    value = random.uniform(low, high)
    rounded = float(round(value))
    return rounded if low <= rounded <= high and random.random() < 0.3 else value
