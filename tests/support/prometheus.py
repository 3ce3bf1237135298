"""A real Prometheus in a process of its own, on a free port, stopped by its process id."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_ports
from tests.support.processes import ServerProcess

JOB = "epm-gateway"
SCRAPE_SECONDS = 2


@dataclass(frozen=True)
class Series:
    """labels, and (time in seconds since 1970, value) in order."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class RefusedError(Exception):
    """Prometheus does not take a query."""


class Prometheus(ServerProcess):
    """Scrapes addresses every two seconds, under the gateways' job, and evaluates rule files every second.

    A scrape may take two seconds, for one that fails ends every alert that is pending. All data lie below `folder`.

    targets: host:port of /metrics; rules: files, as they are.
    """

    def __init__(self, targets: Iterable[str], rules: Iterable[Path] = ()) -> None:
        super().__init__()
        (self.port,) = free_ports(1)
        self._config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
        }

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        (self.folder / "prometheus.yaml").write_text(json.dumps(self._config), "utf-8")  # JSON is YAML
        return [
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def query(self, expr: str, at: float | None = None) -> list[Series]:
        """The value of each series at a time, now without one. Raises RefusedError."""
        asked = {"query": expr} if at is None else {"query": expr, "time": str(at)}
        return [_series(one["metric"], [one["value"]]) for one in self._get("query", asked)["result"]]

    def over(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Values of each series between two times, every `step` seconds. Raises RefusedError."""
        asked = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        return [_series(one["metric"], one["values"]) for one in self._get("query_range", asked)["result"]]

    def series(self, selector: str, start: float, end: float) -> list[dict[str, str]]:
        """The labels of each series that was there between two times."""
        return self._get("series", {"match[]": selector, "start": str(start), "end": str(end)})

    def alerts(self, name: str) -> set[str]:
        """The states in which an alert of that name is now: pending, firing; none when it is not."""
        return {one["state"] for one in self._get("alerts")["alerts"] if one["labels"]["alertname"] == name}

    def rules(self) -> list[dict[str, Any]]:
        """All rules, as Prometheus describes them: name, query, type, health, labels, annotations."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, asked: dict[str, str] | None = None) -> Any:
        body = urllib.parse.urlencode(asked).encode() if asked else None
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{what}", body, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RefusedError(json.load(error)["error"]) from None


def _series(labels: dict[str, str], points: Iterable[tuple[float, str]]) -> Series:
    return Series(labels, [(float(when), float(value)) for when, value in points])
