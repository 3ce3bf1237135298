"""All that is served, as one address: the models, how they are asked for, and the memory to compute in.

A table is int64[TABLE]. It never changes: another one takes its place.
"""

from serving.jit import general, general_inlined
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2.memory_kernels import octets, same, words
from serving.shared_kernels import release

MODELS, MODEL_COUNT = 0, 1
"""int64[MODEL_COUNT], addresses of models."""
ASKED, ASKED_COUNT = 2, 3
"""int64[ASKED_COUNT, QUESTION]: how models may be asked for."""
QUESTION_NAME, QUESTION_NAME_SIZE, QUESTION_CHOICE, QUESTION_VERSION, QUESTION_LABEL, QUESTION_LABEL_SIZE = range(6)
QUESTION_MODEL = 6
"""Name, how the version is chosen, the version or the label; the address of the model."""
QUESTION = 8
SCRATCH, SCRATCH_SIZE, MOST_ROWS = 4, 5, 6
"""The first loop's memory, bytes of each; rows of a call at most. Below: where in it arrays begin, n being MOST_ROWS,
and every other length the largest of any model."""
REQUEST, COLUMNS, WANTED, CHOSEN, HINTS, TAKEN = 8, 9, 10, 11, 12, 13
"""int64[REQUEST], int64[MOST_COLUMNS, COLUMN], int64[MOST_WANTED, 2], int64[MOST_WANTED]; int64[MOST_COLUMNS]: at each
place of a request the input that stood there last time; uint8[inputs]: whether it came."""
VALUES, HISTORY, MONTHLY, FEATURES, WINDOW = 14, 15, 16, 17, 18
"""float64[n, C], [n, K, T], [n * T * K], float32[n, F], [n, T, W]."""
SCORES, LABEL, OUTPUTS, MARGIN, COVERAGE, MARKS, WRONG, WHERE = 19, 20, 21, 22, 23, 24, 25, 26
"""float32[n, C], int32[n], int32[n, W], float32[n], float32[n], uint8[n, inputs], uint8[n], int64[n, 2]."""
ANSWER, ANSWER_SIZE, TIMES = 27, 28, 29
"""uint8[ANSWER_SIZE]; int64[8]."""
FOUND = 30
"""int64[FOUND_WORDS]: rows; whether they are ready tensors; how many outputs are wanted; rows below the contract's
coverage, and inputs that bear a mark; whether they were asked for by id, and then the
generation of what was kept before their facts were read."""
ROWS, READY, WANTED_COUNT, LOW, MARKED, BY_ID, SINCE = range(7)
FOUND_WORDS = 8
KEYS, RECORDS, PLACES, STATE, AS_OF, READ, READ_WHERE, REPLACED, OLDEST, TEXT = range(31, 41)
"""Of ids: int64[n, 2], int64[RECORD_WORDS], int64[2, n], uint8[n], int64[n, inputs], uint8[n], int32[n], bool[inputs],
int64[inputs], uint8[MOST_TEXT]."""
RECORD_WORDS, MOST_TEXT = 1 << 17, 1024
"""Records of one call; a kind of entity and an id. What has more goes to Python."""
ROW = 41
"""uint8[]: the bytes of one row, as they are hashed."""
TABLE = 48


@general_inlined
def place(loop, table, what):
    """The address of one of the arrays above in this loop's memory."""
    return table[SCRATCH] + loop[at.NUMBER] * table[SCRATCH_SIZE] + table[what]


@general
def find_model(table, data, request):
    """The address of the model that is asked for; 0 where there is none of that name and version."""
    name, size, choice = request[to.MODEL], request[to.MODEL_SIZE], request[to.CHOICE]
    for number in range(table[ASKED_COUNT]):
        question = words(table[ASKED] + number * QUESTION * 8, QUESTION)
        if question[QUESTION_CHOICE] != choice or question[QUESTION_NAME_SIZE] != size:
            continue
        if choice == to.BY_VERSION and question[QUESTION_VERSION] != request[to.VERSION]:
            continue
        if choice == to.BY_LABEL:
            label, long = request[to.LABEL], question[QUESTION_LABEL_SIZE]
            if long != request[to.LABEL_SIZE]:
                continue
            if not same(octets(question[QUESTION_LABEL], long), 0, data, label, long):
                continue
        if same(octets(question[QUESTION_NAME], size), 0, data, name, size):
            return question[QUESTION_MODEL]
    return 0


@general
def model_of(table, serial):
    """The address of the model of this serial number; 0 where it is served no more."""
    models = words(table[MODELS], table[MODEL_COUNT])
    for number in range(table[MODEL_COUNT]):
        if words(models[number], of.MODEL)[of.SERIAL] == serial:
            return models[number]
    return 0


@general
def show_table(shared, table, epoch):
    """Have loops see a table: first the table, then its epoch, in this order on every processor.

    shared: address of the words that all loops read (`loop_state_kernels.SHARED_TABLE`).
    """
    release(shared + 8 * at.SHARED_TABLE, table)
    release(shared + 8 * at.SHARED_EPOCH, epoch)
