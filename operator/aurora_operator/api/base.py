"""The base of all models: camelCase on the wire, snake_case in Python, unknown fields refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value object that is written in camelCase and refuses what it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class WireModel(Model):
    """A value that two releases of our own parts exchange: what one does not know yet, it ignores."""

    model_config = ConfigDict(extra="ignore")
