"""Resolves the locks beside this file under the pins in pins.in, and those of bench/, each by itself (`make locks`).

What bench/ lists with all it needs is not resolved any further: `WHOLE`.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
UV = [str(Path(sys.executable).parent / "uv"), "--system-certs", "--quiet", "pip", "compile", "--generate-hashes"]
STYLE = ["--no-header", "--no-annotate", "--python-version", "3.11"]
LOCKS = {
    "bootstrap": ["requirements/bootstrap.in"],
    "gateway": ["setup.cfg", "-c", "requirements/pins.in"],
    "test": ["setup.cfg", "--all-extras", "-c", "requirements/pins.in", "-c", "requirements/gateway.txt"],
}
WHOLE = {"triton"}

for peer in sorted(path.stem for path in (HERE / "bench").glob("*.in")):
    LOCKS[f"bench/{peer}"] = [f"requirements/bench/{peer}.in", *["--no-deps"] * (peer in WHOLE)]

for name, source in LOCKS.items():
    print(f"requirements/{name}.txt", flush=True)
    command = [*UV, *source, *STYLE, "-o", f"requirements/{name}.txt"]
    subprocess.run(command, cwd=HERE.parent, check=True)  # noqa: S603 (our own arguments)
