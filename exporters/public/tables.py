"""The public tables: how each is read, which of its columns are compared, and the figures that others had."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporters.data import mapping as mappings
from exporters.data import own_table, sheet
from exporters.data.dataset import Dataset
from exporters.data.sheet import Sheet
from exporters.progress import say
from exporters.public.algorithms import BOOSTED, ENSEMBLE, LINEAR

Foreign = Mapping[str, Mapping[str, str]]
"""Figures of others as they gave them: score -> algorithm -> text."""


@dataclass(frozen=True)
class Variant:
    """A choice of columns: the inputs of the mapping, and some of the columns that it leaves out."""

    title: str
    brought_back: tuple[str, ...] = ()
    reference: Foreign = field(default_factory=dict)
    """Figures of the data's README."""


@dataclass(frozen=True)
class PublicTable:
    """A public file with its mapping `<name>.toml`, and what is compared on it."""

    name: str
    """As `--dataset` names it."""
    model: str
    """Published under this name unless another is given."""
    title: str
    file: str
    scores: tuple[str, ...]
    """Names in `SCORES`; the first is the one that the ensemble is chosen for."""
    variants: tuple[Variant, ...]
    published: Foreign
    """Figures of publications, with all columns; their protocols differ."""
    remark: str
    """What has to be known to read the figures."""
    different_rows_only: bool = False

    def load(self, data_dir: Path) -> Dataset:
        """Read the file in `data_dir`. Raises DataError when it is not there or is another copy than the one meant."""
        path = data_dir / self.file
        rows = sheet.read(path)
        if self.different_rows_only:
            rows = without_repeats(rows)
        return own_table.build(rows, mappings.load(Path(__file__).with_name(f"{self.name}.toml")), path)


def without_repeats(rows: Sheet) -> Sheet:
    """The rows that repeat no earlier one; after a split, a copy of a training row could be asked for."""
    first: dict[tuple[str, ...], int] = {}
    for position, cells in enumerate(zip(*rows.columns.values(), strict=True)):
        first.setdefault(cells, position)
    kept = list(first.values())
    say(f"{len(rows.lines) - len(kept)} of {len(rows.lines)} rows repeat another one and are dropped")
    columns = {name: [cells[position] for position in kept] for name, cells in rows.columns.items()}
    return replace(rows, columns=columns, lines=[rows.lines[position] for position in kept])


def _figures(linear: str, boosted: str) -> dict[str, str]:
    return {LINEAR: linear, BOOSTED: boosted}


_PROTECTED = ("Age", "Gender", "MaritalStatus")
_RISE = "EmpLastSalaryHikePercent"

IBM = PublicTable(
    name="ibm",
    model="attrition_ibm",
    title="IBM attrition",
    file="ibm_hr_attrition.csv",
    scores=("AUC",),
    variants=(
        Variant("without protected attributes"),
        Variant("all columns", _PROTECTED, {"AUC": _figures("0.838 ± 0.003", "0.825 ± 0.005")}),
    ),
    published={
        "AUC": {
            BOOSTED: "0.78, with SMOTE (a portfolio)",
            ENSEMBLE: "0.807, stacking (doi 10.2991/978-94-6463-823-3_30)",
        }
    },
    remark=(
        "1,470 employees, 237 of whom left. Protected: age, gender, marital status. Three columns that hold one value "
        "only are never used. The file has no dates: nothing says how long before the leaving its cells were known."
    ),
)
HR = PublicTable(
    name="hr",
    model="attrition_hr",
    title="HR_comma_sep attrition",
    file="hr_comma_sep.csv",
    scores=("AUC",),
    variants=(Variant("all columns (none is a protected attribute)", (), {"AUC": _figures("0.822", "0.985")}),),
    published={},
    remark=(
        "11,991 different rows, 1,991 of whom left; 3,008 rows that repeat another one are dropped before any split. "
        "The data is simulated in few sharp clusters: real people are not that predictable."
    ),
    different_rows_only=True,
)
INX = PublicTable(
    name="inx",
    model="performance_inx",
    title="INX performance grade",
    file="inx_employee_performance.csv",
    scores=("macro-F1", "accuracy"),
    variants=(
        Variant("without protected attributes", (_RISE,)),
        Variant("without protected attributes and salary rise: what is published"),
        Variant(
            "all columns",
            (*_PROTECTED, _RISE),
            {"macro-F1": _figures("0.709", "0.899"), "accuracy": _figures("0.815", "0.933")},
        ),
        Variant(
            "all columns but the salary rise",
            _PROTECTED,
            {"macro-F1": _figures("0.482", "0.597"), "accuracy": _figures("0.768", "0.849")},
        ),
    ),
    published={"accuracy": {BOOSTED: "0.925"}},
    remark=(
        "1,200 employees; grades A, B, C stand there 132, 874, 194 times. Protected: age, gender, marital status. The "
        "salary rise is the strongest column by far and probably follows the rating: figures with it promise what "
        "nobody can keep who has to predict the rating before it is given. `Attrition` (has left) stays in, as in the "
        "published comparisons; it may be known only later, too."
    ),
)
TABLES = {table.name: table for table in (IBM, HR, INX)}
"""What `--dataset` knows."""
