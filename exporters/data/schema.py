"""The one schema of the employee-month table: names, meanings, units and the values that are physically possible."""

import unicodedata
from dataclasses import dataclass
from typing import Literal

from serving.contract import Text

Kind = Literal["number", "category", "history"]
Role = Literal["input", "identifier", "attribute"]
GRADES = ("A", "B", "C")
TARGET = "grade"
LEFT = "left"
RISK = Text("risk of leaving", "离职风险")


@dataclass(frozen=True)
class Column:
    """A column of a table. `low` and `high` are physical bounds, inclusive, in `unit`; None where there is none.

    A cell of a "history" is a number for each of the last months, the newest being the month of the row.
    """

    name: str
    kind: Kind
    title: Text
    unit: str = ""
    low: float | None = None
    high: float | None = None
    required: bool = False
    role: Role = "input"


def _number(
    name: str, unit: str, low: float | None, high: float | None, en: str, zh: str, *, required: bool = False
) -> Column:
    return Column(name, "number", Text(en, zh), unit, low, high, required)


def _history(name: str, unit: str, low: float | None, high: float | None, en: str, zh: str) -> Column:
    return Column(name, "history", Text(en, zh), unit, low, high)


COLUMNS: tuple[Column, ...] = (
    Column("employee", "category", Text("employee number", "员工编号"), role="identifier"),
    Column("month", "category", Text("month of the row, YYYY-MM", "月份"), role="identifier"),
    _number("hours", "h/week", 0, 168, "average weekly working hours", "平均每周工时", required=True),
    _number("overtime", "h/month", 0, 744, "overtime in the month", "当月加班时长"),
    _number("meetings", "h/week", 0, 168, "time in meetings", "每周会议时长"),
    _number("remote_share", "share", 0, 1, "share of time worked remotely", "远程办公占比"),
    _number("absences", "days", 0, 366, "days absent in the last 12 months", "近 12 个月缺勤天数"),
    _number("projects", "count", 0, None, "projects participated in", "参与项目数"),
    _number("tasks_done", "count/month", 0, None, "tasks done in the month", "当月完成任务数"),
    _number("on_time", "share", 0, 1, "share of tasks done on time", "按时完成率"),
    _number("rework", "share", 0, 1, "share of tasks that had to be redone", "返工率"),
    _number("quality", "points", 0, 5, "quality of work", "工作质量评分"),
    _number("goals_met", "share", 0, 1, "share of goals met", "目标达成率"),
    _number("peer_review", "points", 1, 5, "review by peers", "同事评价"),
    _number("recognition", "count", 0, None, "recognitions in the last 12 months", "近 12 个月获得表彰次数"),
    _number("training", "h", 0, 8784, "training in the last 12 months", "近 12 个月培训时长"),
    _number("months_since_promotion", "months", 0, 1200, "months since the last promotion", "距上次晋升月数"),
    _number("tenure", "months", 0, 1200, "months with the company", "司龄（月）"),
    _number("level", "level", 1, 10, "job level", "职级"),
    _number("team_size", "people", 1, None, "people in the team", "团队人数"),
    Column("department", "category", Text("department", "部门")),
    Column("job_family", "category", Text("job family", "职位序列")),
    Column("gender", "category", Text("gender", "性别"), role="attribute"),
    Column("age", "number", Text("age", "年龄"), "years", 14, 100, role="attribute"),
)
"""Every column of the table, in order. Ethnicity is not collected, so that it cannot be used."""

INPUTS = tuple(column for column in COLUMNS if column.role == "input")
LEFT_OUT = {
    "gender": "protected attribute: kept beside the data only to measure fairness",
    "age": "protected attribute: kept beside the data only to measure fairness",
}
"""Attributes that are in the data and never a model input, with the reason."""
AGE_BANDS = (30.0, 40.0, 50.0)
"""Lower bounds, in years, of the age bands in which a card reports."""


_OF_GRADES = {column.name: column for column in COLUMNS}
ATTRITION_COLUMNS: tuple[Column, ...] = (
    *(_OF_GRADES[name] for name in ("employee", "month", "tenure", "months_since_promotion", "level")),
    _number("pay_ratio", "ratio", 0.2, 5, "pay against the median of the market", "薪酬与市场中位数之比"),
    *(_OF_GRADES[name] for name in ("team_size", "remote_share", "department", "job_family")),
    _history("monthly_overtime", "h/month", 0, 744, "overtime of each month", "逐月加班时长"),
    _history("monthly_hours", "h/week", 0, 168, "average weekly working hours of each month", "逐月平均每周工时"),
    _history("monthly_kudos", "count/month", 0, None, "recognitions by colleagues in each month", "逐月同事认可次数"),
    _history("monthly_absences", "days/month", 0, 31, "days absent in each month", "逐月缺勤天数"),
    _history("monthly_training", "h/month", 0, 744, "training of each month", "逐月培训时长"),
    _history("monthly_goals_met", "share", 0, 1, "share of goals met in each month", "逐月目标达成率"),
    *(_OF_GRADES[name] for name in ("gender", "age")),
)
"""Every column of the table of who leaves: one row an employee and month, a history giving that month's value."""
ATTRITION_INPUTS = tuple(column for column in ATTRITION_COLUMNS if column.role == "input")


def describe(columns: tuple[Column, ...] = COLUMNS) -> str:
    """The schema as a table for people: one line a column, the target last. columns: COLUMNS or ATTRITION_COLUMNS."""
    head = ("column", "role", "type", "unit", "physical range", "missing", "title", "中文")
    target = _OF_A_LEAVER if columns is ATTRITION_COLUMNS else _OF_A_GRADE
    lines = [head, *(_line(column) for column in columns), target]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


_OF_A_GRADE = (TARGET, "target", "category", "", " ".join(GRADES), "never", "performance grade", "绩效等级")
_OF_A_LEAVER = (LEFT, "target", "category", "", "", "employed", "month of leaving, YYYY-MM", "离职月份")


def _line(column: Column) -> tuple[str, ...]:
    low, high = ("" if bound is None else f"{bound:g}" for bound in (column.low, column.high))
    span = f"{low} .. {high}".strip() if low or high else ""
    missing = "may be" if column.role == "input" and not column.required else "never"
    return column.name, column.role, column.kind, column.unit, span, missing, column.title.en, column.title.zh


def _width(text: str) -> int:
    """Columns of a terminal that `text` fills: East Asian wide characters fill two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
