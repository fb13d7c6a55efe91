"""Pydantic's JSON schema as a structural schema, the form that a CustomResourceDefinition takes.

What that form wants: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
#specifying-a-structural-schema. Metadata that the models carry (`x-kubernetes-*`) passes through.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from aurora_operator.api.base.rules import VALIDATIONS

Schema = dict[str, Any]

_DROPPED: Final = ("title", "$defs", "default", "discriminator")
_MAPS_OF_SCHEMAS: Final = ("properties",)
_SCHEMAS: Final = ("items", "additionalProperties")


def structural_schema(model: type[BaseModel], *, defaults: bool) -> Schema:
    """The schema of `model`, every reference inlined; without its defaults unless `defaults`."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}), defaults)


def _convert(node: Schema, definitions: dict[str, Schema], defaults: bool) -> Schema:
    node = _inline(node, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if result.get("additionalProperties") in (True, False):
        # A closed object is the default: the API server prunes what a structural schema does not know.
        del result["additionalProperties"]
    for bound in ("Minimum", "Maximum"):
        number = result.get(f"exclusive{bound}")
        if number is not None:
            result |= {bound.lower(): number, f"exclusive{bound}": True}
    for key in _MAPS_OF_SCHEMAS:
        if key in result:
            result[key] = {name: _convert(item, definitions, defaults) for name, item in result[key].items()}
    for key in _SCHEMAS:
        if key in result:
            result[key] = _convert(result[key], definitions, defaults)
    if defaults:
        default = _default(node, result)
        if default is not None:
            result["default"] = default
    return result


def _inline(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`node` with its reference, or its only alternative to null, put in its place."""
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        return _inline(_merge(target, node, "$ref"), definitions)
    for key in ("anyOf", "allOf"):
        if key in node:
            # A field that may be None in Python may be absent in Kubernetes; null is not a value there.
            alternatives = [item for item in node[key] if item != {"type": "null"}]
            if len(alternatives) != 1:
                raise ValueError(f"a structural schema cannot offer a choice of types: {node}")
            return _inline(_merge(alternatives[0], node, key), definitions)
    return node


def _merge(inner: Schema, outer: Schema, without: str) -> Schema:
    """What a field says goes over what its type says; the rules of both hold."""
    merged = inner | {key: value for key, value in outer.items() if key != without}
    rules = [*inner.get(VALIDATIONS, ()), *outer.get(VALIDATIONS, ())]
    return merged | {VALIDATIONS: rules} if rules else merged


def _default(node: Schema, converted: Schema) -> Any:
    """The default to declare, or None. An object's is made of those inside it, whole: the API server checks the rules
    on it before it would fill it in.
    """
    if node.get("default") is None:
        return None
    if converted.get("type") == "object":
        properties = converted.get("properties", {})
        return {name: item["default"] for name, item in properties.items() if "default" in item} or None
    return None if node["default"] == [] else node["default"]
