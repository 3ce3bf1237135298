"""Imports of libraries that talk."""

import os
from typing import Any


def tensorflow() -> Any:
    """TensorFlow, without what its libraries write to standard error before its logging can be told not to."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return tensorflow
