"""The volumes of instances: `spec.storage`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import Model
from aurora_operator.api.base.quantity import StorageQuantity, is_quantity, to_bytes
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.autoscaling import StorageAutoscaling

LEAST_STORAGE: Final = "1Gi"


class VolumeRetention(Model):
    """What becomes of volumes that are no longer used."""

    when_deleted: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="When the AuroraCluster is deleted: Retain keeps the volumes, and a cluster of the same name uses "
        "them again; Delete deletes them.",
    )
    when_scaled: Literal["Retain", "Delete"] = Field(
        default="Delete", description="When an instance is removed: Delete deletes its volume, Retain keeps it."
    )


class Storage(RuledModel):
    """The volume of each instance."""

    size: StorageQuantity = Field(
        default="10Gi",
        description="Size of each instance's volume to begin with, such as 100Gi. It can grow, and never shrinks.",
    )
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="StorageClass of the volumes. Default: the cluster's. It cannot change."
    )
    volume_retention: VolumeRetention = Field(
        default=VolumeRetention(), description="What becomes of volumes that are no longer used."
    )

    autoscaling: StorageAutoscaling = Field(
        default=StorageAutoscaling(), description="When volumes grow by themselves, and how far."
    )

    @property
    def size_bytes(self) -> int:
        """Size of each volume."""
        return to_bytes(self.size)

    RULES: ClassVar = (
        Rule(
            field_path=".size",
            cel=f"!isQuantity(self.size) || quantity(self.size).compareTo(quantity('{LEAST_STORAGE}')) >= 0",
            message=f"storage.size must be at least {LEAST_STORAGE}.",
            check=lambda s: not is_quantity(s.size) or s.size_bytes >= to_bytes(LEAST_STORAGE),
        ),
        Rule(
            field_path=".autoscaling",
            cel="!has(self.autoscaling) || !has(self.autoscaling.max) || !isQuantity(self.autoscaling.max) || "
            "!isQuantity(self.size) || quantity(self.autoscaling.max).compareTo(quantity(self.size)) >= 0",
            message="storage.autoscaling.max must not be less than storage.size: raise it, or set "
            "storage.autoscaling.enabled to false.",
            check=lambda s: (
                not is_quantity(s.autoscaling.max) or not is_quantity(s.size) or s.autoscaling.max_bytes >= s.size_bytes
            ),
        ),
        Rule(
            field_path=".size",
            cel="!isQuantity(self.size) || !isQuantity(oldSelf.size) || "
            "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            message="storage.size cannot shrink, because volumes only grow: keep the old size or a larger one.",
            message_cel="'storage.size cannot shrink, because volumes only grow: use ' + oldSelf.size + ' or more.'",
        ),
        Rule(
            field_path=".storageClassName",
            cel="has(self.storageClassName) == has(oldSelf.storageClassName) && "
            "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
            message="storage.storageClassName cannot change once the cluster exists: put the old value back; "
            "to move the data, make a new cluster with the new class.",
        ),
    )
