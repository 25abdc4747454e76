"""The faults of a request, each with the HTTP status that it gets, and those that end the server's start.

FrugalError
├── RequestError             answered to the client as {"error": message}
│   ├── BadRequest           400: the request contradicts the protocol or the model
│   ├── UnknownPath          404: no such route, model or version
│   ├── WrongMethod          405
│   ├── BodyTooLarge         413
│   ├── UnsupportedEncoding  415
│   ├── InferenceFailed      500: the runtime failed on this request's values
│   └── Overloaded           503: come again after `retry_after_seconds`
│       ├── QueueFull
│       └── NotReady
└── UnservableModel          a safe file that this runtime cannot serve
"""

from __future__ import annotations

from typing import ClassVar

from frugal.errors import FrugalError


class RequestError(FrugalError):
    """A fault of one request; `status` is its HTTP status."""

    status: ClassVar[int] = 400


class BadRequest(RequestError):
    """The request contradicts the protocol or the model; `field` says where."""

    def __init__(self, field: str, fault: str) -> None:
        self.field, self.fault = field, fault
        super().__init__(f"{field}: {fault}")


class UnknownPath(RequestError):
    """Nothing is served at `path`."""

    status = 404

    def __init__(self, path: str, *, known: str) -> None:
        self.path, self.known = path, known
        super().__init__(f"nothing is served at {path!r}; the model here is at {known}")


class WrongMethod(RequestError):
    """`path` is served, for another method."""

    status = 405

    def __init__(self, path: str, *, method: str, allowed: str) -> None:
        self.path, self.method, self.allowed = path, method, allowed
        super().__init__(f"{path!r} answers {allowed}, not {method}")


class BodyTooLarge(RequestError):
    """The body has more than `allowed_bytes` bytes."""

    status = 413

    def __init__(self, *, allowed_bytes: int) -> None:
        self.allowed_bytes = allowed_bytes
        super().__init__(f"the body is larger than the {allowed_bytes} bytes allowed; send fewer rows a request")


class UnsupportedEncoding(RequestError):
    """The body is compressed, which this server does not read."""

    status = 415

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        super().__init__(f"Content-Encoding {encoding!r} is not read here; send the body as it is")


class InferenceFailed(RequestError):
    """The runtime failed on this request's values; other requests are served."""

    status = 500

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the runtime failed on this request: {reason}")


class Overloaded(RequestError):
    """Not now: the same request may work after `retry_after_seconds`."""

    status = 503
    retry_after_seconds: ClassVar[int] = 1


class QueueFull(Overloaded):
    """`limit` requests wait already."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} requests are queued already; come again")


class NotReady(Overloaded):
    """The model is not loaded yet."""

    def __init__(self, *, model: str) -> None:
        self.model = model
        super().__init__(f"model {model!r} is not loaded yet; come again")


class UnservableModel(FrugalError):
    """A safe file that this runtime cannot serve; `place` is the model's URI."""

    def __init__(self, *, place: str, fault: str) -> None:
        self.place, self.fault = place, fault
        super().__init__(f"{place}: {fault}")
