"""The base of every model in the API: strictness, camelCase names and cross-field rules. Holds no kind of its own.

A cross-field rule is written once, as a pair: its CEL form goes into the CRD, its Python form is run by the operator,
so that a server without CEL (before 1.25) enforces the same rules through a `Valid=False` condition.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError

GROUP = "frugal.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

CEL_RULES = "x-kubernetes-validations"
MONEY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"


@dataclass(frozen=True, slots=True)
class Rule:
    """One cross-field rule.

    cel: expression over `self`, true when the object is good, as in `x-kubernetes-validations` of Kubernetes 1.27;
        empty where its language cannot say it: then the operator alone checks.
    check: the same rule over the parsed model.
    field: the field to blame, in camelCase, relative to the model.
    """

    cel: str
    check: Callable[[Any], bool]
    field: str
    message: str


class ApiModel(BaseModel):
    """What people write: unknown fields are refused, values are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=False,
        allow_inf_nan=False,  # JSON has neither
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the rules in their CEL form to the model's JSON Schema."""
        schema = handler.resolve_ref_schema(handler(core))
        rules = cel_rules(cls)
        return schema | {CEL_RULES: rules} if rules else schema

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.RULES:
            if not rule.check(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the object as it is written in YAML: camelCase names, what was not set left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def cel_rules(model: type[ApiModel]) -> list[dict[str, str]]:
    """Return a model's rules as a CRD has them; those that CEL cannot say are left out."""
    return [{"rule": rule.cel, "message": rule.message} for rule in model.RULES if rule.cel]


class MachineModel(ApiModel):
    """What machines write (status, results, progress): fields of a newer version are ignored, not refused."""

    model_config = ConfigDict(extra="ignore")

    def to_json(self) -> dict[str, Any]:
        """Return the object as it is stored: camelCase names, what is None left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _quoted(amount: object) -> Decimal:
    if isinstance(amount, Decimal):
        return amount
    if isinstance(amount, str) and re.fullmatch(MONEY_PATTERN, amount):
        return Decimal(amount)
    raise PydanticCustomError(
        "money", 'money is a quoted decimal with at most six places, such as "812.00", so that no float rounds it'
    )


def _to_six_places(amount: Decimal) -> Decimal:
    return round(amount, 6)


def _plain(amount: Decimal) -> str:
    return format(amount, "f")


Money = Annotated[
    Decimal,
    BeforeValidator(_quoted),
    Field(ge=0, max_digits=18, decimal_places=6),
    PlainSerializer(_plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": MONEY_PATTERN, "maxLength": 20, "examples": ["812.00"]}),
]
"""An amount of money: a decimal string, never a float, at most six decimal places."""

SignedMoney = Annotated[
    Decimal,
    AfterValidator(_to_six_places),
    PlainSerializer(_plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$", "maxLength": 21}),
]
"""A difference of money, which may be negative; rounded to six decimal places."""

Ratio = Annotated[float, Field(ge=0, le=1)]
"""A share in [0, 1]."""

Percent = Annotated[float, Field(ge=0, le=100)]
"""A share in percent, in [0, 100]."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
"""A SHA-256 digest in lower-case hex."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""The name of a Kubernetes object."""

Uri = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=r"^(file:|(pvc|s3|gs|az|https|hf|oci)://)[^\s@]+$",
    ),
]
"""A URI without credentials; `@` is refused so that no user:password can stand in it."""

Json = dict[str, Any]
