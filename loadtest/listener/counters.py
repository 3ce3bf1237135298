"""What a compiled listener and an online store count, as /metrics has it; empty of a gateway that has none."""

import re

from loadtest.rates import counters

_SAMPLE = re.compile(r"^(?P<name>epm_(?:h2|store)_\w+)(?:\{(?P<labels>.*?)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(http: str) -> Samples:
    """All `epm_h2_*` and `epm_store_*`: name and labels -> value. Raises MeasurementError."""
    return parsed(counters.text(http))


def parsed(text: str) -> Samples:
    """Of an exposition."""
    return {
        (found["name"], tuple(sorted(_LABEL.findall(found["labels"] or "")))): float(found["value"])
        for found in _SAMPLE.finditer(text)
    }


def by(before: Samples, after: Samples, name: str, label: str) -> dict[str, float]:
    """By how much each sample of a counter grew, by one of its labels, all others summed."""
    grown: dict[str, float] = {}
    for (sample, labels), value in after.items():
        if sample == name and label in dict(labels):
            key = dict(labels)[label]
            grown[key] = grown.get(key, 0.0) + value - before.get((sample, labels), 0.0)
    return grown


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric over all samples that have these labels."""
    return sum(
        value for (sample, found), value in samples.items() if sample == name and labels.items() <= dict(found).items()
    )
