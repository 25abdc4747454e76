"""The faults of a compression's inputs, each naming the field to mend. Outages keep the errors of storage.

FrugalError
└── InvalidInput          an input that no retry can make usable
    ├── UnusableModel     the model file cannot be loaded, or is not what the spec says
    ├── UnusableData      samples that do not fit the model, the task or the limits
    ├── UnusableOutput    results cannot be written
    └── Unsupported       asked for what this version does not do
"""

from __future__ import annotations

from frugal.errors import FrugalError

SHOWN_CHARACTERS = 160  # of a value in a message: a termination message has 4,096 bytes for everything


class InvalidInput(FrugalError):
    """An input that cannot be used: `field` of the spec, the `value` found there, the `fault`, the `remedy`."""

    def __init__(self, *, field: str, value: object, fault: str, remedy: str) -> None:
        self.field, self.value, self.fault, self.remedy = field, value, fault, remedy
        shown = str(value)
        shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 3] + "..."
        super().__init__(f"{field} ({shown}): {fault}; {remedy}")


class UnusableModel(InvalidInput):
    """The model file cannot be loaded, or is not what the spec says."""


class UnusableData(InvalidInput):
    """Samples that do not fit the model, the task or the limits."""


class UnusableOutput(InvalidInput):
    """The output URI cannot be written to."""


class Unsupported(InvalidInput):
    """The spec asks for what this version does not do."""
