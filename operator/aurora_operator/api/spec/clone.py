"""`spec.cloneFrom`: a cluster that begins with the data of another one, as they are at that moment."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import Model
from aurora_operator.api.base.rules import Rule

CloneType = Literal["copy-on-write", "full-copy"]


class CloneFrom(Model):
    """The cluster to clone, and how."""

    cluster: Annotated[str, Field(min_length=1, max_length=40)] = Field(
        description="The AuroraCluster to clone, in the same namespace. It is not touched, and goes on."
    )
    type: CloneType = Field(
        default="copy-on-write",
        description="copy-on-write: by a snapshot of a reader's volume, in a time that does not depend on its size "
        "where the storage driver shares blocks; where that cannot be, a full copy is made, and the status says so. "
        "full-copy: always a copy of its own.",
    )


def fixed(field: str) -> Rule:
    """A source of data decides how the cluster begins, once."""
    return Rule(
        field_path=f".{field}",
        cel=f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=f"{field} cannot change once the cluster exists: put the old value back, and make another cluster.",
    )


clone_rules: Final = (
    fixed("cloneFrom"),
    Rule(
        cel="!(has(self.cloneFrom) && has(self.restoreFrom))",
        message="cloneFrom and restoreFrom exclude each other: keep one of them.",
        check=lambda spec: spec.clone_from is None or spec.restore_from is None,
    ),
)
