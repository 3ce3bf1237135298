"""Writes what is made of sources here: prometheusrule.yaml from rules/, Grafana's dashboards from their descriptions.

`--check` writes nothing and fails when what is committed is not what its source says.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
RULES = ("recording.yaml", "alerts.yaml")
HEAD = """\
# Generated from rules/ by `make monitoring`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: epm-gateway
  labels:
    app.kubernetes.io/name: gateway
spec:
  groups:
"""


def prometheus_rule(rules: Path) -> str:
    """The groups of all rule files in `rules`, as a resource of Prometheus Operator. Raises ValueError."""
    return HEAD + "".join("".join(_groups(rules / name)) for name in RULES)


def files() -> dict[Path, str]:
    """The text of each generated file by its path."""
    made = {FOLDER / "prometheusrule.yaml": prometheus_rule(FOLDER / "rules")}
    if (FOLDER / "dashboards" / "__init__.py").is_file():
        from k8s.monitoring import dashboards

        made |= {FOLDER / "dashboards" / name: text for name, text in dashboards.files().items()}
    return made


def _groups(path: Path) -> Iterator[str]:
    """The lines below `groups:`, two columns further right."""
    _, key, groups = path.read_text("utf-8").partition("\ngroups:\n")
    if not key:
        raise ValueError(f"{path.name}: got no line `groups:`, expected one that all groups are below")
    for line in groups.splitlines():
        yield f"  {line}\n" if line else "\n"


def main() -> None:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    options = parser.parse_args()
    stale = {path: text for path, text in files().items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if options.check:
            print(f"{path.relative_to(FOLDER.parent.parent)} is not up to date: run `make monitoring`", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
    sys.exit(1 if options.check and stale else 0)


if __name__ == "__main__":
    main()
