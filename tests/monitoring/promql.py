"""What a query in PromQL asks for, as far as a test has to know it."""

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_TOKENS = re.compile(
    rf"""
      (?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)
    | \[[^]]*]
    | offset\s+\w+
    | \d[\w.]*
    | (?:and|or|unless|bool)\b
    | {_NAME}(?=\s*(?:\(|by\b|without\b))
    | (?P<selector>{_NAME}\s*(?:\{{(?:[^{{}}"]|"[^"]*")*\}})?)
    """,
    re.VERBOSE,
)
_TEXT = r'"[^"]*"'


def selectors(expr: str) -> list[str]:
    """The series that a query reads: names of metrics with their matchers, without windows and offsets."""
    return list(dict.fromkeys(one["selector"].strip() for one in _TOKENS.finditer(expr) if one["selector"]))


def metric(selector: str) -> str:
    """The name of the metric."""
    return selector.partition("{")[0].strip()


def renamed(expr: str, name: str) -> str:
    """The query, as it would be if a metric had been renamed and the query had not."""
    return re.sub(rf"(?<![\w:]){re.escape(name)}(?![\w:])", f"{name}_renamed", expr)


def compared(expr: str) -> str:
    """What an alert compares, whether or not it fires: comparisons keep their series, and nothing is taken away.

    A comparison becomes one with `bool`, `unless` becomes `or`, and what is asked of last week is asked of now.
    """
    parts = re.split(rf"({_TEXT}|\{{(?:[^{{}}\"]|{_TEXT})*\}})", expr)
    for number, part in enumerate(parts):
        if not part.startswith(("{", '"')):
            part = re.sub(r"(==|!=|<=|>=|<|>)", r"\1 bool", part)
            part = re.sub(r"\boffset\s+\w+", "", part)
            parts[number] = re.sub(r"\bunless\b", "or", part)
    return "".join(parts)
