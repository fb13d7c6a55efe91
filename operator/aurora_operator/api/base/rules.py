"""Rules that Kubernetes and we both check: one CEL expression and one Python check beside each other.

A `Rule` stands in `Annotated[...]` of a field or in `RULES` of a `RuledModel`. The CRD generator writes it as
`x-kubernetes-validations`, so that the API server refuses what breaks it, with the rule's sentence; pydantic runs
`check`, so that the operator, which may meet an object that an older CRD let through, refuses it with the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aurora_operator.api.base.base import Model

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True)
class Rule:
    """What must hold, and the sentence for those who break it.

    `cel` sees the value as `self`; a rule with `oldSelf` is about changes, and has no `check`. `explain` and
    `message_cel` make the sentence from the value in Python and CEL, where a fixed `message` would not say enough.
    """

    cel: str
    message: str
    check: Callable[[Any], bool] | None = None
    explain: Callable[[Any], str] | None = None
    message_cel: str | None = None
    field_path: str | None = None

    def enforce(self, value: Any) -> None:
        """Raise ValueError with the rule's sentence if `value` breaks it."""
        if self.check is not None and not self.check(value):
            raise ValueError(self.explain(value) if self.explain else self.message)

    def to_validation(self) -> dict[str, str]:
        """The rule as an item of `x-kubernetes-validations`."""
        item = {"rule": self.cel, "message": self.message}
        if self.message_cel is not None:
            item["messageExpression"] = self.message_cel
        if self.field_path is not None:
            item["fieldPath"] = self.field_path
        return item

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the value after it was parsed."""

        def validate(value: Any) -> Any:
            self.enforce(value)
            return value

        return core_schema.no_info_after_validator_function(validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rule to the schema of the value."""
        return _add(handler(schema), (self,))


class RuledModel(Model):
    """A model whose `RULES` span several of its fields."""

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _enforce_rules(self) -> Self:
        for rule in self.RULES:
            rule.enforce(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the model's rules to its schema."""
        json_schema = handler(schema)
        if cls.RULES:
            _add(handler.resolve_ref_schema(json_schema), cls.RULES)
        return json_schema


def immutable(message: str) -> Rule:
    """A field that cannot change once the resource exists."""
    return Rule(cel="self == oldSelf", message=message)


def sentences(error: ValidationError) -> list[str]:
    """What is wrong, a sentence an error, each after the path of the field in the resource: for a condition."""
    return [_sentence(item["loc"], item["msg"]) for item in error.errors(include_url=False, include_context=False)]


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    text = message.removeprefix("Value error, ")
    return f"{path}: {text}" if path else text


def _add(schema: JsonSchemaValue, rules: tuple[Rule, ...]) -> JsonSchemaValue:
    present = schema.setdefault(VALIDATIONS, [])
    present.extend(item for item in (rule.to_validation() for rule in rules) if item not in present)
    return schema
