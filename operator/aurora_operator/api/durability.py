"""How many copies hold a commit before its client hears of it: `spec.durability`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from aurora_operator.api.instances import ZoneName
from aurora_operator.api.rules import Rule, RuledModel

MAX_VOTING: Final = 6
"""More copies would make every commit wait for more of them, and protect little more."""
MAX_ZONES: Final = 6

_BETWEEN: Final = "{name} must be {low} to {high}: {why}."


def _between(name: str, low: int, high: int, why: str) -> Rule:
    return Rule(
        cel=f"self >= {low} && self <= {high}",
        message=f"{name} must be {low} to {high}: {why}.",
        check=lambda value: low <= value <= high,
    )


def default_write_quorum(copies: int) -> int:
    """A majority: 4 of 6, 3 of 4, 2 of 3."""
    return copies // 2 + 1


class Durability(RuledModel):
    """The copies of the data and the quorum of every commit."""

    copies: (
        Annotated[int, _between("copies", 1, MAX_VOTING, "copies beyond six slow commits and protect little")] | None
    ) = Field(
        default=None,
        description="Copies that count for the quorum. Default: as many as there are instances, up to 6. "
        "In this version every copy is an instance.",
    )
    write_quorum: Annotated[int, _between("writeQuorum", 1, MAX_VOTING, "a majority of the copies")] | None = Field(
        default=None,
        description="Copies, the writer included, that must have flushed a commit before its client hears of it. "
        "Default: a majority, such as 2 of 3 or 4 of 6. A new writer needs copies - writeQuorum + 1 copies.",
    )
    zones: Annotated[int, _between("zones", 1, MAX_ZONES, "the number of zones to spread over")] | None = Field(
        default=None,
        description="How many zones to spread the instances over. Default: as many as the cluster has, up to 3.",
    )
    availability_zones: Annotated[
        tuple[ZoneName, ...],
        Field(max_length=MAX_ZONES),
        Rule(
            cel="self.all(x, self.exists_one(y, y == x))",
            message="availabilityZones names a zone twice: name each once.",
            check=lambda names: len(names) == len(set(names)),
        ),
    ] = Field(
        default=(),
        description="The zones to use: values of the node label topology.kubernetes.io/zone. Default: all there are.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    RULES: ClassVar = (
        Rule(
            field_path=".zones",
            cel="!has(self.zones) || !has(self.availabilityZones) || size(self.availabilityZones) == 0 || "
            "self.zones <= size(self.availabilityZones)",
            message="zones is more than availabilityZones names: name more zones, or lower zones.",
            check=lambda d: d.zones is None or not d.availability_zones or d.zones <= len(d.availability_zones),
        ),
    )


_D: Final = "self.durability"
_COPIES: Final = f"(has({_D}.copies) ? {_D}.copies : (self.instances < {MAX_VOTING} ? self.instances : {MAX_VOTING}))"


def _when(field: str) -> str:
    return f"!has({_D}) || !has({_D}.{field}) || "


def _given(spec: Any, field: str) -> int | None:
    value: int | None = getattr(spec.durability, field)
    return value


def _quorum_rule(copies: int) -> Rule:
    """One for each number of copies, so that the sentence can name what would work there."""
    least = default_write_quorum(copies)
    what = f"{least}" if least == copies else f"{least} to {copies}"
    return Rule(
        field_path=".durability.writeQuorum",
        cel=_when("writeQuorum") + f"{_COPIES} != {copies} || ({least} <= {_D}.writeQuorum && "
        f"{_D}.writeQuorum <= {copies})",
        message=f"durability.writeQuorum must be {what} with {copies} {'copy' if copies == 1 else 'copies'}: with "
        "more, no commit could ever succeed, and less is no majority, so that two halves could both take writes.",
        check=lambda s: (
            s.durability.write_quorum is None
            or s.voting_copies != copies
            or least <= s.durability.write_quorum <= copies
        ),
    )


def quorum_rules() -> tuple[Rule, ...]:
    """Rules between durability and the number of instances; they belong to the spec."""
    return (
        Rule(
            field_path=".durability.copies",
            cel=_when("copies") + f"{_D}.copies <= self.instances",
            message="durability.copies is more than instances, and in this version every copy is an instance: "
            "raise instances, or lower copies.",
            check=lambda s: _given(s, "copies") is None or s.durability.copies <= s.instances,
        ),
        *(_quorum_rule(copies) for copies in range(1, MAX_VOTING + 1)),
    )
