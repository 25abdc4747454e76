"""The error tree: every fault that Frugal itself names. Pure; translating to kopf or HTTP happens in the shells.

FrugalError
├── InvalidQuantity      a Kubernetes quantity that cannot be read
├── InvalidDuration      a duration that cannot be read
├── InvalidObject        an object of ours that breaks its schema or a cross-field rule; carries every FieldError
├── InvalidSettings      an environment variable or flag of the operator's own
├── ClusterError         the Kubernetes API (or the embedded node) refused or failed
│   ├── ClusterUnavailable   an outage: worth a retry
│   ├── Conflict             somebody else owns the field or changed the object first
│   ├── NotFound             the object, or the namespace or kind it belongs to, is not there
│   ├── Forbidden            RBAC, a quota or an admission check refused
│   └── Rejected             the server found the object invalid
├── TelemetryError       Prometheus or a pod's metrics could not be read
├── PriceUnknown         the price book has no price for what was asked
├── InvalidAmount        an amount that money is computed from is negative or no number
└── InvalidPriceList     a price list, or OpenCost's answer, that cannot be taken over
"""

from __future__ import annotations

from dataclasses import dataclass


class FrugalError(Exception):
    """The root: catch it to catch every fault that Frugal names."""


class InvalidQuantity(FrugalError, ValueError):
    """A Kubernetes quantity that cannot be read."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text!r} is not a Kubernetes quantity: expected a number with an optional suffix "
            "(n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei), for example 500m or 4Mi"
        )


class InvalidDuration(FrugalError, ValueError):
    """A duration that cannot be read."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text!r} is not a duration: expected numbers with units ms, s, m, h, d or w, for example 50ms, 30m or 14d"
        )


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in an object that a person wrote: where it is, what stands there, what is allowed."""

    path: str
    value: object
    message: str

    def __str__(self) -> str:
        shown = repr(self.value)
        return f"{self.path}: {self.message} (found {shown if len(shown) <= 80 else shown[:77] + '...'})"


class InvalidObject(FrugalError):
    """An object that breaks its schema or a cross-field rule; every fault is listed, not only the first."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(str(error) for error in errors))


class InvalidSettings(FrugalError):
    """A setting of the operator's own that cannot be used."""

    def __init__(self, *, variable: str, value: str, allowed: str) -> None:
        self.variable, self.value, self.allowed = variable, value, allowed
        super().__init__(f"{variable}={value!r}: {allowed}")


class ClusterError(FrugalError):
    """The Kubernetes API, or the embedded node in its place, refused or failed."""


class ClusterUnavailable(ClusterError):
    """An outage: the same call may work later."""


class Conflict(ClusterError):
    """Somebody else owns the field, or changed the object first."""


class NotFound(ClusterError):
    """The object is not there, or the namespace or the kind that it belongs to."""


class Forbidden(ClusterError):
    """RBAC, a quota, a limit range or an admission check refused the call; the message is the server's."""


class Rejected(ClusterError):
    """The server found the object invalid; the message is the server's."""


class TelemetryError(FrugalError):
    """Prometheus or a pod's metrics could not be read."""


class PriceUnknown(FrugalError):
    """The price book has no price for what was asked: cost is unknown, never guessed."""

    def __init__(self, *, resource: str, known: tuple[str, ...]) -> None:
        self.resource, self.known = resource, known
        listed = ", ".join(known) or "nothing"
        super().__init__(f"no price for {resource!r}; the price book has {listed}: add it to the price book")


class InvalidAmount(FrugalError, ValueError):
    """An amount that money is computed from is negative or no number."""

    def __init__(self, *, what: str, field: str, value: object) -> None:
        self.what, self.field, self.value = what, field, value
        super().__init__(f"{what}: {field} is {value}; allowed is a finite number from 0 on")


class InvalidPriceList(FrugalError):
    """A price list, or OpenCost's answer, cannot be taken over."""

    def __init__(self, *, where: str, value: str, allowed: str) -> None:
        self.where, self.value, self.allowed = where, value, allowed
        super().__init__(f"{where}: found {value!r}; allowed is {allowed}")
