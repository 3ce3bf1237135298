"""What the writers of all protocols share: which outputs are wanted, and their numbers and texts row by row."""

import numpy as np

from serving.features.row_kernels import STATES
from serving.jit import bare, bare_inlined
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2.memory_kernels import copy, octets, same, words
from serving.listeners.h2.wire_kernels import (
    bytes_size,
    inside,
    next_nonzero,
    put_letters,
    put_size,
    put_varint,
    store,
    varint_size,
)

COMMA = 44


@bare
def choose(model, data, request, wanted, ready, chosen):
    """(READ, how many) and chosen: int64[MOST_WANTED], numbers of the outputs asked for, in order; all for no names.

    LEAVE for a name that is unknown, or there twice. ready: ready tensors came, nothing is known of raw rows.
    """
    table = words(model[of.OUTPUTS], model[of.OUTPUT_COUNT] * of.OUTPUT).reshape(model[of.OUTPUT_COUNT], of.OUTPUT)
    count = 0
    if model[of.OUTPUT_COUNT] > to.MOST_WANTED:
        return to.LEAVE, 0
    if request[to.WANTED] == 0:
        for number in range(model[of.OUTPUT_COUNT]):
            if not (ready and is_of_raw(table[number, of.OUTPUT_KIND])):
                chosen[count] = number
                count += 1
        return to.READ, count
    taken = np.uint64(0)
    for w in range(request[to.WANTED]):
        found = -1
        for number in range(model[of.OUTPUT_COUNT]):
            size = table[number, of.OUTPUT_NAME_SIZE]
            if size == wanted[w, 1] and same(data, wanted[w, 0], octets(table[number, of.OUTPUT_NAME], size), 0, size):
                found = number
        if found < 0 or (ready and is_of_raw(table[found, of.OUTPUT_KIND])):
            return to.LEAVE, 0
        bit = np.uint64(1) << np.uint64(found)
        if taken & bit:
            return to.LEAVE, 0
        taken |= bit
        chosen[count] = found
        count += 1
    return to.READ, count


@bare_inlined
def is_of_raw(kind):
    """Whether an output tells of raw rows."""
    return kind == of.COVERAGE or kind == of.WARNINGS


@bare_inlined
def is_text(kind):
    """Whether an output is a text for each row; the others are numbers of four bytes."""
    return kind == of.CLASS_NAME or kind == of.WARNINGS


@bare
def put_numbers(output, n, outputs, margin, coverage, out, at):
    """The bytes of an output's numbers, row by row; the place behind them."""
    kind = output[of.OUTPUT_KIND]
    if kind == of.MARGIN:
        return put_floats(margin, n, out, at)
    if kind == of.COVERAGE:
        return put_floats(coverage, n, out, at)
    return put_values(outputs, n, output[of.OUTPUT_AT], max(output[of.OUTPUT_COLUMNS], 1), out, at)


@bare_inlined
def put_floats(values, n, out, at):
    """float32[n] as bytes."""
    inside(out, at, 4 * n)
    for i in range(n):
        store(out, at + 4 * i, values[i])
    return at + 4 * n


@bare_inlined
def put_values(outputs, n, first, count, out, at):
    """`count` values of each row's outputs as bytes. outputs: int32[n, W]."""
    inside(out, at, 4 * n * count)
    for i in range(n):
        for k in range(count):
            store(out, at, outputs[i, first + k])
            at += 4
    return at


@bare
def varints_size(outputs, n, first, count):
    """How many bytes `count` values of each row's outputs take as varints, a negative one 10."""
    size = np.int64(0)
    for i in range(n):
        for k in range(first, first + count):
            size += varint_size(outputs[i, k])
    return size


@bare
def put_varints(outputs, n, first, count, tag, out, at):
    """A packed field of int32 with its tag; the place behind it."""
    at = put_size(out, at, tag, varints_size(outputs, n, first, count))
    for i in range(n):
        for k in range(first, first + count):
            at = put_varint(out, at, outputs[i, k])
    return at


@bare_inlined
def is_low(model, coverage, i):
    """Whether a row is below the contract's coverage, as NumPy compares float32 with it."""
    return coverage[i] < np.float32(model[of.LEAST_COVERAGE : of.LEAST_COVERAGE + 1].view(np.float64)[0])


@bare_inlined
def is_warned(model, coverage, marks, low, marked, i):
    """Whether row i has any warning: few have."""
    return (low and is_low(model, coverage, i)) or (
        marked and next_nonzero(marks[i], 0, marks.shape[1]) < marks.shape[1]
    )


@bare
def texts_size(model, output, n, outputs, coverage, marks, low, marked, tag):
    """How many bytes `put_texts` writes."""
    total = np.int64(0)
    if output[of.OUTPUT_KIND] == of.CLASS_NAME:
        names, count, first = (
            words(model[of.CLASS_NAMES], 2 * model[of.CLASS_COUNT]),
            model[of.CLASS_COUNT],
            output[of.OUTPUT_AT],
        )
        for i in range(n):
            size = names[2 * known_label(outputs[i, first], count) + 1]
            total += bytes_size(size) if tag else 4 + size
        return total
    if not low and not marked:
        return np.int64(n) * (2 if tag else 4)
    for i in range(n):
        size = np.int64(0)
        if is_warned(model, coverage, marks, low, marked, i):
            size = warnings_size(model, coverage, marks, low, marked, i)
        total += bytes_size(size) if tag else 4 + size
    return total


@bare
def put_texts(model, output, n, outputs, coverage, marks, low, marked, tag, out, at):
    """An output's text of each row, class or warnings; the place behind them.

    Each behind this tag of a field and its size, or, for no tag, behind its length in four bytes.
    """
    if output[of.OUTPUT_KIND] == of.CLASS_NAME:
        names, count, first = (
            words(model[of.CLASS_NAMES], 2 * model[of.CLASS_COUNT]),
            model[of.CLASS_COUNT],
            output[of.OUTPUT_AT],
        )
        for i in range(n):
            label = known_label(outputs[i, first], count)
            size = names[2 * label + 1]
            at = put_frame(tag, size, out, at)
            at = put_octets(names[2 * label], size, out, at)
        return at
    if not low and not marked:
        for _ in range(n):
            at = put_frame(tag, 0, out, at)
        return at
    for i in range(n):
        if not is_warned(model, coverage, marks, low, marked, i):
            at = put_frame(tag, 0, out, at)
        elif tag:
            at = put_frame(tag, warnings_size(model, coverage, marks, low, marked, i), out, at)
            at = put_warnings(model, coverage, marks, low, marked, i, out, at)
        else:  # the length is known afterwards, and takes four bytes in any case
            end = put_warnings(model, coverage, marks, low, marked, i, out, at + 4)
            put_letters(out, at, np.uint64(end - at - 4), 4)
            at = end
    return at


@bare_inlined
def put_frame(tag, size, out, at):
    """What stands before a text of this size."""
    if tag:
        return put_size(out, at, tag, size)
    return put_letters(out, at, np.uint64(size), 4)


@bare_inlined
def known_label(label, count):
    """The number of a class; a label that none has is the last one's, as -1 is in Python."""
    return np.int64(label) if 0 <= label < count else count - 1


@bare
def warnings_size(model, coverage, marks, low, marked, i):
    """How many bytes the text of row i's warnings has."""
    texts = words(model[of.WARNED], 2 * (1 + STATES * model[of.INPUTS]))
    size = texts[1] + 1 if low and is_low(model, coverage, i) else np.int64(0)
    if marked:
        row, end = marks[i], model[of.INPUTS]
        c = next_nonzero(row, 0, end)
        while c < end:
            for state in range(STATES):
                if row[c] >> state & 1:
                    size += texts[2 * (1 + STATES * c + state) + 1] + 1
            c = next_nonzero(row, c + 1, end)
    return max(size - 1, 0)


@bare
def put_warnings(model, coverage, marks, low, marked, i, out, at):
    """Row i's warnings, a comma between them; the place behind them."""
    texts = words(model[of.WARNED], 2 * (1 + STATES * model[of.INPUTS]))
    start = at
    if low and is_low(model, coverage, i):
        at = put_octets(texts[0], texts[1], out, at)
    if marked:
        row, end = marks[i], model[of.INPUTS]
        c = next_nonzero(row, 0, end)
        while c < end:
            for state in range(STATES):
                if row[c] >> state & 1:
                    if at > start:
                        out[at] = COMMA
                        at += 1
                    text = 2 * (1 + STATES * c + state)
                    at = put_octets(texts[text], texts[text + 1], out, at)
            c = next_nonzero(row, c + 1, end)
    return at


@bare_inlined
def put_octets(address, size, out, at):
    """The bytes at an address; the place behind them."""
    copy(octets(address, size), 0, size, out, at)
    return at + size
