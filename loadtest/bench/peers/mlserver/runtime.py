"""A custom inference runtime of MLServer: the published graph in onnxruntime, one thread."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxRuntime(MLModel):
    """The graph that the model's settings name as `parameters.uri`."""

    async def load(self) -> bool:
        """Load the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = self.settings.parameters.uri
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """All outputs of the graph."""
        features = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        answers = self._session.run(self._outputs, {self._input: features})
        outputs = [NumpyCodec.encode_output(name, values) for name, values in zip(self._outputs, answers, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
