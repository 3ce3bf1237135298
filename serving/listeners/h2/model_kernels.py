"""A served version, and what it answers, as the compiled path sees them: words, and addresses of arrays.

`table.py` makes them. A model is int64[MODEL]; its texts are uint8 at addresses. An answer to n rows is

- outputs: int32[n, W], the graph's outputs of a row one after the other, floats by their bits;
- margin: float32[n], of a model that decides;
- coverage: float32[n] and marks: uint8[n, inputs] (`row_kernels`), of raw rows. `low` rows are below the contract's
  coverage, `marked` inputs bear a mark; both 0: there is no warning.
"""

NAME, NAME_SIZE, VERSION, VERSION_TEXT, VERSION_TEXT_SIZE = range(5)
SERIAL = 5
"""Another one for every version that was ever served by this process."""
HOW = 6
"""LEFT: every call goes to Python. FEATURED: rows are featured here and answered in Python, many calls at a time.
FOREST: all is done here."""
LEFT, FEATURED, FOREST = 0, 1, 2
INPUTS, SINGLE, HISTORIES, MONTHS = 7, 8, 9, 10
"""Counts: the contract's inputs; those that are no histories; those that are; months of a history."""
FEATURES, WINDOW = 11, 12
"""Values of a row that the program makes: F; months times columns of the window."""
ORDER, FACTS, LEAST_COVERAGE = 13, 14, 15
"""As `row_kernels.inspect_rows` takes them: int64[SINGLE + HISTORIES], float64[7, inputs], the bits of a float64."""
PROGRAM, PROGRAM_SIZE, TREES, TREES_SIZE, TARGETS = 16, 17, 18, 19, 20
"""The feature program, int64[]; the forest, int32[], and how many scores it has."""
WIDTH, SCORES, LABEL = 21, 22, 23
"""W; where in a row's outputs the forest's scores and its label stand, -1 for nowhere."""
DECIDES, DECIDING, DECIDED, THRESHOLD = 24, 25, 26, 27
"""NOTHING, CLASSES or A_THRESHOLD; where in a row's outputs the probabilities begin and how many they are; the bits of
the threshold, float32."""
NOTHING, CLASSES, A_THRESHOLD = 0, 1, 2
NAMES, NAMES_MASK = 28, 29
"""Of what a caller may send: hash table int64[NAMES_MASK + 1, rows_kernels.NAME]: first and last eight bytes, size (-1
in a free place), number of the input below, address."""
SENT, SENT_COUNT = 30, 31
"""int64[SENT_COUNT, CATEGORIES]: kind (below), place, hash table of a category's names in the form above with the code
as number, its mask, the code of an unknown name."""
A_NUMBER, A_CATEGORY, A_TEXT, A_DATE, A_HISTORY, ALL_HISTORIES, LENGTHS, READY_FEATURES, READY_WINDOW, ELSE = range(10)
IDS = 10
"""Kinds of what may be sent; ELSE is left to Python. IDS: of entities whose facts are stored."""
UNKNOWN_CODE = 3
CATEGORIES = 6
"""Words of `SENT`'s rows: kind, place, hash table, mask, the code of an unknown category, nothing."""
SENT_NAMES = 46
"""int64[SENT_COUNT, 2]: address and size of the name of each."""
READY_COUNT, ALL_HISTORIES_NUMBER = 47, 48
"""How many tensors the graph reads; the number in SENT of all histories as one tensor, of what is never sent without
histories."""
MISSING_ALLOWED = 32
"""Bits: 1 the features, 2 the window may have NaN when they are sent ready."""
OUTPUTS, OUTPUT_COUNT = 33, 34
"""What the protocols of tensors answer, in the order of `answers`: int64[OUTPUT_COUNT, OUTPUT]."""
OUTPUT_NAME, OUTPUT_NAME_SIZE, OUTPUT_KIND, OUTPUT_AT, OUTPUT_COLUMNS = range(5)
"""Of an output: its name; what it is (below); where it stands in a row's outputs (of CLASS_NAME: its label); how many
values a row has, 0 for one value and a shape of [n]."""
FLOATS, INTS, CLASS_NAME, MARGIN, COVERAGE, WARNINGS = range(6)
OUTPUT = 8
CLASS_NAMES, CLASS_COUNT = 35, 36
"""int64[CLASS_COUNT, 2]: address and size of each class's name."""
WARNED = 37
"""Texts of warnings as the protocols of tensors write them: int64[1 + 4 * INPUTS, 2], address and size: first
low_coverage, then for each input in the contract's order its four states (missing, unknown, out of range, stale)."""
COLUMN_NAMES = 38
"""int64[INPUTS, 2]: address and size of each input's name."""
SORTED = 39
"""int64[OUTPUT_COUNT]: numbers of the outputs in the order of their names, as maps of protobuf are written."""
PARTS, PART_COUNT = 40, 41
"""What epm.v1 answers, in the contract's order: int64[PART_COUNT, PART]."""
PART_NAME, PART_NAME_SIZE, PART_KIND, PART_AT, PART_VALUES, PART_LABEL, PART_TEXTS, PART_TEXTS_SIZE, PART_THRESHOLD = (
    range(9)
)
"""Of an output: its name; what it is (below); where its values stand in a row's outputs, and how many they are; where
its label does, -1 for none; the names of classes, or of a vector's values, as encoded fields 1 one after the other;
the bits of its threshold, float32."""
PART_CLASSES, PART_PROBABILITY, PART_SCALAR, PART_VECTOR = range(4)
PART = 12
ROOM, ROOM_OF_A_ROW = 42, 43
"""Bytes that an answer takes at most, beside what is copied from the request: of every answer, and of a row."""
COUNTS, COUNTS_OF_A_LOOP = 44, 45
"""Where loops count: the address of the first one's int64[], and how many words each has (`count_kernels`)."""
ENTITY, ENTITY_SIZE = 49, 50
"""The kind of entity whose ids it takes, and a byte of 0; size 0 where there is no store."""
IDS_NUMBER = 51
"""The number of IDS in SENT, -1 for none: there is no store, or an input has that name."""
READER_NAMES, READER_NAMES_SIZE, READER_INPUTS, READER_HISTORIES, READER_CATEGORIES, READER_CATEGORY_COUNT = range(
    52, 58
)
"""As `reader_kernels.read_records` takes them: uint8[], int64[SINGLE, 7], int64[HISTORIES, 4], int64[count, 3]."""
MAX_AGE, STALE_IS_ERROR = 58, 59
"""float64[INPUTS], milliseconds; bool[INPUTS]."""
KEPT_SLOTS, KEPT_COUNT, KEPT_WORDS, KEPT_CLOCK, KEPT_K0, KEPT_K1 = range(60, 66)
"""Predictions that are kept (`cache_kernels`): int64[KEPT_COUNT, KEPT_WORDS], address 0 for none; int64[8]; the bits of
the key under which rows are hashed."""
WINDOW_FIRST = 66
"""Whether the graph reads the window first, then the features."""
MODEL = 72
