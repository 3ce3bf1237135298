"""The models that are committed, as the load tests use them."""

from pathlib import Path

from loadtest.measure import MeasurementError

MODEL = "performance_model"


def newest_version(folder: Path) -> Path:
    """The folder with the largest number. Raises MeasurementError when there is none."""
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    if not versions:
        raise MeasurementError(f"{folder}: no version of the model there")
    return max(versions, key=lambda path: int(path.name))
