"""What the feature program must know of raw rows: what is missing, unknown or out of range."""

import numpy as np

from serving.features.row_kernels import inspect_rows
from serving.jit import general
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.memory_kernels import double_rows, octets, singles, word_rows, words
from serving.listeners.h2.table_kernels import place
from serving.listeners.h2.views_kernels import cube, found_of, marks_of


@general
def inspect(loop, table, model, n):
    """As `row_kernels.inspect_rows`, of the rows in the loop's memory; whether none of them is wrong."""
    single, histories, inputs = model[of.SINGLE], model[of.HISTORIES], model[of.INPUTS]
    wrong, marked, low = inspect_rows(
        double_rows(place(loop, table, held.VALUES), n, single),
        cube(loop, table, model, n),
        words(model[of.ORDER], single + histories),
        double_rows(model[of.FACTS], 7, inputs),
        model[of.LEAST_COVERAGE : of.LEAST_COVERAGE + 1].view(np.float64)[0],
        singles(place(loop, table, held.COVERAGE), n),
        marks_of(loop, table, model, n),
        octets(place(loop, table, held.WRONG), n),
        word_rows(place(loop, table, held.WHERE), n, 2),
    )
    found = found_of(loop, table)
    found[held.LOW], found[held.MARKED] = low, marked
    return wrong == 0
