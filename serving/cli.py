"""`epm`: serve, predict, score, facts, warm, models, doctor. Each command imports its own: `--help` is instant."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, NoReturn

from serving import settings
from serving.errors import EpmError, InvalidInput, SettingsError
from serving.version import __version__

if TYPE_CHECKING:
    from serving.facts_client import FactsClient

FACTS = """What is stored of entities, for predictions by id: `load` a file, `get` or `delete` an entity. The gateway
asks for a token (its EPM_FACTS_TOKEN_FILE)."""


def command() -> NoReturn:
    """What the shell runs: `main`, then the end of the process without Python's shutdown.

    gRPC's clients keep daemon threads in C++, and one of them that is cut off inside a lock while the interpreter is
    taken down leaves the process hanging for ever: seen once, after a refused `facts load` had printed its error.
    """
    try:
        status = main()
    except SystemExit as end:  # of argparse, which has printed
        status = end.code if isinstance(end.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:  # the reader has gone, or the disk is full
            status = status or 1
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 for what went wrong, 2 for wrong use."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except SettingsError as error:
        print(f"epm: {error.message}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
        return 1
    except (EpmError, OSError) as error:
        print(f"epm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="epm", description="Feature gateway and inference backend for EPM.")
    parser.add_argument("--version", action="version", version=f"epm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _serve_options(commands.add_parser("serve", help="start a gateway", description=_serve.__doc__))
    _predict_options(commands.add_parser("predict", help="score a CSV file", description=_predict.__doc__))
    _score_options(commands.add_parser("score", help="score a large file, here", description=_score.__doc__))
    facts = commands.add_parser("facts", help="load, show and erase what is stored of entities", description=FACTS)
    _facts_options(facts.add_subparsers(metavar="ACTION", required=True))
    _warm_options(commands.add_parser("warm", help="compile everything ahead", description=_warm.__doc__))
    _models_options(commands.add_parser("models", help="list and describe models", description=_models.__doc__))
    _doctor_options(commands.add_parser("doctor", help="check an installation", description=_doctor.__doc__))
    return parser


def _serve_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    parser.set_defaults(run=_serve)


def _settings_options(parser: argparse.ArgumentParser) -> None:
    for knob in fields(settings.Settings):
        name = settings.environment_name(knob.name)
        parser.add_argument(
            f"--{knob.name.replace('_', '-')}",
            dest=knob.name,
            metavar=type(knob.default).__name__.upper(),
            help=f"{knob.metadata['help']} (default {'none' if knob.default == '' else knob.default}; {name})",
        )


def _given(options: argparse.Namespace) -> dict[str, str]:
    """Settings of the command line, as texts."""
    given = {knob.name: getattr(options, knob.name) for knob in fields(settings.Settings)}
    return {name: text for name, text in given.items() if text is not None}


def _serve(options: argparse.Namespace) -> int:
    """Start a gateway: gRPC (TF Serving, KServe v2 / Triton, epm.v1) on one port; metrics, probes and REST on another.
    Prints a line beginning `ready` once it answers; SIGTERM and Ctrl-C drain it."""
    import logging
    import signal
    import warnings

    for number in (signal.SIGTERM, signal.SIGINT):  # until the gateway listens to them, there is nothing to finish
        signal.signal(number, lambda *_: os._exit(0))
    chosen = settings.Settings.read(_given(options))
    who = _held_by_supervisor(chosen) if chosen.worker else ""
    logging.basicConfig(
        level=chosen.log_level.upper(),
        stream=sys.stderr,
        format=f"%(asctime)s {who}%(levelname)s %(name)s: %(message)s",
    )
    if chosen.workers > 1 and not chosen.worker:
        import asyncio

        from serving.supervisor.supervisor import supervise

        return asyncio.run(supervise(chosen, _given(options)))
    logging.getLogger("numba").setLevel(logging.WARNING)  # below, it dumps the bytecode of whatever is compiled
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of values that are checked and refused by name
    import uvloop

    from serving.gateway import serve

    uvloop.run(serve(chosen))
    return 0


def _held_by_supervisor(chosen: settings.Settings) -> str:
    """A worker ends with its supervisor; how its lines in the log begin."""
    from serving.listeners.worker_place import WorkerPlace
    from serving.supervisor.lifeline import hold

    place = WorkerPlace.read(chosen.worker)
    hold(place.folder, chosen.drain_seconds)
    return f"worker {place.number} "


def _warm_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_warm)


def _warm(options: argparse.Namespace) -> int:
    """Compile all kernels and keep them in EPM_JIT_CACHE_DIR: at image build, so that the first start is quick."""
    import logging

    from serving.warm import command

    logging.basicConfig(level="WARNING", stream=sys.stderr, format="%(message)s")
    return command()


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="CSV file with a header; columns that the model does not take are ignored")
    parser.add_argument("--model", default="performance_model", help="model to ask (default %(default)s)")
    parser.add_argument(
        "--address", default=settings.client_address(), help="gateway (default %(default)s; EPM_ADDRESS)"
    )
    parser.add_argument("--id", default="employee", help="column shown beside the answer; '' for line numbers")
    parser.add_argument(
        "--month",
        default="",
        metavar="COLUMN",
        help="column with the month (2026-03, 202603 or a date), for models that read histories: the lines of one id, "
        "which stand together from the oldest month on, are one row. Its histories end with its newest month; what is "
        "no history is read from the line of that month",
    )
    parser.add_argument("--batch", type=int, default=256, help="rows in one message (default %(default)s)")
    parser.add_argument("--wait", type=float, default=5, help="seconds to wait for the gateway (default %(default)s)")
    parser.add_argument(
        "--format",
        choices=("table", "csv"),
        default="table",
        help="table: rounded, for people; csv: exact (default %(default)s)",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    """Score the rows of a CSV file over gRPC (epm.v1, one stream) and print the answers."""
    from pathlib import Path

    from serving.scoring import Client, Layout, score, show, write_csv

    if options.batch < 1:
        raise SettingsError(f"--batch: got {options.batch}, expected at least 1")
    if options.month and not options.id:
        raise SettingsError("--month: got a column, but no --id, expected both: an id says whose months they are")
    client, layout = Client(options.address, options.wait), Layout(options.id, options.month)
    rows = list(score(Path(options.file), options.model, layout, client, options.batch))
    if not rows:
        print(f"epm: {options.file} has no rows", file=sys.stderr)
    elif options.format == "table":
        print(show(rows))
    else:
        write_csv(rows, options.id or "line", sys.stdout)
    return 0


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="CSV in UTF-8 with a header, or Parquet; - reads CSV from standard input")
    parser.add_argument(
        "--out", metavar="FILE", help="where the answers go (default: beside the file, as in rows.scored.csv)"
    )
    parser.add_argument("--model", default="performance_model", help="model to ask (default %(default)s)")
    parser.add_argument("--model-repo", help="folder of the models (default model_repo; EPM_MODEL_REPO)")
    parser.add_argument("--model-version", type=int, metavar="N", help="(default: the newest that can be used)")
    parser.add_argument(
        "--backend",
        choices=("forest", "onnxruntime"),
        help="what computes (default: what EPM_BACKENDS says, of these; else forest, then onnxruntime)",
    )
    parser.add_argument("--id", default="employee", help="column kept beside the answer; '' for line or row numbers")
    parser.add_argument(
        "--month",
        default="",
        metavar="COLUMN",
        help="column with the month, for models that read histories: as in `epm predict`",
    )
    formats = ("csv", "parquet")
    parser.add_argument("--format", choices=formats, help="of the file (default: by its ending)")
    parser.add_argument("--out-format", choices=formats, help="of the answers (default: by the ending of --out)")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="go on without rows that cannot be answered and list them, with the reason, in OUT.rejected.csv",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace answers that are there already")
    parser.add_argument("--restart", action="store_true", help="forget what an interrupted run has finished")
    parser.add_argument("--chunk-rows", type=int, default=16384, help="rows in memory at a time (default %(default)s)")
    parser.set_defaults(run=_score)


def _score(options: argparse.Namespace) -> int:
    """Score the rows of a file in this process, without a gateway: the answers of `epm predict`, for millions of rows,
    in memory that does not grow with the file. Killed or interrupted, it goes on where it was when the same command is
    started again; the output appears when it is whole. Only its owner may read it."""
    from serving.batch.command import score

    return score(options)


def _facts_options(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    load = actions.add_parser("load", help="load a CSV or Parquet file", description=_facts_load.__doc__)
    load.add_argument("file", help="CSV in UTF-8 with a header, or .parquet")
    load.add_argument("--id", default="employee", help="column with the entity's id (default %(default)s)")
    load.add_argument(
        "--month",
        default="",
        metavar="COLUMN",
        help="column with the month (2026-03, 202603 or a date): each row is one month of one entity and every other "
        "column a monthly fact; an empty cell says nothing. Rows of one entity should stand together. Of an entity's "
        "months the newest 36 are loaded. Without it a row is one entity; an empty cell is a fact known to be missing",
    )
    load.add_argument(
        "--as-of",
        default="",
        metavar="TIME|COLUMN",
        help="when it was so: a time (2026-03-31T18:00:00+08:00; UTC without a zone), or the column that holds one. "
        "Default: when the file was last changed, so that loading the same file again changes nothing. What is stored "
        "with a later time stays",
    )
    load.add_argument(
        "--sequence", type=int, default=0, help="order among what one source says of one time (default 0)"
    )
    load.add_argument("--source", help="the system that says so (default: the file's name without its ending)")
    load.add_argument(
        "--columns", type=_listed, default=(), metavar="A,B", help="load these only (default: all others)"
    )
    load.add_argument("--ignore", type=_listed, default=(), metavar="A,B", help="leave these out")
    load.add_argument(
        "--text",
        type=_listed,
        default=(),
        metavar="A,B",
        help="columns of texts; what is in no such column must be a number. Parquet says itself which hold texts",
    )
    load.add_argument("--batch", type=int, default=128, help="entities in one message (default %(default)s)")
    load.set_defaults(run=_facts_load)
    get = actions.add_parser("get", help="show what is stored of an entity", description=_facts_get.__doc__)
    delete = actions.add_parser("delete", help="erase an entity", description=_facts_delete.__doc__)
    for parser, run in ((get, _facts_get), (delete, _facts_delete)):
        parser.add_argument(
            "--id",
            required=True,
            help="the entity; - reads ids from standard input, one a line: arguments are visible to everyone who may "
            "list this machine's processes",
        )
        parser.set_defaults(run=run)
    delete.add_argument(
        "--flush-cache",
        action="store_true",
        help="drop all kept predictions, of everybody: without it those of the entity's present facts go at once, and "
        "those of former ones, or of columns that a caller sent, when their time is over (EPM_CACHE_TTL_SECONDS)",
    )
    for parser in (load, get, delete):
        parser.add_argument("--entity-type", default="employee", help="kind of entity (default %(default)s)")
        parser.add_argument(
            "--address", default=settings.client_address(), help="gateway (default %(default)s; EPM_ADDRESS)"
        )
        parser.add_argument(
            "--token-file",
            default=settings.client_token_file(),
            help="file with the gateway's token in its first line (EPM_TOKEN_FILE)",
        )
        parser.add_argument(
            "--wait", type=float, default=5, help="seconds to wait for the gateway (default %(default)s)"
        )


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _facts_client(options: argparse.Namespace) -> "FactsClient":
    from serving.facts_client import FactsClient
    from serving.listeners.permission import read_token

    if not options.token_file:
        raise SettingsError("--token-file: got nothing, expected the file with the gateway's token (or EPM_TOKEN_FILE)")
    return FactsClient(options.address, options.wait, read_token(options.token_file, "--token-file"))


def _facts_load(options: argparse.Namespace) -> int:
    """Load a file of facts. It is read and sent piece by piece; nothing is written twice, so a load that failed is run
    again as it was. What is wrong is named by line and column. The last line of the output counts entities, rows,
    events that changed something, and events that the gateway rejected."""
    from pathlib import Path

    from serving.facts_client import Loaded, Progress
    from serving.facts_files import FactsFile, Layout

    if options.batch < 1:
        raise SettingsError(f"--batch: got {options.batch}, expected at least 1")
    if options.month and options.text:
        raise SettingsError("--text: a text is no monthly fact: load texts from a file without --month")
    path = Path(options.file)
    source = path.stem if options.source is None else options.source
    layout = Layout(
        id=options.id,
        month=options.month,
        as_of=options.as_of,
        entity_type=options.entity_type,
        source=source,
        sequence=options.sequence,
        columns=options.columns,
        ignore=options.ignore,
        texts=options.text,
    )
    file, progress, loaded = FactsFile(path, layout), Progress(), Loaded()
    client = _facts_client(options)
    try:
        for loaded in client.load(file, options.batch):
            progress.show(loaded, file.read)
    finally:
        progress.end()
    print(loaded)
    return 1 if loaded.rejected else 0


def _facts_get(options: argparse.Namespace) -> int:
    """Print what is stored of an entity: facts and months with their values, who said so and when it was so."""
    from serving.errors import NotFound
    from serving.facts_client import show

    client, missing = _facts_client(options), 0
    for entity in _ids(options):
        try:
            stored = client.get(options.entity_type, entity)
        except NotFound:
            print(f"{entity}: nothing is stored", file=sys.stderr)
            missing += 1
            continue
        if options.id == "-":
            print(f"{entity}:")
        print(show(stored))
    return 1 if missing else 0


def _facts_delete(options: argparse.Namespace) -> int:
    """Erase everything that is stored of an entity, in Redis and in all gateways. It is not asked twice."""
    client = _facts_client(options)
    for entity in _ids(options):
        existed = client.delete(options.entity_type, entity, options.flush_cache)
        print(f"{entity}: {'erased' if existed else 'nothing was stored'}")
    return 0


def _ids(options: argparse.Namespace) -> Iterator[str]:
    if options.id != "-":
        yield options.id
        return
    try:
        yield from filter(None, map(str.strip, sys.stdin))
    except UnicodeDecodeError:
        raise InvalidInput("--id: standard input is not UTF-8") from None


def _models_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_models)
    parser.add_argument(
        "action", choices=("list", "describe"), help="list: all versions; describe: what to send to one"
    )
    parser.add_argument("name", nargs="?", help="the model; may be left out with list")
    parser.add_argument("--model-repo", help="folder of the models (default model_repo; EPM_MODEL_REPO)")


def _models(options: argparse.Namespace) -> int:
    """Look into a model repository on disk: `list` checks and lists all versions, `describe NAME` prints what an
    application may send to the newest version of a model, and what comes back."""
    from pathlib import Path

    from serving.describe import describe, listing

    if options.action == "describe" and not options.name:
        raise SettingsError("epm models describe: which model? (see `epm models list`)")
    root = Path(options.model_repo or settings.Settings.read().model_repo)
    print(describe(root, options.name) if options.action == "describe" else listing(root, options.name))
    return 0


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    parser.add_argument(
        "--only",
        type=_listed,
        action="extend",
        default=[],
        metavar="A,B",
        help="settings, files, limits, ports, jit, repository, redis, backends (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="for machines: checks, and how many of each level")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for each check (default %(default)g)")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    """Check an installation with the settings of `epm serve`: a line for each thing that was looked at, what was found
    and what to do. Nothing is written anywhere, and no secret is shown. The exit status is 1 when something failed."""
    from serving.doctor.command import doctor

    return doctor(_given(options), options.only, options.timeout, options.json)


if __name__ == "__main__":
    command()
