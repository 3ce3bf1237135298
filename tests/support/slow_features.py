"""The gate with a feature kernel that takes twice as long: `python -m tests.support.slow_features [OPTION ...]`."""

import sys

from serving.features import program_kernels

quick = program_kernels.run_program


def slow(*arguments):
    quick(*arguments)
    quick(*arguments)


if __name__ == "__main__":
    program_kernels.run_program = slow
    from loadtest.gate.__main__ import main

    sys.exit(main(sys.argv[1:]))
