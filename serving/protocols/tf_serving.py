"""TF Serving's PredictionService and ModelService (tensorflow_serving/apis/*.proto)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import ClassOutput, Contract, ProbabilityOutput, ScalarOutput
from serving.errors import InvalidInput, NotFound, one_of
from serving.features.rows import Cells
from serving.pipeline import Pipeline, Prediction
from serving.protocols import by_id
from serving.protocols.answers import TensorSpec, answer_specs, answers, check_rows, column_specs, graph_specs, select
from serving.protocols.method import Call, Service, Unary, parse
from serving.protocols.tf_tensors import KINDS, decode, encode
from serving.repository.served import ServedModel
from serving.stubs.foreign import tensorflow_error_pb2 as codes
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs

DEFAULT_SIGNATURE = "serving_default"
FEATURES_SIGNATURE = "features"
SIGNATURES = ("", DEFAULT_SIGNATURE, FEATURES_SIGNATURE)
BY_ID_SIGNATURE = "by_id"
CLASSIFY_SIGNATURE = "classify"
REGRESS_SIGNATURE = "regress"


class TfServing:
    """The methods of both services, from bytes to bytes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._repository = pipeline.repository

    def services(self) -> list[Service]:
        """What a listener registers."""
        prediction = {
            "Predict": Unary(self.predict),
            "Classify": Unary(self.classify),
            "Regress": Unary(self.regress),
            "GetModelMetadata": Unary(self.metadata),
        }
        return [
            Service("tensorflow.serving.PredictionService", "tf_serving", prediction),
            Service("tensorflow.serving.ModelService", "tf_serving", {"GetModelStatus": Unary(self.status)}),
        ]

    async def predict(self, body: bytes, call: Call) -> bytes:
        """PredictRequest -> PredictResponse."""
        request = parse(tfs.PredictRequest, body)
        signature = request.model_spec.signature_name
        served = call.served = self._resolve(request.model_spec, BY_ID_SIGNATURE)
        max_rows = self._pipeline.max_rows
        inputs = {name: decode(name, tensor, served, max_rows) for name, tensor in request.inputs.items()}
        if signature == BY_ID_SIGNATURE:
            by_id.require(served, inputs)
        prediction = await by_id.predict(self._pipeline, served, inputs, call)
        outputs = answers(prediction)
        if request.output_filter:
            outputs = select(outputs, request.output_filter)
        response = tfs.PredictResponse()
        for name, answer in outputs.items():
            encode(answer, response.outputs[name])
        _spec(response.model_spec, served, signature or DEFAULT_SIGNATURE)
        return response.SerializeToString(deterministic=True)

    async def classify(self, body: bytes, call: Call) -> bytes:
        """ClassificationRequest (rows as tf.Example) -> ClassificationResponse, classes in the contract's order.

        A model without classes answers with its probabilities, each under the name of its event.
        """
        request = parse(tfs.ClassificationRequest, body)
        served = call.served = self._resolve(request.model_spec, CLASSIFY_SIGNATURE)
        names = _class_names(served.contract)
        if not names:
            raise InvalidInput(f"model {served.name!r} has neither classes nor probabilities: use Predict")
        columns = _columns(request.input, served, self._pipeline.max_rows)
        prediction = await by_id.predict(self._pipeline, served, columns, call)
        response = tfs.ClassificationResponse()
        for row in _class_scores(prediction).tolist():
            classes = response.result.classifications.add().classes
            for name, score in zip(names, row, strict=True):
                classes.add(label=name, score=score)
        _spec(response.model_spec, served, request.model_spec.signature_name or DEFAULT_SIGNATURE)
        return response.SerializeToString(deterministic=True)

    async def regress(self, body: bytes, call: Call) -> bytes:
        """RegressionRequest (rows as tf.Example) -> RegressionResponse of one number: see `_regressed`."""
        request = parse(tfs.RegressionRequest, body)
        served = call.served = self._resolve(request.model_spec, REGRESS_SIGNATURE)
        output = _regressed(served.contract)
        if output is None:
            raise InvalidInput(f"model {served.name!r} has no number to regress: use Predict or Classify")
        columns = _columns(request.input, served, self._pipeline.max_rows)
        prediction = await by_id.predict(self._pipeline, served, columns, call)
        response = tfs.RegressionResponse()
        for value in prediction.tensors[output.tensor].tolist():
            response.result.regressions.add(value=value)
        _spec(response.model_spec, served, request.model_spec.signature_name or DEFAULT_SIGNATURE)
        return response.SerializeToString(deterministic=True)

    async def metadata(self, body: bytes, call: Call) -> bytes:
        """GetModelMetadataRequest -> GetModelMetadataResponse; the one field there is: signature_def."""
        request = parse(tfs.GetModelMetadataRequest, body)
        for field in request.metadata_field:
            if field != "signature_def":
                raise InvalidInput.cell("metadata_field", repr(field[:100]), "signature_def")
        if not request.metadata_field:
            raise InvalidInput.cell("metadata_field", "nothing", "signature_def")
        served = call.served = self._resolve(request.model_spec)
        response = tfs.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures(served), deterministic=True)
        _spec(response.model_spec, served, "")
        return response.SerializeToString(deterministic=True)

    async def status(self, body: bytes, call: Call) -> bytes:
        """GetModelStatusRequest -> GetModelStatusResponse: every version served or refused, newest first."""
        request = parse(tfs.GetModelStatusRequest, body)
        return self.model_status(request.model_spec).SerializeToString(deterministic=True)

    def model_status(self, spec: tfs.ModelSpec) -> tfs.GetModelStatusResponse:
        """The state of the versions that `spec` asks for. Raises NotFound."""
        state = self._repository.models.get(spec.name)
        if state is None:
            raise NotFound(f"no model {spec.name[:100]!r} here")
        wanted = None
        if spec.WhichOneof("version_choice") == "version":
            wanted = spec.version.value
        elif spec.WhichOneof("version_choice") == "version_label":
            wanted = self._repository.resolve(spec.name, label=spec.version_label).version
        response = tfs.GetModelStatusResponse()
        for version in sorted(state.served.keys() | state.refused.keys(), reverse=True):
            if wanted not in (None, version):
                continue
            entry = response.model_version_status.add(version=version)
            entry.status.error_code = codes.OK
            entry.state = tfs.ModelVersionStatus.AVAILABLE
            if version in state.refused:  # and served as well: on disk is another artifact, which cannot take over
                entry.status.error_message = state.refused[version].reason
            if version not in state.served:
                entry.state = tfs.ModelVersionStatus.END
                entry.status.error_code = codes.FAILED_PRECONDITION
        if not response.model_version_status:
            raise NotFound(f"no version {wanted} of model {spec.name!r} here")
        return response

    def _resolve(self, spec: tfs.ModelSpec, own: str = "") -> ServedModel:
        """The model that is asked for; own: a signature that only this method has."""
        if not spec.name:
            raise InvalidInput.cell("model_spec.name", "nothing", "the name of a model")
        if spec.signature_name not in (*SIGNATURES, own):
            expected = one_of(name for name in (*SIGNATURES, own) if name)
            raise InvalidInput.cell("model_spec.signature_name", repr(spec.signature_name[:100]), expected)
        choice = spec.WhichOneof("version_choice")
        version = spec.version.value if choice == "version" else None
        label = spec.version_label if choice == "version_label" else None
        return self._repository.resolve(spec.name, version, label)


def signatures(served: ServedModel) -> tfs.SignatureDefMap:
    """The signatures of a model: `serving_default` takes raw columns, `features` the graph's own inputs.

    `by_id` takes ids, whose columns the online store has; it is there unless the model has a column of that name.
    `classify` and `regress` take rows as tf.Example, serialised as in a TF Serving of its own; each is there where the
    method answers.
    """
    contract = served.contract
    examples, ids = [TensorSpec("inputs", "text")], [TensorSpec(by_id.ENTITY_ID, "text")]
    shape = (len(_class_names(contract)),)
    scores = [TensorSpec("classes", "text", shape), TensorSpec("scores", "float32", shape)]
    number = [TensorSpec("outputs", "float32")]
    described = tfs.SignatureDefMap()
    for signature, method, inputs, outputs in (
        (DEFAULT_SIGNATURE, "predict", column_specs(contract), answer_specs(contract)),
        (FEATURES_SIGNATURE, "predict", graph_specs(contract), answer_specs(contract, ready=True)),
        *([(BY_ID_SIGNATURE, "predict", ids, answer_specs(contract))] if by_id.offered(served) else []),
        *([(CLASSIFY_SIGNATURE, "classify", examples, scores)] if _class_names(contract) else []),
        *([(REGRESS_SIGNATURE, "regress", examples, number)] if _regressed(contract) else []),
    ):
        definition = described.signature_def[signature]
        definition.method_name = f"tensorflow/serving/{method}"
        for spec in inputs:
            _describe(definition.inputs[spec.name], spec)
        for spec in outputs:
            _describe(definition.outputs[spec.name], spec)
    return described


def _describe(info: tf.TensorInfo, spec: TensorSpec) -> None:
    info.name = f"{spec.name}:0"
    info.dtype = KINDS[spec.kind]
    for size in (-1, *spec.shape):
        info.tensor_shape.dim.add().size = size


def _class_names(contract: Contract) -> tuple[str, ...]:
    """What Classify gives scores of: the classes, or in a model without them every event that has a probability."""
    if isinstance(contract.decision, ClassOutput):
        return contract.decision.classes
    return tuple(output.name for output in _probabilities(contract))


def _class_scores(prediction: Prediction) -> NDArray[np.float32]:
    """[n, C] in the order of `_class_names`."""
    contract = prediction.served.contract
    if isinstance(contract.decision, ClassOutput):
        return prediction.tensors[contract.decision.probabilities]
    return np.stack([prediction.tensors[output.tensor] for output in _probabilities(contract)], axis=1)


def _probabilities(contract: Contract) -> list[ProbabilityOutput]:
    return [output for output in contract.outputs if isinstance(output, ProbabilityOutput)]


def _regressed(contract: Contract) -> ProbabilityOutput | ScalarOutput | None:
    """What Regress gives: the probability that decides, or in a model without one its first probability or scalar."""
    if isinstance(contract.decision, ProbabilityOutput):
        return contract.decision
    return next((output for output in contract.outputs if isinstance(output, ProbabilityOutput | ScalarOutput)), None)


def _columns(request: tfs.Input, served: ServedModel, max_rows: int) -> Mapping[str, Cells]:
    """Rows as tf.Example to columns; a feature that an example leaves out is missing in that row."""
    context: tf.Example | None = None
    if request.WhichOneof("kind") == "example_list_with_context":
        examples = request.example_list_with_context.examples
        context = request.example_list_with_context.context
    else:
        examples = request.example_list.examples
    if not examples:
        raise InvalidInput.cell("input", "no examples", "at least 1")
    check_rows("input", len(examples), max_rows)
    columns: dict[str, list[Any]] = {}
    for row, example in enumerate(examples):
        given = {**(dict(context.features.feature) if context else {}), **dict(example.features.feature)}
        for name, feature in given.items():
            if not served.schema.takes(name) and name not in by_id.RESERVED:
                raise served.schema.unknown(name)  # before a column of n cells is made for it
            kind = feature.WhichOneof("kind")
            values = getattr(feature, kind).value if kind else ()
            if name in served.schema.histories.names:
                columns.setdefault(name, [[] for _ in examples])[row] = list(values)
                continue
            if len(values) > 1:
                raise InvalidInput.cell(name, f"{len(values)} values in row {row}", "at most one")
            if values or name == by_id.ENTITY_ID:  # who sends no id has to be told
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [None] * len(examples)
                column[row] = values[0] if values else None
    if by_id.asked(served, columns):
        _check_given(columns)
    return columns or served.schema.empty(len(examples))


def _check_given(columns: Mapping[str, list[Any]]) -> None:
    """Refuse rows by id of which only some bring a column."""
    for name, column in columns.items():
        for row, cell in enumerate(column):
            if cell is None or cell == []:
                raise by_id.left_out(name, row)


def _spec(spec: tfs.ModelSpec, served: ServedModel, signature: str) -> None:
    spec.name = served.name
    spec.version.value = served.version
    spec.signature_name = signature
