"""How many copies hold a commit before its client hears of it: `spec.durability`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base.quantity import StorageQuantity, is_quantity, to_bytes
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.instances import ZoneName

MAX_VOTING: Final = 6
"""More copies would make every commit wait for more of them, and protect little more."""
MAX_ZONES: Final = 6
DEFAULT_ZONES: Final = 3
LEAST_LOG_VOLUME: Final = "256Mi"
"""Less would not hold what is kept beside the WAL that is needed."""


def _between(name: str, low: int, high: int, why: str) -> Rule:
    return Rule(
        cel=f"self >= {low} && self <= {high}",
        message=f"{name} must be {low} to {high}: {why}.",
        check=lambda value: low <= value <= high,
    )


def default_copies(zones: int, instances: int) -> int:
    """V where none is asked for. Aurora's six in three zones and its Multi-AZ four in two survive the loss of a zone;
    in a single zone every copy is an instance."""
    if zones >= 3:
        return 6
    return 4 if zones == 2 else min(instances, MAX_VOTING)


def default_write_quorum(copies: int) -> int:
    """A majority: 4 of 6, 3 of 4, 2 of 3."""
    return copies // 2 + 1


class Durability(RuledModel):
    """The copies of the data and the quorum of every commit."""

    copies: (
        Annotated[int, _between("copies", 1, MAX_VOTING, "copies beyond six slow commits and protect little")] | None
    ) = Field(
        default=None,
        description="Copies that count for the quorum. Default: 6 where there are three zones or more, 4 in two, else "
        "as many as there are instances, up to 6. Instances count first; log copies, which hold WAL only, fill up.",
    )
    write_quorum: Annotated[int, _between("writeQuorum", 1, MAX_VOTING, "a majority of the copies")] | None = Field(
        default=None,
        description="Copies, the writer included, that must have flushed a commit before its client hears of it. "
        "Default: a majority, such as 2 of 3 or 4 of 6. A new writer needs copies - writeQuorum + 1 copies.",
    )
    zones: Annotated[int, _between("zones", 1, MAX_ZONES, "the number of zones to spread over")] | None = Field(
        default=None,
        description="How many zones to spread the copies over. Default: as many as the cluster has, up to 3.",
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

    repair_delay_seconds: Annotated[
        int, _between("repairDelaySeconds", 5, 86400, "seconds to wait for a lost copy before it is replaced elsewhere")
    ] = Field(
        default=60,
        description="How long a lost copy or zone is waited for, in seconds, before its copies are replaced elsewhere, "
        "and before a writer without its write quorum may go on with the copies that are left.",
    )
    log_volume_size: StorageQuantity = Field(
        default="2Gi", description="Size of each log copy's volume, such as 4Gi. It can grow, and never shrinks."
    )

    @property
    def log_volume_bytes(self) -> int:
        """Size of each log copy's volume."""
        return to_bytes(self.log_volume_size)

    RULES: ClassVar = (
        Rule(
            field_path=".logVolumeSize",
            cel="!isQuantity(self.logVolumeSize) || "
            f"quantity(self.logVolumeSize).compareTo(quantity('{LEAST_LOG_VOLUME}')) >= 0",
            message=f"durability.logVolumeSize must be at least {LEAST_LOG_VOLUME}.",
            check=lambda d: not is_quantity(d.log_volume_size) or d.log_volume_bytes >= to_bytes(LEAST_LOG_VOLUME),
        ),
        Rule(
            field_path=".logVolumeSize",
            cel="!isQuantity(self.logVolumeSize) || !isQuantity(oldSelf.logVolumeSize) || "
            "quantity(self.logVolumeSize).compareTo(quantity(oldSelf.logVolumeSize)) >= 0",
            message="durability.logVolumeSize cannot shrink, because volumes only grow: keep the old size or a larger "
            "one.",
        ),
        Rule(
            field_path=".zones",
            cel="!has(self.zones) || !has(self.availabilityZones) || size(self.availabilityZones) == 0 || "
            "self.zones <= size(self.availabilityZones)",
            message="zones is more than availabilityZones names: name more zones, or lower zones.",
            check=lambda d: d.zones is None or not d.availability_zones or d.zones <= len(d.availability_zones),
        ),
    )


_D: Final = "self.durability"


def _when(field: str) -> str:
    return f"!has({_D}) || !has({_D}.{field}) || "


def _quorum_rule(copies: int) -> Rule:
    """One for each number of copies, so that the sentence can name what would work there."""
    least = default_write_quorum(copies)
    return Rule(
        field_path=".durability.writeQuorum",
        cel=_when("writeQuorum") + f"!has({_D}.copies) || {_D}.copies != {copies} || "
        f"({least} <= {_D}.writeQuorum && {_D}.writeQuorum <= {copies})",
        message=write_quorum_problem(copies),
        check=lambda s: (
            s.durability.write_quorum is None
            or s.durability.copies != copies
            or least <= s.durability.write_quorum <= copies
        ),
    )


def write_quorum_problem(copies: int) -> str:
    """The sentence for a write quorum that does not fit the number of copies."""
    least = default_write_quorum(copies)
    what = f"{least}" if least == copies else f"{least} to {copies}"
    return (
        f"durability.writeQuorum must be {what} with {copies} {'copy' if copies == 1 else 'copies'}: with "
        "more, no commit could ever succeed, and less is no majority, so that two halves could both take writes."
    )


def quorum_rules() -> tuple[Rule, ...]:
    """Rules of the write quorum where the number of copies is given; they belong to the spec. Where it is not, it
    depends on the zones, and the operator judges."""
    return tuple(_quorum_rule(copies) for copies in range(1, MAX_VOTING + 1))
