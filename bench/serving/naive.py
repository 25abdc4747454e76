"""The baseline that anybody would write: Starlette, orjson and ONNX Runtime in twenty lines under uvicorn."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


async def infer(request: Request) -> Response:
    """Answer one request of the protocol, trusting it blindly."""
    entry = orjson.loads(await request.body())["inputs"][0]
    image = np.array(entry["data"], dtype=np.float32).reshape(entry["shape"])
    logits = session.run(None, {entry["name"]: image})[0]
    output = {"name": "logits", "datatype": "FP32", "shape": logits.shape, "data": logits.ravel().tolist()}
    return Response(orjson.dumps({"model_name": "cnn", "outputs": [output]}), media_type="application/json")


async def ready(_: Request) -> Response:
    """Answer that the model is there."""
    return Response()


if __name__ == "__main__":
    routes = [Route("/v2/models/cnn/infer", infer, methods=["POST"]), Route("/v2/health/ready", ready)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
