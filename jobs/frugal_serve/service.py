"""The routes of the Open Inference Protocol v2 and /metrics: from a whole request to a response, now or to come.

Knows neither sockets nor how a model is loaded or run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import unquote

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from frugal_serve import __version__
from frugal_serve.batching import Batcher, Tensors
from frugal_serve.connection import Pending, Request, Response
from frugal_serve.errors import (
    BadRequest,
    BodyTooLarge,
    NotReady,
    Overloaded,
    RequestError,
    UnknownPath,
    UnsupportedEncoding,
    WrongMethod,
)
from frugal_serve.metrics import ServeMetrics
from frugal_serve.protocol import InferRequest, parse_infer, render_infer
from frugal_serve.specification import ModelSpecification, TensorSpecification

SERVER_NAME = "frugal-serve"
PLATFORM = "onnxruntime_onnx"  # the name that other servers of the protocol give it
MAX_BODY_BYTES = 64 * 2**20  # a batch of 32 images of 3 x 224 x 224 float32 takes 18 MiB in binary, 50 MiB in JSON
JSON_LENGTH = b"inference-header-content-length"
Route = Callable[[Request], "Response | Pending"]


class Service:
    """Answers requests for one model; not ready until `open`, and no more after `drain`."""

    def __init__(self, *, name: str, version: str, metrics: ServeMetrics) -> None:
        self._name, self._metrics = name, metrics
        self._model: ModelSpecification | None = None
        self._batcher: Batcher | None = None
        self._is_draining = False
        self._in_flight = 0
        self._paths = _paths(name, version)
        self._routes = self._all_routes(version)
        metrics.follow(depth=lambda: self._batcher.depth if self._batcher else 0, in_flight=lambda: self._in_flight)

    def open(self, model: ModelSpecification, batcher: Batcher) -> None:
        """Serve `model` from now on."""
        self._model, self._batcher = model, batcher

    def drain(self) -> None:
        """Say from now on that no new client shall come; those that do are served."""
        self._is_draining = True

    def __call__(self, request: Request) -> Response | Pending:
        """Return the answer to `request`, or the one to come."""
        path = request.path.partition(b"?")[0]
        method = b"GET" if request.method == b"HEAD" else request.method
        route = self._routes.get((method, path))
        is_inference = path in self._paths
        try:
            if request.fault:
                raise _framing_error(request.fault)
            if route is None:
                raise self._unknown(request.method.decode("latin-1"), unquote(path))
            return route(request)
        except RequestError as error:
            response = _refusal(error)
        except _Unreadable as fault:
            response = _json({"error": str(fault)}, fault.status)
        if is_inference:
            self._count(request, response)
        return response

    def _all_routes(self, version: str) -> Mapping[tuple[bytes, bytes], Route]:
        model = f"/v2/models/{self._name}".encode()
        bases = (model, model + b"/versions/" + version.encode())
        return {
            (b"GET", b"/v2"): self._server_metadata,
            (b"GET", b"/v2/"): self._server_metadata,
            (b"GET", b"/v2/health/live"): self._live,
            (b"GET", b"/v2/health/ready"): self._ready,
            (b"GET", b"/metrics"): self._scrape,
            **{(b"GET", base): self._model_metadata for base in bases},
            **{(b"GET", base + b"/ready"): self._model_ready for base in bases},
            **{(b"POST", base + b"/infer"): self._infer for base in bases},
        }

    def _unknown(self, method: str, path: str) -> RequestError:
        allowed = [known.decode() for known, served in self._routes if served.decode() == path]
        if allowed:
            return WrongMethod(path, method=method, allowed=", ".join(allowed))
        return UnknownPath(path, known=f"/v2/models/{self._name}")

    def _server_metadata(self, _: Request) -> Response:
        return _json({"name": SERVER_NAME, "version": __version__, "extensions": ["binary_tensor_data"]})

    def _live(self, _: Request) -> Response:
        is_live = self._batcher is None or self._batcher.is_alive
        return _json({"live": is_live}, HTTPStatus.OK if is_live else HTTPStatus.SERVICE_UNAVAILABLE)

    def _ready(self, _: Request) -> Response:
        return _json({"ready": self._is_ready}, self._ready_status)

    def _model_ready(self, _: Request) -> Response:
        return _json({"name": self._name, "ready": self._is_ready}, self._ready_status)

    @property
    def _is_ready(self) -> bool:
        return self._model is not None and not self._is_draining

    @property
    def _ready_status(self) -> HTTPStatus:
        return HTTPStatus.OK if self._is_ready else HTTPStatus.SERVICE_UNAVAILABLE

    def _model_metadata(self, _: Request) -> Response:
        model = self._loaded()[0]
        return _json(
            {
                "name": model.name,
                "versions": [model.version],
                "platform": PLATFORM,
                "inputs": [_tensor_metadata(tensor) for tensor in model.inputs.values()],
                "outputs": [_tensor_metadata(tensor) for tensor in model.outputs.values()],
            }
        )

    def _loaded(self) -> tuple[ModelSpecification, Batcher]:
        if self._model is None or self._batcher is None:
            raise NotReady(model=self._name)
        return self._model, self._batcher

    def _scrape(self, _: Request) -> Pending:
        future = asyncio.get_running_loop().run_in_executor(None, self._metrics.render)
        content_type = CONTENT_TYPE_LATEST.encode()
        return Pending(future, lambda: Response(status=HTTPStatus.OK, body=future.result(), content_type=content_type))

    def _infer(self, request: Request) -> Pending:
        model, batcher = self._loaded()
        encoding = request.headers.get(b"content-encoding", b"identity").decode("latin-1")
        if encoding != "identity":
            raise UnsupportedEncoding(encoding)
        parsed = parse_infer(request.body, _json_length(request), model)
        future = batcher.submit(parsed.tensors, rows=parsed.rows)
        self._in_flight += 1
        return Pending(future, lambda: self._inferred(request, parsed, model, future))

    def _inferred(
        self, request: Request, parsed: InferRequest, model: ModelSpecification, done: asyncio.Future[Tensors]
    ) -> Response:
        """Return the answer to an inference that is over, and count it."""
        self._in_flight -= 1
        if done.cancelled():
            self._metrics.abandoned()
            return _json({"error": "the client went away"}, HTTPStatus.SERVICE_UNAVAILABLE)
        error = done.exception()
        response = _refusal(error) if isinstance(error, RequestError) else _inference(parsed, done.result(), model)
        self._count(request, response)
        return response

    def _count(self, request: Request, response: Response) -> None:
        self._metrics.answered(code=response.status, seconds=time.perf_counter() - request.started_at)


class _Unreadable(Exception):
    """A request that HTTP itself refuses, with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the request cannot be read: {HTTPStatus(status).phrase.lower()}")


def _framing_error(status: int) -> Exception:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLarge(allowed_bytes=MAX_BODY_BYTES)
    return _Unreadable(status)


def _paths(name: str, version: str) -> frozenset[bytes]:
    """Return the paths of inference, whose requests are counted."""
    model = f"/v2/models/{name}"
    return frozenset({f"{model}/infer".encode(), f"{model}/versions/{version}/infer".encode()})


def _json_length(request: Request) -> int | None:
    text = request.headers.get(JSON_LENGTH)
    if text is None:
        return None
    if not text.isdigit():
        raise BadRequest("Inference-Header-Content-Length", "expected a number of bytes")
    return int(text)


def _inference(parsed: InferRequest, results: Tensors, model: ModelSpecification) -> Response:
    body = render_infer(parsed, results, model)
    if body.json_bytes is None:
        return Response(status=HTTPStatus.OK, body=body.payload)
    return Response(
        status=HTTPStatus.OK,
        body=body.payload,
        content_type=b"application/octet-stream",
        headers=((JSON_LENGTH, b"%d" % body.json_bytes),),
    )


def _tensor_metadata(tensor: TensorSpecification) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype.name, "shape": list(tensor.shape)}


def _json(answer: Mapping[str, object], status: int = HTTPStatus.OK) -> Response:
    return Response(status=status, body=orjson.dumps(answer))


def _refusal(error: RequestError) -> Response:
    """Return the protocol's form of `error`."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, Overloaded):
        headers = ((b"retry-after", b"%d" % error.retry_after_seconds),)
    elif isinstance(error, WrongMethod):
        headers = ((b"allow", error.allowed.encode()),)
    return Response(status=error.status, body=orjson.dumps({"error": str(error)}), headers=headers)
