"""The same model in MLServer: a custom runtime around ONNX Runtime. Imported by MLServer in its own environment."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Cnn(MLModel):  # type: ignore[misc] # MLServer is not installed where this is checked
    """ONNX Runtime with one thread."""

    async def load(self) -> bool:
        """Load the model at the URI of its settings."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        uri = self._settings.parameters.uri
        self._session = onnxruntime.InferenceSession(uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        entry = payload.inputs[0]
        image = NumpyCodec.decode_input(entry).astype(np.float32).reshape(entry.shape)
        (logits,) = self._session.run(None, {entry.name: image})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])
