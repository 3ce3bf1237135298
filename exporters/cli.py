"""`epm-export`: the schema of the data, training and publishing, checking what is published, a sample to try."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from exporters.names import LOCAL_REPO, MODEL_REPO, PUBLIC, SAMPLES, SEED, TASKS
from serving.errors import EpmError

_EXTRA = {"onnx": "onnx", "sklearn": "scikit-learn", "tensorflow": "tensorflow", "xgboost": "xgboost-cpu"}
"""Module -> package, of what is needed to train and not to serve."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what it was asked, 1 when not, 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: sums of floats in one order
    try:
        return int(options.run(options))
    except EpmError as error:
        print(f"epm-export: {error.message}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:  # of an import, or of importlib.metadata, which names the package
        package = _EXTRA.get(error.name or "", error.name)
        if package not in _EXTRA.values():
            raise  # no choice of the user's, but a mistake of ours
        print(f"epm-export: {package} is not installed: pip install 'epm-serving[export]'", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="epm-export", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _schema_command(commands)
    _train_command(commands)
    _verify_command(commands)
    _sample_command(commands)
    return parser


def _schema_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Print the columns of the data: types, units, physical ranges, titles in English and Chinese."
    schema = commands.add_parser("schema", help="print the columns of the data", description=text)
    schema.set_defaults(run=_schema)
    schema.add_argument("--task", choices=TASKS, default="classes", help="of which task (default: %(default)s)")


def _train_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = (
        "Train a model, export it as ONNX and SavedModel, hold both to the trained model on 10,000 rows, publish. "
        "Nothing is published when they differ. Data: synthetic employees, your own table (--data) or a public one "
        "(--dataset). Two tasks: classes of a table (performance grades), and who may leave within 3 and 6 months."
    )
    train = commands.add_parser("train", help="train, export, check and publish a model", description=text)
    train.set_defaults(run=_train)
    train.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help=f"name to publish under (default: performance_model, with --dataset {', '.join(PUBLIC.values())})",
    )
    train.add_argument(
        "--task",
        choices=TASKS,
        help="what is learnt (default: attrition where MODEL begins so, else classes)",
    )
    train.add_argument(
        "--repository", type=Path, metavar="DIR", help=f"default: {MODEL_REPO}, for data of real people {LOCAL_REPO}"
    )
    train.add_argument("--version", type=int, metavar="N", help="version number (default: the next free one)")
    train.add_argument("--replace", action="store_true", help="publish even where that version is already there")
    train.add_argument(
        "--seed", type=int, default=SEED, metavar="N", help="the same seed gives the same bytes (default: %(default)s)"
    )
    train.add_argument(
        "--employees",
        type=int,
        metavar="N",
        help="synthetic employees to train on (default: 12000 for classes, 80000 for attrition)",
    )
    train.add_argument(
        "--trees", type=int, default=0, metavar="N", help="trees of a forest, at most (default: the published number)"
    )
    train.add_argument(
        "--epochs", type=int, default=0, metavar="N", help="epochs of the network (default: the published number)"
    )
    train.add_argument(
        "--data",
        type=Path,
        metavar="FILE.csv",
        help="your own table: columns of `epm-export schema`, and `grade` (or, for attrition, `left`)",
    )
    train.add_argument(
        "--mapping", type=Path, metavar="FILE.toml", help="what the columns of --data mean, where they bear other names"
    )
    train.add_argument("--dataset", choices=list(PUBLIC), help="a public table with a built-in mapping")
    train.add_argument(
        "--data-dir",
        type=Path,
        default=Path("../shared/data"),
        metavar="DIR",
        help="where public tables lie (default: %(default)s)",
    )


def _verify_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = (
        "Check every version in a repository: digests, contract, config.pbtxt, golden rows through features and "
        "both exports. Names what is not as it was published; exit status 1 if anything is."
    )
    verify = commands.add_parser("verify", help="check what is published", description=text)
    verify.set_defaults(run=_verify)
    verify.add_argument("repository", type=Path, metavar="REPO", help="a model repository")
    verify.add_argument("--model", metavar="MODEL", help="check this model only")


def _sample_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = (
        "Write synthetic employees, none of them a training row, with some cells empty: rows to try things with. "
        "reviews: one line an employee, for performance_model. history: one line an employee and month, for `epm "
        "predict --month`. months, people: the same employees for `epm facts load`, monthly facts and the others. "
        "leavers: years of history and who left, as `train --task attrition --data` reads it."
    )
    sample = commands.add_parser("sample", help="write rows to try things with", description=text)
    sample.set_defaults(run=_sample)
    sample.add_argument("--of", choices=SAMPLES, default="reviews", help="what is written (default: %(default)s)")
    sample.add_argument("--out", type=Path, metavar="FILE.csv", help="default: standard output")
    sample.add_argument("--employees", type=int, default=200, metavar="N", help="how many (default: %(default)s)")
    sample.add_argument("--seed", type=int, default=SEED, metavar="N", help="default: %(default)s")


def _schema(options: argparse.Namespace) -> int:
    from exporters.data import schema

    print(schema.describe(schema.COLUMNS if options.task == "classes" else schema.ATTRITION_COLUMNS))
    return 0


def _train(options: argparse.Namespace) -> int:
    from exporters import sources
    from exporters.publishing import releases

    source = sources.choose(options)
    print(releases.release(source, options.seed, options.version, replace=options.replace))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from exporters.publishing import verify

    return verify.report(options.repository, options.model)


def _sample(options: argparse.Namespace) -> int:
    from exporters.data import attrition, synthetic

    write = {
        "reviews": synthetic.sample_csv,
        "history": attrition.sample_csv,
        "months": attrition.facts_csv,
        "people": attrition.static_csv,
        "leavers": attrition.history_csv,
    }
    text = write[options.of](options.employees, options.seed)
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
