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


def quorum_rules() -> tuple[Rule, ...]:
    """Rules between durability and the number of instances; they belong to the spec."""
    return (
        Rule(
            cel=_when("copies") + f"{_D}.copies <= self.instances",
            message="durability.copies is more than instances, and in this version every copy is an instance: "
            "raise instances, or lower copies.",
            check=lambda s: _given(s, "copies") is None or s.durability.copies <= s.instances,
        ),
        Rule(
            cel=_when("writeQuorum") + f"{_D}.writeQuorum <= {_COPIES}",
            message="durability.writeQuorum is more than there are copies, so no commit could ever succeed: "
            "lower writeQuorum, or raise instances and copies.",
            message_cel=f"'durability.writeQuorum ' + string({_D}.writeQuorum) + ' is more than the ' + "
            f"string({_COPIES}) + ' copies, so no commit could ever succeed: use ' + string({_COPIES} / 2 + 1) + "
            f"' to ' + string({_COPIES}) + ', or raise instances and copies.'",
            check=lambda s: _given(s, "write_quorum") is None or s.durability.write_quorum <= s.voting_copies,
            explain=lambda s: (
                f"durability.writeQuorum {s.durability.write_quorum} is more than the {s.voting_copies} "
                f"copies, so no commit could ever succeed: use {default_write_quorum(s.voting_copies)} to "
                f"{s.voting_copies}, or raise instances and copies."
            ),
        ),
        Rule(
            cel=_when("writeQuorum") + f"2 * {_D}.writeQuorum > {_COPIES}",
            message="durability.writeQuorum is not a majority of the copies, so two halves could both take writes: "
            "raise writeQuorum.",
            message_cel=f"'durability.writeQuorum ' + string({_D}.writeQuorum) + ' is not a majority of the ' + "
            f"string({_COPIES}) + ' copies, so two halves could both take writes: use ' + "
            f"string({_COPIES} / 2 + 1) + ' to ' + string({_COPIES}) + '.'",
            check=lambda s: _given(s, "write_quorum") is None or 2 * s.durability.write_quorum > s.voting_copies,
            explain=lambda s: (
                f"durability.writeQuorum {s.durability.write_quorum} is not a majority of the "
                f"{s.voting_copies} copies, so two halves could both take writes: use "
                f"{default_write_quorum(s.voting_copies)} to {s.voting_copies}."
            ),
        ),
    )
