"""Calls that carry the marks, through every protocol: answered, refused, malformed, too large, to nowhere."""

import http.client
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np

from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs
from tests.faults.protocols import PROTOCOLS, Ask, Rest
from tests.integration.commands import epm
from tests.support.gateways import Running
from tests.support.marks import DEPARTMENT, PERSON, SALARY, TOKEN, TOO_MUCH, WRONG_TOKEN

TF, V2, EPM = "/tensorflow.serving.PredictionService", "/inference.GRPCInferenceService", "/epm.v1.PredictionService"
FACTS = "/epm.v1.FeatureService"
AS_OF = 1_774_000_000
HEADERS = (("x-person", PERSON), ("x-salary-bin", np.float64(SALARY).tobytes()), ("user-agent-of", DEPARTMENT))

Call = tuple[str, bytes, tuple[tuple[str, str | bytes], ...]]
"""Path of the method, message, metadata."""


def questions() -> Iterator[Ask]:
    """What every protocol is asked: right, and wrong in each way that quotes something."""
    hours, cells, texts = np.array([40.0, 41.0]), np.array([SALARY, SALARY / 2]), [DEPARTMENT, PERSON]
    right = [("hours", hours), ("overtime", cells), ("department", texts)]
    yield Ask(right)
    yield Ask(right, version=1)
    yield Ask([*right[1:]])
    yield Ask([*right, (PERSON, cells)])
    yield Ask([*right, ("quality", texts)])
    yield Ask([("hours", hours), ("department", cells)])
    yield Ask([("hours", hours), ("overtime", np.array([TOO_MUCH, SALARY]))])
    yield Ask([("hours", hours), ("department", [*texts, DEPARTMENT])])
    yield Ask(right, model=PERSON)
    yield Ask([("features", np.full((2, 8), SALARY, np.float32))])
    yield Ask([("features", np.full((2, 3), SALARY, np.float32))])
    yield Ask([("hours", hours), ("features", np.full((2, 8), SALARY, np.float32))])
    yield Ask([("entity_id", [PERSON])])
    yield Ask([("entity_id", [PERSON, DEPARTMENT])])
    yield Ask([("entity_id", [PERSON]), ("overtime", np.array([SALARY]))])
    yield Ask([("entity_id", np.array([SALARY]))])
    yield Ask([("hours", np.zeros(5000)), ("department", [PERSON] * 5000)])
    yield Ask([("hours", hours), ("department", [PERSON * 4000, DEPARTMENT])])


def calls(at: Running) -> Iterator[Call]:
    """Messages for the gRPC port, whole and damaged."""
    facts = [("authorization", f"Bearer {TOKEN}")]
    for name in ("tf_serving", "kserve", "epm"):
        made = PROTOCOLS[name]
        for question in questions():
            body = made.encode(None, question)  # type: ignore[arg-type]  # it uses nothing of the connection
            yield made.method, body, ()  # type: ignore[union-attr]
            yield made.method, body[: len(body) * 2 // 3], HEADERS  # type: ignore[union-attr]
        yield made.method, PERSON.encode() + DEPARTMENT.encode(), ()  # type: ignore[union-attr]
        yield made.method, b"", (("epm-priority", PERSON),)  # type: ignore[union-attr]
    for label in (PERSON, ""):
        yield f"{TF}/Predict", PROTOCOLS["tf_serving"].encode(None, Ask([], label=label)), ()  # type: ignore[arg-type]
        status = tfs.GetModelStatusRequest(model_spec=tfs.ModelSpec(name=label or "small"))
        yield "/tensorflow.serving.ModelService/GetModelStatus", status.SerializeToString(), ()
        spec = tfs.GetModelMetadataRequest(model_spec=tfs.ModelSpec(name="small"), metadata_field=[label or "x"])
        yield f"{TF}/GetModelMetadata", spec.SerializeToString(), ()
    for method, request, model in (
        ("Classify", tfs.ClassificationRequest(), "small"),
        ("Regress", tfs.RegressionRequest(), "numbers"),
        ("Classify", tfs.ClassificationRequest(), PERSON),
        ("Regress", tfs.RegressionRequest(), "small"),
    ):
        request.model_spec.name = model
        for row in range(2):
            fields = request.input.example_list.examples.add().features.feature
            fields["hours"].float_list.value.append(40)
            fields["overtime"].float_list.value.append(SALARY / (1 + row))
            fields["department"].bytes_list.value.append(DEPARTMENT.encode())
        yield f"{TF}/{method}", request.SerializeToString(), ()
        request.input.example_list.examples[1].features.feature[PERSON].bytes_list.value.append(PERSON.encode())
        request.input.example_list.examples[0].features.feature["hours"].bytes_list.value.append(PERSON.encode())
        yield f"{TF}/{method}", request.SerializeToString(), HEADERS
        by_id = type(request)()
        by_id.model_spec.name, by_id.model_spec.signature_name = model, "by_id"
        by_id.input.example_list.examples.add().features.feature["entity_id"].bytes_list.value.append(PERSON.encode())
        yield f"{TF}/{method}", by_id.SerializeToString(), ()
    yield f"{V2}/ModelInfer", _raw(), ()
    yield f"{V2}/ModelInfer", _raw(datatype=DEPARTMENT, request_id=PERSON), ()
    yield f"{V2}/ModelInfer", _raw(version=PERSON), ()
    for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryModelLoad"):
        yield f"{V2}/{method}", v2.ModelMetadataRequest(name=PERSON).SerializeToString(), HEADERS
    for request_id in (PERSON, f"{SALARY}"):
        for ids in ([PERSON], ["", PERSON], [PERSON] * 5000):
            request = v1.PredictRequest(request_id=request_id, model=v1.ModelRef(name="small"))
            request.entities.entity_type, request.entities.ids[:] = "employee", ids
            yield f"{EPM}/Predict", request.SerializeToString(), ()
            request.entities.entity_type = DEPARTMENT
            yield f"{EPM}/Predict", request.SerializeToString(), HEADERS
    for metadata in (facts, [("authorization", f"Bearer {WRONG_TOKEN}")], [("authorization", TOKEN)], []):
        how = (*metadata, *HEADERS)
        for name, value in (("overtime", SALARY), ("department", DEPARTMENT), (PERSON, PERSON), ("overtime", PERSON)):
            yield f"{FACTS}/PutFacts", put(name, value), how
        yield f"{FACTS}/PutFacts", put("overtime", float("inf"), source=PERSON * 100), how
        yield f"{FACTS}/PutFacts", put("overtime", SALARY)[:-9] + PERSON.encode(), how
        for entity in (PERSON, DEPARTMENT):
            about = f1.GetFactsRequest(entity_type="employee", entity_id=entity).SerializeToString()
            yield f"{FACTS}/GetFacts", about, how
    yield f"/{PERSON}/{DEPARTMENT}", PERSON.encode(), HEADERS
    yield f"{EPM}/{PERSON}", PERSON.encode(), HEADERS
    yield f"{EPM}/Predict", PERSON.encode() * 400_000, HEADERS


def streams(at: Running) -> Iterator[Call]:
    """Several messages each: of predictions, of events."""
    bodies = [PROTOCOLS["epm"].encode(None, question) for question in questions()]  # type: ignore[arg-type]
    for metadata in ((), HEADERS):
        yield f"{EPM}/StreamPredict", b"", metadata
        for body in (*bodies, PERSON.encode()):
            yield f"{EPM}/StreamPredict", body, metadata
    events = [put("overtime", SALARY), put(PERSON, PERSON * 5000), PERSON.encode(), put("department", DEPARTMENT)]
    for metadata in ((("authorization", f"Bearer {TOKEN}"),), (("authorization", WRONG_TOKEN),)):
        for body in events:
            yield f"{FACTS}/StreamFacts", body, metadata


def put(name: str, value: float | str, source: str = "hr") -> bytes:
    """PutFactsRequest: one fact of the person."""
    event = f1.FactsEvent(entity_type="employee", entity_id=PERSON, source=source)
    event.as_of.seconds = AS_OF
    event.facts.add(name=name, **({"text": value} if isinstance(value, str) else {"number": value}))
    return f1.PutFactsRequest(events=[event]).SerializeToString()


def erase() -> bytes:
    """DeleteEntityRequest of the person."""
    return f1.DeleteEntityRequest(entity_type="employee", entity_id=PERSON).SerializeToString()


def _raw(datatype: str = "FP64", request_id: str = "7", version: str = "") -> bytes:
    """ModelInferRequest with raw contents."""
    request = v2.ModelInferRequest(model_name="small", id=request_id, model_version=version)
    department = DEPARTMENT.encode()
    for name, kind, content in (
        ("hours", datatype, np.array([40.0]).tobytes()),
        ("overtime", "FP64", np.array([SALARY]).tobytes()),
        ("department", "BYTES", len(department).to_bytes(4, "little") + department),
    ):
        request.inputs.add(name=name, datatype=kind, shape=[1])
        request.raw_input_contents.append(content)
    return request.SerializeToString()


def over_grpc(at: Running, seconds: float = 20) -> Counter[str]:
    """All of them; the statuses."""
    statuses: Counter[str] = Counter()
    with grpc.insecure_channel(at.grpc) as channel:
        for path, body, metadata in calls(at):
            statuses[
                _status(lambda p=path, b=body, m=metadata: channel.unary_unary(p)(b, timeout=seconds, metadata=m))
            ] += 1
        for path, body, metadata in streams(at):
            messages = [body, body]
            if path.endswith("StreamFacts"):
                how = channel.stream_unary(path)
                statuses[_status(lambda h=how, s=messages, m=metadata: h(iter(s), timeout=seconds, metadata=m))] += 1
            else:
                how = channel.stream_stream(path)
                statuses[
                    _status(lambda h=how, s=messages, m=metadata: list(h(iter(s), timeout=seconds, metadata=m)))
                ] += 1
    return statuses


def _status(call) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    except ValueError:  # gRPC's client refuses such metadata itself
        return "not sent"
    return "OK"


def over_http(at: Running) -> Counter[str]:
    """All questions by REST, damaged ones as well, paths and headers with the marks; the statuses."""
    statuses: Counter[str] = Counter()

    def send(method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        connection = http.client.HTTPConnection(at.http, timeout=20)
        try:
            connection.request(method, path, body, {"X-Person": PERSON, "Authorization": f"Bearer {TOKEN}", **headers})
            statuses[str(connection.getresponse().status)] += 1
        except OSError:  # too large: it is told so before it has sent everything
            statuses["cut off"] += 1
        finally:
            connection.close()

    for name in ("rest_tf", "rest_kserve"):
        made = PROTOCOLS[name](at.grpc, at.http)
        assert isinstance(made, Rest)
        for question in questions():
            body, path = made.encode(question), made.path(question)
            send("POST", path, body)
            send("POST", path, body[: len(body) * 2 // 3])
            send("POST", path, json.dumps({PERSON: SALARY, "inputs": [{PERSON: DEPARTMENT}]}).encode())
        path = made.path(Ask([]))
        for body in (PERSON.encode(), b"\xff\xfe" + PERSON.encode("utf-16-le"), f"[{SALARY}]".encode(), b""):
            send("POST", path, body)
            send("POST", path, body, **{"Content-Encoding": "gzip"})
            send("POST", path, body, **{"Content-Encoding": DEPARTMENT})
            send("POST", path, body, **{"epm-priority": PERSON, "Content-Type": PERSON})
        send("POST", path, PERSON.encode() * 400_000)
        rows = [{"hours": 40, "overtime": SALARY, "department": DEPARTMENT}, {"hours": PERSON}]
        for sent in (rows[:1], rows):
            send("POST", path, json.dumps({"instances": sent, "signature_name": PERSON}).encode())
            send("POST", path, json.dumps({"instances": sent}).encode())
        send("POST", path, json.dumps({"id": PERSON, "inputs": [], "parameters": {PERSON: SALARY}}).encode())
    for path in (
        PERSON,
        f"v1/models/{PERSON}",
        f"v2/models/{PERSON}/ready",
        f"metrics?person={PERSON}",
        "v1/models/small",
    ):
        for method in ("GET", "POST", PERSON.upper()):
            send(method, f"/{quote(path, safe='/?=')}?{quote(DEPARTMENT)}={SALARY}")
    _hostile(at)
    return statuses


def _hostile(at: Running) -> None:
    """What is no HTTP."""
    host, port = at.http.split(":")
    import socket

    for data in (PERSON.encode() * 3000, f"GET /{PERSON} HTTP/9.9\r\n{PERSON}\r\n\r\n".encode()):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                connection.recv(1 << 16)
            except OSError:  # reset: it does not read on
                continue


def over_commands(at: Running, repository: Path, folder: Path) -> list[subprocess.CompletedProcess[str]]:
    """`epm predict`, `score` and `facts` with the marks in files and on standard input; what they said."""
    rows, token = folder / "rows.csv", folder / "token"
    rows.write_text(f"employee,hours,overtime,department\n{PERSON},40,{SALARY},{DEPARTMENT}\n", "utf-8")
    bad = folder / "bad.csv"
    bad.write_text(f"employee,hours,overtime,department\n{PERSON},{PERSON},{SALARY},{DEPARTMENT}\n", "utf-8")
    token.write_text(TOKEN)
    to, shown = ("--address", at.grpc), ("--token-file", token)
    return [
        epm("predict", rows, "--model", "small", *to),
        epm("predict", bad, "--model", "small", *to),
        epm("score", rows, "--model", "small", "--model-repo", repository, "--out", folder / "out.csv"),
        epm("score", bad, "--model", "small", "--model-repo", repository, "--out", folder / "out2.csv"),
        epm("facts", "load", rows, "--text", "department", *to, *shown),
        epm("facts", "load", bad, "--text", "department", *to, *shown),
        epm("facts", "get", "--id", PERSON, *to, *shown),
    ]
