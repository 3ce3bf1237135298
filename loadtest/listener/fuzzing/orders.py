"""Which of several wrong columns of a TF Serving request is named: maps come in an order that each process has drawn.

Protocol buffers give the entries of a map in the order of a hash table, whose seed is another one in every process. A
refusal names the first wrong column, so two gateways may name two. What is named has to be wrong all the same.
"""

import re
from itertools import product

from google.protobuf.message import DecodeError

from loadtest.listener.fuzzing.requests import Method
from loadtest.listener.fuzzing.sides import Answer, Handled
from serving.protocols.by_id import ENTITY_ID
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

INVALID = 3
_OTHER_ROWS = re.compile(r": got \d+ rows, expected \d+, as in the other columns$")


async def names_another(handled: Handled, method: Method, body: bytes, expected: Answer, got: Answer) -> bool:
    """Whether both answers refuse the same body, `got` for a column that is wrong as well."""
    if "tensorflow" not in method.service or not expected.status == got.status == INVALID:
        return False
    try:
        request = serving.PredictRequest.FromString(body)
    except DecodeError:
        return False
    if _OTHER_ROWS.search(got.said):
        return True
    names = sorted(request.inputs)
    ids = {ENTITY_ID} & set(names)  # without them it would be another kind of question
    for named in (name for name in names if got.said.startswith(f"{name}: ")):
        for beside, more in product((named, *names), (set[str](), ids)):
            smaller = serving.PredictRequest(model_spec=request.model_spec)
            for name in {named, beside} | more:
                smaller.inputs[name].CopyFrom(request.inputs[name])
            (answer,) = await handled.answers(method, [smaller.SerializeToString()])
            if answer == got:
                return True
    return False
