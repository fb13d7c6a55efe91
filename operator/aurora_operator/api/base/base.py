"""The base of all models: camelCase on the wire, unknown fields refused. And how times are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value object that is written in camelCase and refuses what it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class WireModel(Model):
    """A value that two releases of our own parts exchange: what one does not know yet, it ignores, at every depth.

    Parts of it may be a user's (`Destination`), which refuse unknown fields where a user writes them.
    """

    model_config = ConfigDict(extra="ignore")

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """As pydantic's. Raises pydantic.ValidationError."""
        return super().model_validate(obj, **{"extra": "ignore", **how})

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """As pydantic's. Raises pydantic.ValidationError."""
        return super().model_validate_json(json_data, **{"extra": "ignore", **how})


def to_second(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC, to the second, downwards: what is told is never more than what is there."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
