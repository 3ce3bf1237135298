"""Features of the rows in a loop's memory, and what the forest says of them."""

from numba import types

from serving.backends import forest_kernels
from serving.backends.output_kernels import all_finite
from serving.features.program_kernels import run_program
from serving.jit import callback
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.memory_kernels import double_rows, int_rows, ints, single_cube, single_rows, singles, words
from serving.listeners.h2.table_kernels import place
from serving.listeners.h2.views_kernels import cube, outputs_of

_A = types.int64


@callback(_A(_A, _A, _A, _A, _A, _A))
def feature(owner, address, n, _a, _b, _c):
    """Run the feature program of the model at an address. 1."""
    loop, model = words(owner, at.LOOP), words(address, of.MODEL)
    table = words(loop[at.TABLE], held.TABLE)
    columns = model[of.WINDOW] // max(model[of.MONTHS], 1)
    planes, months = (n, model[of.MONTHS]) if columns else (0, 0)
    run_program(
        double_rows(place(loop, table, held.VALUES), n, model[of.SINGLE]),
        cube(loop, table, model, n),
        words(model[of.PROGRAM], model[of.PROGRAM_SIZE]),
        single_rows(place(loop, table, held.FEATURES), n, model[of.FEATURES]),
        single_cube(place(loop, table, held.WINDOW), planes, months, columns),
    )
    return 1


@callback(_A(_A, _A, _A, _A, _A, _A))
def compute(owner, address, n, _a, _b, _c):
    """The forest of the model at an address; 0 where a score is no number, as `ForestBackend.run`."""
    loop, model = words(owner, at.LOOP), words(address, of.MODEL)
    table = words(loop[at.TABLE], held.TABLE)
    targets = model[of.TARGETS]
    scores = single_rows(place(loop, table, held.SCORES), n, targets)
    label = ints(place(loop, table, held.LABEL), n if model[of.LABEL] >= 0 else 0)
    features = single_rows(place(loop, table, held.FEATURES), n, model[of.FEATURES])
    forest_kernels.answer(features, ints(model[of.TREES], model[of.TREES_SIZE]), scores, label)
    if not all_finite(singles(place(loop, table, held.SCORES), n * targets)):
        return 0
    outputs = outputs_of(loop, table, model, n)
    bits = int_rows(place(loop, table, held.SCORES), n, targets)
    for i in range(n):
        if model[of.SCORES] >= 0:
            for c in range(targets):
                outputs[i, model[of.SCORES] + c] = bits[i, c]
        if model[of.LABEL] >= 0:
            outputs[i, model[of.LABEL]] = label[i]
    return 1
