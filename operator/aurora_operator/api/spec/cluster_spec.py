"""What a user asks for: `spec` of an AuroraCluster, and what follows from it."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.access import AllowedFrom, Certificates
from aurora_operator.api.spec.autoscaling import ReaderAutoscaling
from aurora_operator.api.spec.backup import Backup, BackupWindow, RetentionPeriod
from aurora_operator.api.spec.capacity import (
    LEAST_RUNNING,
    PAUSE_SECONDS,
    AutoPauseIgnore,
    CapacityRange,
    ServerlessV2,
    capacity_resources,
)
from aurora_operator.api.spec.classes import SERVERLESS
from aurora_operator.api.spec.clone import CloneFrom, clone_rules
from aurora_operator.api.spec.durability import Durability, default_copies, default_write_quorum, quorum_rules
from aurora_operator.api.spec.endpoints import CustomEndpoints
from aurora_operator.api.spec.instances import (
    MAX_INSTANCES,
    InstanceSettings,
    PromotionTier,
    exclusive,
    instance_ordinals,
    settings_rules,
)
from aurora_operator.api.spec.maintenance import MaintenanceWindow
from aurora_operator.api.spec.parameters import Parameters
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.api.spec.proxy import Proxy
from aurora_operator.api.spec.reserved import DatabaseName, MasterUsername
from aurora_operator.api.spec.resources import InstanceClassName, Resources, class_resources
from aurora_operator.api.spec.restore import RestoreFrom
from aurora_operator.api.spec.serverless_v1 import EngineMode, ScalingConfiguration, serverless_v1_rules
from aurora_operator.api.spec.services import Services
from aurora_operator.api.spec.storage import Storage

_VERSION: Final = re.compile(r"17(\.\d{1,3})?", re.ASCII)


class AuroraClusterSpec(RuledModel):
    """A PostgreSQL cluster: one writer, its readers, and how they are kept."""

    engine_version: Annotated[
        str,
        Field(max_length=16),
        Rule(
            cel="self.matches('^17([.][0-9]{1,3})?$')",
            message="engineVersion must be 17, or a minor release of it such as 17.12; "
            "other major versions are not offered yet.",
            check=lambda version: _VERSION.fullmatch(version) is not None,
        ),
        Rule(
            cel="!self.matches('^[0-9]+[.][0-9]+$') || !oldSelf.matches('^[0-9]+[.][0-9]+$') || "
            "self.split('.')[0] != oldSelf.split('.')[0] || "
            "int(self.split('.')[1]) >= int(oldSelf.split('.')[1])",
            message="engineVersion cannot go back to an older minor release, which can damage the data: "
            "keep the present one or a newer one.",
        ),
    ] = Field(
        default="17",
        description="PostgreSQL's version: 17, or a minor release of it such as 17.12, which the image must hold.",
    )
    engine_mode: EngineMode = Field(
        default="provisioned",
        description="serverless: Aurora Serverless v1, with scalingConfiguration and without readers. provisioned: all "
        "else, instances of class db.serverless too.",
    )
    instances: Annotated[
        int,
        Rule(
            cel=f"self >= 1 && self <= {MAX_INSTANCES}",
            message=f"instances must be 1 to {MAX_INSTANCES}: one writer and up to 15 readers.",
            check=lambda count: 1 <= count <= MAX_INSTANCES,
        ),
    ] = Field(default=3, description="How many instances: one writer, the others readers; 1 to 16.")
    instance_class: InstanceClassName | None = Field(
        default=None, description="Size of each instance, as an Aurora class such as db.r6g.large."
    )
    resources: Resources | None = Field(
        default=None,
        description="Size of each instance, as requests and limits. Default: 250m CPU requested, 1Gi of memory.",
    )
    serverless_v2_scaling_configuration: ServerlessV2 | None = Field(
        default=None, description="The range of the instances whose instanceClass is db.serverless."
    )
    scaling_configuration: ScalingConfiguration | None = Field(
        default=None, description="With engineMode serverless: the range in which the cluster scales, and how."
    )
    stopped: bool = Field(
        default=False,
        description="While true, the cluster is stopped in order: its pods go, its volumes stay, and clients are "
        "refused.",
    )
    auto_pause_ignore: AutoPauseIgnore = Field(
        default=AutoPauseIgnore(), description="Sessions that do not keep an idle cluster from pausing."
    )
    promotion_tier: PromotionTier = Field(
        default=1, description="Promotion tier of each instance, 0 to 15; the lowest is promoted first."
    )
    instance_settings: Annotated[tuple[InstanceSettings, ...], Field(max_length=MAX_INSTANCES), *settings_rules()] = (
        Field(
            default=(),
            description="Instances that differ from the others. Those named here exist; the other instances get the "
            "lowest numbers that are free.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["instance"]},
        )
    )
    reader_autoscaling: ReaderAutoscaling | None = Field(
        default=None, description="Have readers come and go with the load, besides those of instances."
    )
    storage: Storage = Field(default=Storage(), description="The volume of each instance.")
    durability: Durability = Field(
        default=Durability(), description="The copies of the data, their zones, and the quorum of every commit."
    )
    database_name: DatabaseName = Field(
        default="app", description="The database that is made with the cluster. It cannot change."
    )
    master_username: MasterUsername = Field(
        default="app",
        description="The user that owns the database; its password is in Secret CLUSTER-app. It cannot change.",
    )
    parameters: Parameters = Field(
        default_factory=dict,
        description="PostgreSQL's parameters, by lower-case name. Quote what YAML would not take as text or a whole "
        'number: "on", "off", "1.1". Those that the operator sets itself are refused.',
    )
    clone_from: CloneFrom | None = Field(
        default=None, description="Begin with another cluster's data instead of an empty database. It cannot change."
    )
    deletion_protection: bool = Field(
        default=False, description="While true, deleting the cluster does not take effect."
    )
    skip_final_snapshot: bool = Field(
        default=False,
        description="When the cluster is deleted, and its volumes with it by storage.volumeRetention.whenDeleted, "
        "an AuroraSnapshot is made first, and deletion waits for it. true: delete without one.",
    )
    final_snapshot_method: Literal["VolumeSnapshot", "Backup"] | None = Field(
        default=None,
        description="How that AuroraSnapshot is made: by the storage driver, or as a backup in backup.destination. "
        "Default: VolumeSnapshot where the driver has a VolumeSnapshotClass, else Backup where there is spec.backup.",
    )
    backup: Backup | None = Field(default=None, description="Continuous backup. Without it there is none.")
    backup_retention_period: RetentionPeriod = Field(
        default=7, description="How many days back a restore can go, 1 to 35. With backup."
    )
    preferred_backup_window: BackupWindow = Field(
        default="02:00-03:00", description="When backups are taken, hh24:mi-hh24:mi in UTC. With backup."
    )
    preferred_maintenance_window: MaintenanceWindow | None = Field(
        default=None,
        description="When the operator may restart what no edit of this resource asked for, ddd:hh24:mi-ddd:hh24:mi in "
        "UTC, such as sun:03:00-sun:04:00: after an upgrade of the operator or of the default image. Default: always.",
    )
    restore_from: RestoreFrom | None = Field(
        default=None,
        description="Begin with the data of backups, or of a snapshot, instead of an empty database. It cannot change.",
    )
    proxy: Proxy | None = Field(
        default=None,
        description="Have a pool of sessions in front of the cluster, behind Services of its own: CLUSTER-proxy leads "
        "to the writer, CLUSTER-proxy-ro to readers. Clients stay connected when the writer changes.",
    )
    image: Image = Field(default=Image(), description="The image of the instances.")
    scheduling: Scheduling = Field(default=Scheduling(), description="Which nodes the pods may run on.")
    pod_metadata: PodMetadata = Field(
        default=PodMetadata(),
        description="Labels and annotations of your own on the pods of instances, log copies, gateway and proxy. A "
        "change replaces the pods one at a time.",
    )
    services: Services = Field(
        default=Services(), description="How the endpoints of the writer, the readers and any instance are reached."
    )
    endpoints: CustomEndpoints = Field(
        default=(),
        description="Custom endpoints: each leads to some of the instances, as they come, go and change their roles.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )

    allowed_from: AllowedFrom | None = Field(
        default=None,
        description="Who may connect to PostgreSQL, by the NetworkPolicy, besides the cluster's own pods. Empty: "
        "nobody. Default: everybody.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    certificates: Certificates = Field(default=Certificates(), description="The server's certificate.")

    RULES: ClassVar = (
        Rule(
            cel="!has(self.finalSnapshotMethod) || self.finalSnapshotMethod != 'Backup' || has(self.backup)",
            message="finalSnapshotMethod: Backup needs backup, in whose destination the snapshot is kept.",
            check=lambda s: s.final_snapshot_method != "Backup" or s.backup is not None,
        ),
        exclusive,
        Rule(
            field_path=".endpoints",
            cel="!has(self.endpoints) || size(self.endpoints) == 0 || !has(self.engineMode) || "
            "self.engineMode != 'serverless'",
            message="endpoints need instances to choose from: with engineMode serverless there is only the writer.",
            check=lambda s: not s.endpoints or s.engine_mode != "serverless",
        ),
        *serverless_v1_rules(),
        Rule(
            field_path=".instanceClass",
            cel="has(self.serverlessV2ScalingConfiguration) || "
            f"((!has(self.instanceClass) || self.instanceClass != '{SERVERLESS}') && "
            "(!has(self.instanceSettings) || "
            f"self.instanceSettings.all(i, !has(i.instanceClass) || i.instanceClass != '{SERVERLESS}')))",
            message=f"instanceClass {SERVERLESS} needs serverlessV2ScalingConfiguration with minCapacity and "
            "maxCapacity: add it, or choose a class with a size.",
            check=lambda s: (
                s.serverless_v2_scaling_configuration is not None
                or all(item.instance_class != SERVERLESS for item in (s, *s.instance_settings))
            ),
        ),
        Rule(
            field_path=".instanceSettings",
            cel="!has(self.instanceSettings) || size(self.instanceSettings) <= self.instances",
            message="instanceSettings has more entries than there are instances: remove entries, or raise instances.",
            check=lambda s: len(s.instance_settings) <= s.instances,
        ),
        Rule(
            field_path=".instanceSettings",
            cel="!has(self.durability) || !has(self.durability.availabilityZones) || "
            "size(self.durability.availabilityZones) == 0 || !has(self.instanceSettings) || "
            "self.instanceSettings.all(i, !has(i.availabilityZone) || "
            "i.availabilityZone in self.durability.availabilityZones)",
            message="An instance's availabilityZone is not among durability.availabilityZones: "
            "add the zone there, or choose one of those.",
            check=lambda s: (
                not s.durability.availability_zones
                or all(
                    i.availability_zone is None or i.availability_zone in s.durability.availability_zones
                    for i in s.instance_settings
                )
            ),
        ),
        *quorum_rules(),
        *clone_rules,
        Rule(
            field_path=".restoreFrom",
            cel="has(self.restoreFrom) == has(oldSelf.restoreFrom) && "
            "(!has(self.restoreFrom) || self.restoreFrom == oldSelf.restoreFrom)",
            message="restoreFrom cannot change once the cluster exists: put the old value back, and make a new cluster "
            "for another restore.",
        ),
        Rule(
            field_path=".restoreFrom",
            cel="!(has(self.restoreFrom) && has(self.cloneFrom))",
            message="restoreFrom and cloneFrom exclude each other: keep one of them.",
            check=lambda s: s.restore_from is None or s.clone_from is None,
        ),
    )

    @property
    def ordinals(self) -> tuple[int, ...]:
        """Ordinals of the instances that should exist, ascending."""
        return instance_ordinals(self.instances, (item.instance for item in self.instance_settings))

    def voting_copies(self, zones: int) -> int:
        """V: copies that count for the quorum, where there are so many zones to spread them over."""
        return self.durability.copies or default_copies(zones, self.instances)

    def write_quorum(self, copies: int) -> int:
        """W of so many copies: how many, the writer included, flush a commit before its client hears of it."""
        least = default_write_quorum(copies)
        return min(max(self.durability.write_quorum or least, least), copies)

    def settings_of(self, ordinal: int) -> InstanceSettings | None:
        """What is different about an instance, or None."""
        return next((item for item in self.instance_settings if item.instance == ordinal), None)

    @property
    def serverless_v1(self) -> ScalingConfiguration | None:
        """How the cluster scales by the rules of Serverless v1, or None if it does not."""
        if self.engine_mode != "serverless":
            return None
        return self.scaling_configuration or ScalingConfiguration()

    def capacity_of(self, ordinal: int) -> CapacityRange | None:
        """The range in which an instance scales, or None if it does not."""
        if self.serverless_v1 is not None:
            return self.serverless_v1.range
        scaling = self.serverless_v2_scaling_configuration
        source = self.settings_of(ordinal)
        if source is None or (source.instance_class is None and source.resources is None):
            serverless = self.instance_class == SERVERLESS
        else:
            serverless = source.instance_class == SERVERLESS
        if scaling is None or not serverless:
            return None
        return CapacityRange(
            least=max(scaling.min_capacity, LEAST_RUNNING),
            most=scaling.max_capacity,
            follows_writer=self.promotion_tier_of(ordinal) <= 1,
        )

    @property
    def pauses(self) -> bool:
        """Whether the cluster pauses when nobody uses it."""
        if self.serverless_v1 is not None:
            return self.serverless_v1.auto_pause
        scaling = self.serverless_v2_scaling_configuration
        return (
            scaling is not None
            and scaling.min_capacity == 0
            and any(self.capacity_of(ordinal) is not None for ordinal in self.ordinals)
        )

    @property
    def seconds_until_auto_pause(self) -> int:
        """After how long."""
        scaling = self.serverless_v1 or self.serverless_v2_scaling_configuration
        return scaling.seconds_until_auto_pause if scaling is not None else PAUSE_SECONDS[0]

    def resources_of(self, ordinal: int) -> Resources:
        """An instance's size: its own class or resources, else the cluster's, else a small default. Of one that
        scales, the largest."""
        capacity = self.capacity_of(ordinal)
        if capacity is not None:
            return capacity_resources(capacity.most)
        for source in (self.settings_of(ordinal), self):
            if source is not None and source.instance_class is not None:
                return class_resources(source.instance_class)
            if source is not None and source.resources is not None:
                return source.resources
        return Resources()

    def promotion_tier_of(self, ordinal: int) -> int:
        """An instance's promotion tier."""
        item = self.settings_of(ordinal)
        return self.promotion_tier if item is None or item.promotion_tier is None else item.promotion_tier

    def zone_of(self, ordinal: int) -> str | None:
        """The zone that an instance must be in, or None if any will do."""
        item = self.settings_of(ordinal)
        return None if item is None else item.availability_zone
