"""From the pydantic models to schemas: structural ones for the CRDs, strict JSON Schema for editors and tests. Pure.

A structural schema is the subset of OpenAPI that Kubernetes accepts in a CRD: no references, one type for each field,
no unions with null. Which model stands in which CRD is said in `crd`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from frugal.api.base import CEL_RULES

Schema = dict[str, Any]

_COPIED = (
    "enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)  # fmt: skip
_WORDS = re.compile(r"\^\(?(?P<words>[A-Za-z0-9/-]+(?:\|[A-Za-z0-9/-]+)*)\)?(?P<optional>\?)?\$")
_STRUCTURAL_ONLY = ("description", "type", "default", "nullable")  # may not stand inside an anyOf


def structural_schema(model: type[BaseModel], *, with_defaults: bool) -> Schema:
    """Return `model` as a structural schema, every reference inlined and every rule in its CEL form.

    with_defaults: write the fields' defaults into it; the server then stores them in every object.
    """
    document = model.model_json_schema(by_alias=True)
    return _Structural(document.get("$defs", {}), with_defaults=with_defaults).convert(document)


def strict_json_schema(structural: Mapping[str, Any]) -> Schema:
    """Return a structural schema as JSON Schema 2020-12 that refuses unknown fields, as `kubectl` validation does."""
    strict = {
        key: value for key, value in structural.items() if not key.startswith("x-kubernetes") and key != "nullable"
    }
    for bound in ("Minimum", "Maximum"):
        if strict.pop(f"exclusive{bound}", False):
            strict[f"exclusive{bound}"] = strict.pop(bound.lower())
    if structural.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
    elif structural.get("nullable"):
        strict["type"] = [structural["type"], "null"]
    for key in ("items", "additionalProperties"):
        if key in structural:
            strict[key] = strict_json_schema(structural[key])
    if "properties" in structural:
        strict["properties"] = {name: strict_json_schema(one) for name, one in structural["properties"].items()}
        if not structural.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    return strict


class _Structural:
    """One conversion; holds the definitions that references point to."""

    def __init__(self, definitions: Mapping[str, Schema], *, with_defaults: bool) -> None:
        self._definitions = definitions
        self._with_defaults = with_defaults

    def convert(self, source: Mapping[str, Any]) -> Schema:
        """Return one field's schema; raises KeyError where pydantic emits a form that is not known here."""
        merged = self._without_references(source)
        result: Schema = {}
        if "description" in merged:
            result["description"] = _one_line(merged["description"])
        if "type" in merged:
            result["type"] = merged["type"]
        result |= {key: merged[key] for key in _COPIED if key in merged}
        _prefer_enum(result)
        result |= _bounds(merged)
        result |= self._children(merged)
        self._add_alternatives(merged, result)
        self._add_default(merged, result)
        rules = [*merged.get(CEL_RULES, []), *_key_rules(self._without_references(merged.get("propertyNames", {})))]
        if rules:
            result["x-kubernetes-validations"] = rules
        return result

    def _without_references(self, source: Mapping[str, Any]) -> Schema:
        """Inline a reference or an optional: what stands beside it (a description, a default) wins."""
        merged = dict(source)
        if "$ref" in merged:
            target = self._definitions[merged.pop("$ref").removeprefix("#/$defs/")]
            merged = self._without_references(target) | merged
        present = [one for one in merged.get("anyOf", []) if one.get("type") != "null"]
        if len(present) == 1:
            del merged["anyOf"]
            merged = self._without_references(present[0]) | merged
            if source.get("default") is not None:
                merged["nullable"] = True
        if "const" in merged:
            merged["enum"] = [merged.pop("const")]
        return merged

    def _children(self, merged: Schema) -> Schema:
        result: Schema = {}
        if "items" in merged:
            result["items"] = self.convert(merged["items"])
        if "maxProperties" in merged or "minProperties" in merged:
            result |= {key: merged[key] for key in ("minProperties", "maxProperties") if key in merged}
        if isinstance(merged.get("additionalProperties"), dict):
            result["additionalProperties"] = self.convert(merged["additionalProperties"])
        elif merged.get("additionalProperties") is True:
            result["x-kubernetes-preserve-unknown-fields"] = True
        if merged.get("required"):
            result["required"] = merged["required"]
        if "properties" in merged:
            result["properties"] = {name: self.convert(one) for name, one in merged["properties"].items()}
        return result

    def _add_alternatives(self, merged: Schema, result: Schema) -> None:
        """Write a union of strings as one type with an anyOf over their constraints."""
        if "anyOf" not in merged:
            return
        options = [self.convert(one) for one in merged["anyOf"]]
        (result["type"],) = {one["type"] for one in options}
        result["anyOf"] = [{key: value for key, value in one.items() if key not in _STRUCTURAL_ONLY} for one in options]

    def _add_default(self, merged: Schema, result: Schema) -> None:
        """Write a default that says something; an empty text, list or map means the same as an absent one."""
        if merged.get("nullable"):
            result["nullable"] = True
        if not self._with_defaults or merged.get("default") is None:
            return
        if "properties" in result:
            if any("default" in one for one in result["properties"].values()):
                result["default"] = {}
        elif merged["default"] not in ("", [], {}):
            result["default"] = merged["default"]


def _prefer_enum(result: Schema) -> None:
    """Turn a pattern that only lists words into an enum, which `kubectl explain` and error messages show better."""
    match = _WORDS.fullmatch(result.get("pattern", ""))
    if match:
        del result["pattern"]
        words = match["words"].split("|")
        result["enum"] = ["", *words] if match["optional"] else words


def _bounds(merged: Mapping[str, Any]) -> Schema:
    """Write exclusive bounds as OpenAPI 3.0 does: a number and a flag."""
    result: Schema = {}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in merged:
            result |= {bound.lower(): merged[f"exclusive{bound}"], f"exclusive{bound}": True}
    return result


def _key_rules(names: Mapping[str, Any]) -> list[Schema]:
    """Say what a map's keys may be as a rule: a structural schema has no `propertyNames`."""
    if "enum" in names:
        allowed = ", ".join(names["enum"])
        listed = json.dumps(names["enum"]).replace('"', "'")
        return [{"rule": f"self.all(key, key in {listed})", "message": f"the keys are {allowed}"}]
    if "maxLength" in names:
        longest = names["maxLength"]
        return [{"rule": f"self.all(key, size(key) <= {longest})", "message": f"a key is at most {longest} characters"}]
    return []


def _one_line(text: str) -> str:
    return " ".join(text.split())
