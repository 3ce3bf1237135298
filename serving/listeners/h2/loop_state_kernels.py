"""What a loop has: one int64[LOOP] whose words are numbers and addresses; connections and streams are rows of others.

A loop's memory belongs to its thread. Another thread reads counters, and writes only what stands below "shared".
"""

from serving.jit import general_inlined
from serving.listeners.h2.memory_kernels import words

EPOLL, LISTENER, WAKE, CALLBACKS, OPTIONS = range(5)
"""Descriptors: epoll, the listening socket (-1 when it is closed), an eventfd by which Python wakes the loop; addresses
of nghttp2's callbacks and options."""
CONNECTIONS, CONNECTION_COUNT, FREE_CONNECTIONS, FREE_CONNECTION_COUNT = 5, 6, 7, 8
STREAMS, STREAM_COUNT, FREE_STREAMS, FREE_STREAM_COUNT = 9, 10, 11, 12
"""Addresses of the tables (int64[count, CONNECTION] and int64[count, STREAM]), how many rows; stacks of free rows."""
BUFFER, BUFFER_SIZE, SENDING, SENDING_SIZE = 13, 14, 15, 16
"""What is read from sockets, and what is gathered for one `send`: uint8[]."""
EVENTS, EVENT_COUNT = 17, 18
"""epoll's events, 12 bytes each."""
SMALL = 19
"""Address of int64[64]: out-parameters of libraries, one-off structures."""
MEMORY, MEMORY_LIMIT = 20, 21
"""Bytes of messages, requests and answers, that streams and connections hold; and how many they may."""
READY, READY_COUNT = 22, 23
"""int64[STREAM_COUNT]: streams that have something to be done, and how many."""
DIRTY, DIRTY_COUNT = 24, 25
"""int64[CONNECTION_COUNT]: connections that may have something to send."""
NOW = 26
"""Nanoseconds, as they were when the loop woke up last."""
METHODS, METHOD_COUNT = 27, 28
"""int64[METHOD_COUNT, METHOD]: see `METHOD_PATH`."""
HEADERS_OK, TRAILERS_OK, HEADERS_REFUSED = 29, 30, 62
"""nghttp2_nv: [2] of every answer, [1] of every answer that is OK, [1] of what is no gRPC."""
PROVIDER = 31
"""nghttp2_data_provider."""
SETTINGS, SETTINGS_COUNT = 32, 33
MAX_MESSAGE, MAX_HEADERS, WINDOW, MESSAGES = 34, 35, 36, 37
"""Limits: bytes of a message, of headers, of a stream's unread bytes; unanswered messages of a stream."""
IDLE, SLOW, PING_AFTER, AGE, DRAIN_UNTIL = 38, 39, 40, 41, 42
"""Nanoseconds: after which an idle connection, and one that does not go on with what it began, is closed; after which
a connection with calls is asked whether it lives; after which it takes no more calls (0: never). When draining ends."""
TO_PYTHON, FROM_PYTHON, NOTIFY = 43, 44, 45
"""Addresses of the two rings (`ring_kernels`); the eventfd by which Python is woken."""
SELF = 65
"""The address of these words."""
TO_NOTIFY = 64
"""Whether it is to be woken when this turn is over."""
SCRATCH, SCRATCH_SIZE = 46, 47
NUMBER = 48
"""Which loop this is, from 0."""
COUNTED = 49
"""Address of int64[]: see `count_kernels`."""
SWEPT = 50
"""When connections were looked at last."""
DRAINING = 51
NOTICED, LEAVING = 1, 2
"""0, or what of draining is done: clients were told that they should call elsewhere; all have heard, and nothing new
comes."""
TABLE_ADDRESS = 52
"""Address of the shared words, see `SHARED_TABLE`."""
TABLE, EPOCH = 53, 54
"""The models as this turn of the loop sees them."""
SEEN, STOP = 56, 57
"""Shared: the epoch that the loop is known to have reached; 1: drain, 2: end at once."""
HAND_ALL = 58
"""Whether every call goes to Python: a mode for tests and for who does not trust the compiled path."""
MOST_ROWS = 59
"""Rows of a call that is computed here; larger ones go to Python's threads."""
NEXT_GENERATION = 60
METRICS = 61
"""Whether calls are timed."""
SAID = 63
"""int64[SENTENCES, 2]: address and bytes of the trailers of the loop's own errors."""
UNKNOWN_METHOD, NO_ROOM, TOO_LONG_HEADERS, NOT_ONE_MESSAGE, SHUTTING_DOWN, TOO_LARGE_IN_STREAM, SENTENCES = range(7)
PREPARE, FEATURE, COMPUTE, WRITE = 67, 68, 69, 70
"""Addresses of the steps of a prediction (`predict_kernels`)."""
STORED, KEPT = 71, 72
"""More steps: rows by id, and predictions that are kept."""
STORE = 73
"""Address of the online store's replica (`stored_kernels`), 0 for none."""
STUCK_AT = 74
"""How far Python had read the ring to it when a stream last found no room there; -1: never."""
LOOP = 80

SHARED_TABLE, SHARED_EPOCH = 0, 1
"""Of the words that all loops read: the address of the table of models; it is another one when this number is."""

FD, SESSION, OPENED, LAST, CALLS = range(5)
"""Of a connection: socket (-1: the row is free) and session; when it was opened, and when it last sent anything; its
streams."""
PENDING, PENDING_ROOM, PENDING_BYTES, PENDING_SENT, WRITING = 5, 6, 7, 8, 9
"""Bytes that the socket did not take yet: address, room, how many, how many of them it has taken since; whether epoll
tells when it takes more."""
IS_DIRTY, CLOSING, NOTICED_AT, PINGED = 10, 11, 12, 13
"""Whether it stands among DIRTY; CLOSING: 1: it should take its calls elsewhere, 2: it takes no more of them; when it
was told so, `HEARD` when it has heard, 0 when that is done; when it was asked for a sign of life, 0 when it gave
one."""
HEARD = 1
RESETS, RESETS_SINCE, HEADER_BYTES, CONTINUED, STALLED, OWNER = 14, 15, 16, 17, 18, 19
"""Streams that the client reset, and since when they are counted; bytes of headers of the block being read; its
CONTINUATION frames; since when it takes nothing (0: it does); address of the loop."""
EMPTY_FRAMES, WIRE_GENERATION, GREETED, LEFT, AFTERWARDS = 20, 21, 22, 23, 24
"""DATA frames without data, in a row; which connection of this row it is; whether any frame has come; when it was told
everything, and only its client has to close it (0: not yet): it has no session then; bytes that came since."""
CONNECTION = 26

STATE, CONNECTION_OF, ID, GENERATION, METHOD_OF = range(5)
FREE, OPEN, CLOSED = range(3)
"""Of a stream: FREE, OPEN, CLOSED (the answer is complete, it waits for its last bytes to leave)."""
DEADLINE, BEGAN = 5, 6
"""Nanoseconds as NOW counts; 0: none."""
BODY, BODY_ROOM, BODY_SIZE, BODY_READ = 7, 8, 9, 10
"""What came and is not done with: address, room, bytes, of which so many are done."""
ANSWER, ANSWER_ROOM, ANSWER_SIZE, ANSWER_SENT = 11, 12, 13, 14
ENDED, ANSWERING, IS_READY, WAITING = 15, 16, 17, 18
"""Whether the client has sent everything; whether the headers of the answer are on their way; whether it stands among
READY; messages that Python has and has not answered."""
FINISHED, DEFERRED_DATA = 19, 20
"""Whether nothing more is answered; whether nghttp2 has to be told when there is something to send."""
TRAILERS, TRAILERS_ROOM, TRAILERS_SIZE = 21, 22, 23
"""The trailers (`ring_kernels`): address, room, bytes; 0: OK and nothing else."""
METADATA, METADATA_ROOM, METADATA_SIZE = 24, 25, 26
"""Headers for Python, in the same form."""
COMPRESSION, PRIORITY, HEADERS_SEEN, TOLD = 27, 28, 29, 30
"""What the client says of compressed messages: 0 nothing, 1 gzip, 2 deflate, 3 what we do not know; what it says of
its priority; bits of headers that came; whether Python knows of this stream."""
UNSAID, PLAINLY_SAID, OTHERWISE, SAID_LOW = range(4)
CONSUMED, END_TOLD, ASKED = 31, 32, 33
"""Bytes of the body that were given back to the flow control; whether Python knows that the client has sent
everything; serial number of the model whose outputs are awaited, 0: none, WHOLE: the call goes to Python as a whole."""
WHOLE = -1
LAPS = 34
"""int64[4]: when the stages of a featured call ended (`count_kernels`)."""
STORE_TOOK = 38
"""How long it took to find what is stored, of a featured call by id."""
MOVED = 39
"""When the client last sent or took anything of it, as NOW counts."""
ROWS_HASH = 40
"""Of the rows of a featured call by id: what is stored may have changed when Python answers."""
WAITS = 41
"""Whether it waits for room in the ring to Python."""
STREAM = 42

METHOD_PATH, METHOD_PATH_SIZE, METHOD_HASH, METHOD_KIND, METHOD_CODEC = range(5)
"""Of a method: its path; how it is called; which reader and writer it has."""
UNARY, STREAMING, CLIENT_STREAM, SERVER_STREAM = range(4)
"""How a method is called. STREAMING: one answer to each message."""
NO_CODEC, KSERVE, TF_SERVING, EPM = range(4)
METHOD = 8


@general_inlined
def connection_at(loop, number):
    """The row of a connection."""
    return words(loop[CONNECTIONS] + number * CONNECTION * 8, CONNECTION)


@general_inlined
def stream_at(loop, number):
    """The row of a stream."""
    return words(loop[STREAMS] + number * STREAM * 8, STREAM)
