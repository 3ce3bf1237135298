"""Compiles protos/ into serving/stubs/. `--check` fails when what is committed is stale.

Messages of other servers (protos/foreign) bear the official names. They live in a descriptor pool of their own, so that
`tensorflow-serving-api` or `tritonclient` can be imported in the same process; protoc's output is rewritten for that.
"""

import argparse
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "serving" / "stubs"
HAND_WRITTEN = {"__init__.py", "pool.py"}


def compile_into(out: Path) -> None:
    """Write all generated modules below `out`."""
    protos = sorted(p.relative_to(ROOT / "protos").as_posix() for p in (ROOT / "protos").rglob("*.proto"))
    for group, grpc in (("epm", True), ("foreign", False)):
        names = [name for name in protos if name.startswith(group)]
        arguments = [f"--python_out={out}", f"--pyi_out={out}", *([f"--grpc_python_out={out}"] if grpc else [])]
        includes = [f"-I{ROOT / 'protos'}", f"-I{files('grpc_tools') / '_proto'}", f"-I{google_rpc()}"]
        if protoc.main(["protoc", *includes, *arguments, *names]):
            sys.exit("protoc failed")
    for path in out.rglob("*.py*"):
        text = path.read_text()
        text = re.sub(r"^from (foreign|epm\.v1) import", r"from serving.stubs.\1 import", text, flags=re.M)
        if "foreign" in path.parts and path.suffix == ".py":
            text = text.replace("from google.protobuf import descriptor_pool as _descriptor_pool\n", "")
            text = text.replace("_descriptor_pool.Default()", "_POOL")
            text = text.replace("\n_sym_db =", "\nfrom serving.stubs.pool import POOL as _POOL\n\n_sym_db =", 1)
        path.write_text(text)


def google_rpc() -> Path:
    """The folder that holds google/rpc/status.proto."""
    import google.rpc.status_pb2 as status_pb2

    return Path(status_pb2.__file__).parents[2]


def generated(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*.py*")
        if p.name not in HAND_WRITTEN and p.suffix in {".py", ".pyi"}
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the committed code is stale")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        compile_into(Path(temporary))
        fresh, committed = generated(Path(temporary)), generated(STUBS)
    if options.check:
        stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
        sys.exit(f"stale, run `make proto`: {', '.join(stale)}" if stale else 0)
    for name, data in fresh.items():
        target = STUBS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
