"""Kubernetes quantities: `500m`, `2`, `1.5Gi`.

The format: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from aurora_operator.api.base.rules import Rule

_NUMBER: Final = "[0-9]+[.]?[0-9]*|[.][0-9]+"
_SUFFIX: Final = "[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2}"
_FORM: Final = re.compile(f"(?P<number>{_NUMBER})(?P<suffix>{_SUFFIX})?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse_quantity(text: str) -> Decimal:
    """The exact value of a quantity that is not negative. Raises ValueError for anything else."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 2 or 10Gi")
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:])) if suffix else number


def to_bytes(text: str) -> int:
    """A quantity of memory or storage, in bytes, rounded up as Kubernetes does."""
    return int(parse_quantity(text).to_integral_value(ROUND_CEILING))


def from_bytes(size: int) -> str:
    """A quantity of storage, in the largest unit that leaves a whole number."""
    for unit, bits in (("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size and size % (1 << bits) == 0:
            return f"{size >> bits}{unit}"
    return str(size)


def to_millis(text: str) -> int:
    """A quantity of CPU, in thousandths of a core, rounded up as Kubernetes does."""
    return int((parse_quantity(text) * 1000).to_integral_value(ROUND_CEILING))


def is_quantity(text: str) -> bool:
    """Whether `parse_quantity` takes it."""
    return _FORM.fullmatch(text) is not None


def _number_to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_CEL_FORM: Final = f".matches('^({_NUMBER})({_SUFFIX})?$')"
_NOT_A_QUANTITY: Final = "This is not a quantity: write a positive number with an optional unit, such as {}."

StorageQuantity = Annotated[
    str,
    Field(max_length=32),
    Rule(
        cel=f"self{_CEL_FORM}",
        message=_NOT_A_QUANTITY.format("10Gi or 500Gi"),
        check=is_quantity,
    ),
]
"""An amount of storage."""

ComputeQuantity = Annotated[
    str,
    Field(max_length=32),
    BeforeValidator(_number_to_text),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32}),
    Rule(
        cel=f"string(self){_CEL_FORM}",
        message=_NOT_A_QUANTITY.format("500m or 2 for cpu, 512Mi or 16Gi for memory"),
        check=is_quantity,
    ),
]
"""An amount of CPU or memory, which YAML may hold as a number."""
