"""Quantities, durations and points in time: the only place where a unit is converted. Holds no money arithmetic.

`Quantity` and `Duration` are strings as people write them, checked when they are made, that know their value.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from frugal.errors import InvalidDuration, InvalidQuantity

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

QUANTITY_PATTERN = r"^(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$"

_QUANTITY = re.compile(QUANTITY_PATTERN)
_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_SUFFIXES = {
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("num", start=-3)},
    "": Decimal(1),
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

HOURS_PER_MONTH = Decimal(730)  # 365 * 24 / 12, as cloud price lists count a month
GIB = 1024**3
MIB = 1024**2


class _Text(str):
    """A string with a meaning; pydantic validates it by making it."""

    pattern = ""
    example = ""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.union_schema(
                [core_schema.str_schema(strict=True, max_length=32), core_schema.int_schema(strict=True)]
            ),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": cls.pattern, "maxLength": 32, "examples": [cls.example]}


class Quantity(_Text):
    """A Kubernetes quantity, such as 500m, 4Mi or 2; raises InvalidQuantity when made from anything else."""

    pattern = QUANTITY_PATTERN
    example = "500m"

    def __new__(cls, text: str | int) -> Quantity:
        if not _QUANTITY.fullmatch(str(text)):
            raise InvalidQuantity(str(text))
        return super().__new__(cls, text)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": cls.pattern, "maxLength": 32}

    @cached_property
    def value(self) -> Decimal:
        """The exact amount in the base unit (cores, bytes, pieces)."""
        match = re.match(r"^([0-9.]+)(.*)$", self)
        assert match is not None
        number, suffix = match.groups()
        if suffix in _SUFFIXES:
            return Decimal(number) * _SUFFIXES[suffix]
        return Decimal(number + suffix)

    @property
    def whole(self) -> int:
        """The amount rounded up to whole base units, as Kubernetes rounds bytes."""
        return int(self.value.to_integral_value(ROUND_CEILING))

    @property
    def cores(self) -> float:
        """The amount as a number of CPU cores."""
        return float(self.value)


class Duration(_Text):
    """A duration, such as 50ms, 30m, 1h30m or 14d; raises InvalidDuration when made from anything else."""

    pattern = DURATION_PATTERN
    example = "30m"

    def __new__(cls, text: str | int) -> Duration:
        if not _DURATION.fullmatch(str(text)):
            raise InvalidDuration(str(text))
        return super().__new__(cls, text)

    @cached_property
    def seconds(self) -> float:
        """The length in seconds."""
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(self))


def cpu_quantity(cores: float) -> Quantity:
    """Return `cores` as millicores, rounded up."""
    return Quantity(f"{int((Decimal(str(cores)) * 1000).to_integral_value(ROUND_CEILING))}m")


def memory_quantity(size_bytes: float) -> Quantity:
    """Return `size_bytes` as whole MiB, rounded up."""
    return Quantity(f"{-(-int(size_bytes) // MIB)}Mi")


def size_text(size_bytes: float) -> str:
    """Return a size for people: three digits at most and a binary suffix."""
    for suffix in ("", "Ki", "Mi", "Gi"):
        if size_bytes < 1000 or suffix == "Gi":
            return f"{size_bytes:.3g}{suffix}" if suffix else f"{int(size_bytes)}"
        size_bytes /= 1024
    raise AssertionError("unreachable")


def duration_text(seconds: float) -> str:
    """Return a duration for people: its two largest units, such as 6m, 1h30m or 450ms."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    rest, parts = round(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"


def rfc3339(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Return the moment that an RFC 3339 text names; raises ValueError when it names none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
