"""A request for a prediction, as any protocol's reader leaves it: places in the message, nothing copied.

request: int64[REQUEST]. columns: int64[MOST_COLUMNS, COLUMN]. wanted: int64[MOST_WANTED, 2], place and size of the
names of outputs that are asked for. Readers return READ, or LEAVE: the message is not of the common form, or it is
wrong, and the Python path shall read it.
"""

READ, LEAVE = 0, 1

MODEL, MODEL_SIZE = 0, 1
CHOICE, VERSION, LABEL, LABEL_SIZE = 2, 3, 4, 5
"""How the version is chosen: NEWEST, BY_VERSION, BY_LABEL."""
NEWEST, BY_VERSION, BY_LABEL = 0, 1, 2
ID, ID_SIZE = 6, 7
SIGNATURE, SIGNATURE_SIZE = 8, 9
COLUMNS, WANTED, TYPED = 10, 11, 12
"""How many columns and wanted outputs there are; whether a KServe request has typed contents."""
ENTITIES, KIND, KIND_SIZE = 13, 14, 15
"""Whether the first column, which has no name, holds ids; and of what kind of entity."""
REQUEST = 16
BY_ID_SIGNATURE = 5
"""Bytes of the name of TF Serving's signature that takes ids; the other ones are shorter or longer."""

MOST_COLUMNS, MOST_WANTED = 512, 64

NAME, NAME_SIZE, TYPE, FORM, DIMENSIONS, ROWS, SECOND, THIRD, AT, SIZE, FIELD, VALID, VALID_SIZE = range(13)
"""Of a column: its name; what its cells are (F32 to TEXT); how they stand in the message (below); how many sizes its
shape has, and the sizes, as far as there are; where the bytes of its cells, or the message that holds them, begin, and
how many they are; the field of the cells in that message; where the bitmap of given cells begins, and its bytes (0:
all are given)."""
COLUMN = 16

F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, BOOL, TEXT = range(12)

PLAIN, FIELDS, PREFIXED = 0, 1, 2
"""PLAIN: numbers one after the other, little-endian, as wide as their type. FIELDS: values of field FIELD of the
message, packed or not, as protobuf writes their type; texts as well. PREFIXED: texts, each behind its length of four
bytes, little-endian."""
