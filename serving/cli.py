"""`epm`: serve, predict, models. Imports happen inside the commands, so that `--help` is instant."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from serving import settings
from serving.errors import EpmError, SettingsError
from serving.version import __version__


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
    _models_options(commands.add_parser("models", help="list and describe models", description=_models.__doc__))
    return parser


def _serve_options(parser: argparse.ArgumentParser) -> None:
    for knob in fields(settings.Settings):
        name = settings.environment_name(knob.name)
        parser.add_argument(
            f"--{knob.name.replace('_', '-')}",
            dest=knob.name,
            metavar=type(knob.default).__name__.upper(),
            help=f"{knob.metadata['help']} (default {knob.default}; {name})",
        )
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    """Start a gateway: gRPC (TF Serving, KServe v2 / Triton, epm.v1) on one port; metrics, probes and REST on another.
    Prints a line beginning `ready` once it answers; SIGTERM and Ctrl-C drain it."""
    import logging
    import warnings

    import uvloop

    given = {knob.name: getattr(options, knob.name) for knob in fields(settings.Settings)}
    chosen = settings.Settings.read({name: text for name, text in given.items() if text is not None})
    logging.basicConfig(
        level=chosen.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of values that are checked and refused by name
    from serving.gateway import serve

    uvloop.run(serve(chosen))
    return 0


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="CSV file with a header; columns that the model does not take are ignored")
    parser.add_argument("--model", default="performance_model", help="model to ask (default %(default)s)")
    parser.add_argument(
        "--address", default=settings.client_address(), help="gateway (default %(default)s; EPM_ADDRESS)"
    )
    parser.add_argument("--id", default="employee", help="column shown beside the answer; '' for line numbers")
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

    from serving.scoring import Client, score, show, write_csv

    if options.batch < 1:
        raise SettingsError(f"--batch: got {options.batch}, expected at least 1")
    rows = list(
        score(Path(options.file), options.model, options.id, Client(options.address, options.wait), options.batch)
    )
    if not rows:
        print(f"epm: {options.file} has no rows", file=sys.stderr)
    elif options.format == "table":
        print(show(rows))
    else:
        write_csv(rows, options.id or "line", sys.stdout)
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
