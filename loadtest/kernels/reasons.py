"""What the figures do not say by themselves: why a kernel is not at the machine's limit, and why another is quicker."""

NO_ALTERNATIVE = ("protobuf alone", "dict (without a bound)")
"""Ways that do less: a part of ours, and a cache that never forgets."""

LIMITS = {
    "features": (
        "arithmetic. A feature costs a few steps, each of which reads and writes a block of values in the first-level "
        "cache; histories are read a dozen times. At 1 row it is the call itself, about a microsecond."
    ),
    "forest": (
        "steps that wait for each other: of every tree one comparison a level, whose outcome says where the next one "
        "is. In batches many rows take them side by side; then it is reading nodes from the caches, which is why the "
        "share may come near that of a copy from memory, or above it."
    ),
    "cache": (
        "SipHash over the bytes of the row, and for a slot that is not in the caches the wait for it, although it is "
        "fetched ahead. At 1 row it is the call: arrays for keys, places and values."
    ),
    "decode": (
        "Python objects: a column is a handful of attribute reads and one array, at 20 columns and more a call. Bytes "
        "hardly matter, and protobuf itself is the smaller part."
    ),
    "encode": "Python objects, as above: seven outputs, each a message, its shape, its bytes.",
}

LOST = {
    "features": (
        "A function written for one program has its constants in the code and does not read the program; at 1 row, "
        "where a call costs more than the work, that shows. It has to be written and compiled for every model version."
    ),
    "forest": "onnxruntime or xgboost were quicker there; nothing explains it away.",
    "cache": (
        "A dict hashes the row once with no secret and keeps a pointer; a call of the table makes four arrays first, "
        "which pays from some tens of rows on. What it is for besides speed: bounded bytes, ends of lives, no personal "
        "data in its keys, no Python object an entry."
    ),
    "decode": (
        "The plain decoder believes whatever comes. The gateway looks at types, shapes, sizes and numbers of rows "
        "before it makes anything of them, takes every type that the protocols know, and names the field that is "
        "wrong; it also finds the model, its version and its signature."
    ),
    "encode": (
        "The gateway makes names of grades, and warnings by row, in its time, picks the outputs that were asked for, "
        "and in KServe v2 answers as raw or as typed contents; the plain encoder is given all that."
    ),
}
