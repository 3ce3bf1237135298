"""Values as Grafana writes them, for the few units that the dashboards use."""

_SECONDS = ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h"))
_BYTES = ((1024.0, 1.0, "B"), (1024.0**2, 1024.0, "KiB"), (1024.0**3, 1024.0**2, "MiB"))


def written(value: float, unit: str) -> str:
    """A value with its unit; unit: as Grafana names it."""
    if value == 0 and unit in ("s", "bytes"):
        return "0"
    if unit == "s":
        return _scaled(value, _SECONDS, (86_400.0, "d"))
    if unit == "bytes":
        return _scaled(value, _BYTES, (1024.0**3, "GiB"))
    if unit == "percentunit":
        return f"{_short(100 * value)} %"
    return f"{_short(value)} {said(unit)}".rstrip()


def said(unit: str) -> str:
    """What stands behind a number."""
    return {"none": "", "reqps": "calls/s"}.get(unit, unit.removeprefix("suffix: "))


def _scaled(value: float, steps: tuple[tuple[float, float, str], ...], last: tuple[float, str]) -> str:
    for below, size, name in steps:
        if abs(value) < below:
            return f"{_short(value / size)} {name}"
    return f"{_short(value / last[0])} {last[1]}"


def _short(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
