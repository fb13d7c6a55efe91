"""What a user may write into spec.parameters."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec


@dataclass(frozen=True, order=True)
class Value:
    """A setting and one of its values, as spec.parameters has them."""

    name: str
    value: str


def refusal(value: Value) -> str | None:
    """Why `kubectl apply` refuses it, or None."""
    try:
        AuroraClusterSpec.model_validate({"parameters": {value.name: value.value}})
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return None
