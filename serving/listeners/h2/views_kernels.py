"""Arrays of a loop's memory, as a table of models lays them out."""

from serving.jit import general_inlined
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.memory_kernels import double_cube, int_rows, octet_rows, word_rows, words
from serving.listeners.h2.table_kernels import place


@general_inlined
def request_of(loop, table):
    return words(place(loop, table, held.REQUEST), to.REQUEST)


@general_inlined
def columns_of(loop, table):
    return word_rows(place(loop, table, held.COLUMNS), to.MOST_COLUMNS, to.COLUMN)


@general_inlined
def wanted_of(loop, table):
    return word_rows(place(loop, table, held.WANTED), to.MOST_WANTED, 2)


@general_inlined
def marks_of(loop, table, model, n):
    """uint8[n, inputs]."""
    return octet_rows(place(loop, table, held.MARKS), n, model[of.INPUTS])


@general_inlined
def outputs_of(loop, table, model, n):
    """int32[n, W]."""
    return int_rows(place(loop, table, held.OUTPUTS), n, model[of.WIDTH])


@general_inlined
def cube(loop, table, model, n):
    """The histories, float64[n, K, T]."""
    return double_cube(place(loop, table, held.HISTORY), n, model[of.HISTORIES], model[of.MONTHS])


@general_inlined
def found_of(loop, table):
    """int64[FOUND], what is known of the rows of a request."""
    return words(place(loop, table, held.FOUND), held.FOUND_WORDS)
