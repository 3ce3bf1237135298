"""Compiled cutting of CSV bytes into records and cells, as Python's csv module cuts them (its default dialect)."""

import numpy as np

from serving.jit import inlined, kernel

COMMA, QUOTE, LF, CR = 44, 34, 10, 13
FINE, ODD, WRONG = 0, 1, 2
"""Of a record: cut here; to be cut by the csv module (quotes within quotes); another number of cells than expected."""


@inlined
def _ends_cell(byte):
    return byte in (COMMA, LF, CR)


@kernel
def _quoted(buffer, i, end, last):
    """A cell whose quote stands at i: (where it ends, where what follows begins or -1 if it is not all there, odd,
    line ends within)."""
    j, odd, lines = i + 1, False, 0
    while True:
        while j < end and buffer[j] != QUOTE:
            if buffer[j] == LF or (buffer[j] == CR and not (j + 1 < end and buffer[j + 1] == LF)):
                lines += 1
            j += 1
        if j >= end:
            return end, end if last else -1, True, lines
        if j + 1 >= end and not last:
            return end, -1, True, lines
        if j + 1 < end and buffer[j + 1] == QUOTE:
            odd = True
            j += 2
            continue
        break
    stop = j
    j += 1
    while j < end and not _ends_cell(buffer[j]):
        odd = True
        j += 1
    return stop, j, odd, lines


@kernel
def cut(buffer, begin, end, last, columns, wanted, line, starts, ends, records, lines, states):
    """Cut records, until so many are found as there is room for, or the bytes end. Blank lines are none.

    buffer: uint8[...], of which begin to end are read; last: whether the file ends there; columns: cells that a record
    should have; wanted: int64[columns], place of each cell in starts and ends, or -1; line: of the last line before.
    Written, one row a record: starts, ends: int32[n, W], bytes of each wanted cell; records: int32[n, 3], where it
    begins, where it ends and where the end of its line does; lines: int64[n], the line it ends on; states: uint8[n],
    FINE, ODD or WRONG.
    Returns how many records there are, where the first one begins that is not whole or found no room, and the line
    before it.
    """
    row, i, done = 0, begin, begin
    while row < len(states) and i < end:
        start, column, odd, within, whole = i, 0, False, 0, False
        while True:
            if i < end and buffer[i] == QUOTE:
                first = i + 1
                stop, i, strange, more = _quoted(buffer, i, end, last)
                odd |= strange
                within += more
                if i < 0:
                    break
            else:
                first = i
                while i < end and not _ends_cell(buffer[i]):
                    i += 1
                stop = i
            if column < columns and wanted[column] >= 0:
                starts[row, wanted[column]], ends[row, wanted[column]] = first, stop
            column += 1
            if i >= end:
                whole = last
                records[row, 1] = end
                break
            if buffer[i] == COMMA:
                i += 1
                continue
            records[row, 1] = i
            if buffer[i] == CR:
                if i + 1 >= end and not last:
                    break
                if i + 1 < end and buffer[i + 1] == LF:
                    i += 1
            i += 1
            whole = True
            break
        if not whole:
            break
        done = i
        line += 1 + within
        if records[row, 1] > start:
            records[row, 0], records[row, 2] = start, i
            lines[row] = line
            states[row] = ODD if odd else FINE if column == columns else WRONG
            row += 1
    return row, done, line


@kernel
def longest(starts, ends):
    """The most bytes that a cell has."""
    most = 0
    for i in range(starts.shape[0]):
        for c in range(starts.shape[1]):
            most = max(most, ends[i, c] - starts[i, c])
    return np.int64(most)
