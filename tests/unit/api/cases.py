"""Specs that must be refused, with the sentence that each earns: for the models here, and for a real API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Spec = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """A bad resource, or with `before` a bad change of a good one."""

    id: str
    spec: Spec
    sentence: str
    name: str = "bad"
    before: Spec | None = None

    def manifest(self, namespace: str = "default") -> dict[str, Any]:
        return manifest(self.spec, name=self.name, namespace=namespace)


def manifest(spec: Spec, *, name: str = "bad", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "aurorapg.io/v1alpha1",
        "kind": "AuroraCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _parameter(name: str, value: str | int, sentence: str) -> Bad:
    return Bad(f"parameter-{name}", {"parameters": {name: value}}, sentence)


INSTANCES: Final = "instances must be 1 to 16: one writer and up to 15 readers."
THREE_COPIES: Final = (
    "durability.writeQuorum must be 2 to 3 with 3 copies: with more, no commit could ever succeed, "
    "and less is no majority, so that two halves could both take writes."
)

_BACKUP: Final[Spec] = {"destination": {"volume": {"claimName": "x"}}}
_SCHEDULE: Final = "schedule must have cron's five fields (minute, hour, day of the month, month, day of the week), in"

BAD_SPECS: Final = (
    Bad("no-instances", {"instances": 0}, INSTANCES),
    Bad("seventeen-instances", {"instances": 17}, INSTANCES),
    Bad("negative-instances", {"instances": -1}, INSTANCES),
    Bad(
        "other-major-version",
        {"engineVersion": "16.4"},
        "engineVersion must be 17, or a minor release of it such as 17.12; other major versions are not offered yet.",
    ),
    Bad("version-is-a-word", {"engineVersion": "latest"}, "engineVersion must be 17, or a minor release of it"),
    Bad(
        "clone-and-restore",
        {"cloneFrom": {"cluster": "a"}, "restoreFrom": {"snapshot": "b"}},
        "cloneFrom and restoreFrom exclude each other: keep one of them.",
    ),
    Bad(
        "restore-from-two",
        {"restoreFrom": {"snapshot": "b", "cluster": "c"}},
        "restoreFrom needs one of cluster, destination and snapshot, and only one.",
    ),
    Bad(
        "snapshot-has-one-moment",
        {"restoreFrom": {"snapshot": "b", "target": {"lsn": "0/1"}}},
        "restoreFrom.target does not go with snapshot, whose data are of one moment.",
    ),
    Bad("storage-too-small", {"storage": {"size": "100Mi"}}, "storage.size must be at least 1Gi."),
    Bad(
        "storage-not-a-quantity",
        {"storage": {"size": "ten gigs"}},
        "This is not a quantity: write a positive number with an optional unit, such as 10Gi or 500Gi.",
    ),
    Bad("storage-negative", {"storage": {"size": "-10Gi"}}, "This is not a quantity: write a positive number"),
    Bad(
        "quorum-more-than-copies",
        {"instances": 3, "durability": {"copies": 3, "writeQuorum": 4}},
        THREE_COPIES,
    ),
    Bad(
        "quorum-more-than-instances",
        {"instances": 9, "durability": {"copies": 3, "writeQuorum": 5}},
        THREE_COPIES,
    ),
    Bad(
        "quorum-no-majority",
        {"instances": 4, "durability": {"copies": 4, "writeQuorum": 2}},
        "durability.writeQuorum must be 3 to 4 with 4 copies: with more,",
    ),
    Bad(
        "quorum-no-majority-of-six",
        {"instances": 9, "durability": {"copies": 6, "writeQuorum": 3}},
        "durability.writeQuorum must be 4 to 6 with 6 copies: with more,",
    ),
    Bad("quorum-zero", {"durability": {"writeQuorum": 0}}, "writeQuorum must be 1 to 6: a majority of the copies."),
    Bad(
        "repair-at-once",
        {"durability": {"repairDelaySeconds": 1}},
        "repairDelaySeconds must be 5 to 86400: seconds to wait for a lost copy before it is replaced elsewhere.",
    ),
    Bad(
        "log-volume-too-small",
        {"durability": {"logVolumeSize": "100Mi"}},
        "durability.logVolumeSize must be at least 256Mi.",
    ),
    Bad("no-copies", {"durability": {"copies": 0}}, "copies must be 1 to 6: copies beyond six slow commits"),
    Bad(
        "log-volume-not-a-quantity",
        {"durability": {"logVolumeSize": "much"}},
        "This is not a quantity: write a positive number with an optional unit, such as 10Gi or 500Gi.",
    ),
    Bad(
        "seven-copies",
        {"instances": 9, "durability": {"copies": 7}},
        "copies must be 1 to 6: copies beyond six slow commits and protect little.",
    ),
    Bad("no-zones", {"durability": {"zones": 0}}, "zones must be 1 to 6: the number of zones to spread over."),
    Bad(
        "more-zones-than-named",
        {"durability": {"zones": 3, "availabilityZones": ["zone-a", "zone-b"]}},
        "zones is more than availabilityZones names: name more zones, or lower zones.",
    ),
    Bad(
        "zone-named-twice",
        {"durability": {"availabilityZones": ["zone-a", "zone-a"]}},
        "availabilityZones names a zone twice: name each once.",
    ),
    Bad(
        "instance-outside-the-zones",
        {
            "durability": {"availabilityZones": ["zone-a", "zone-b"]},
            "instanceSettings": [{"instance": 1, "availabilityZone": "zone-c"}],
        },
        "An instance's availabilityZone is not among durability.availabilityZones: "
        "add the zone there, or choose one of those.",
    ),
    Bad(
        "instance-set-twice",
        {"instanceSettings": [{"instance": 1}, {"instance": 1, "promotionTier": 0}]},
        "instanceSettings has two entries for the same instance: merge them into one.",
    ),
    Bad(
        "more-settings-than-instances",
        {"instances": 1, "instanceSettings": [{"instance": 1}, {"instance": 2}]},
        "instanceSettings has more entries than there are instances: remove entries, or raise instances.",
    ),
    Bad(
        "ordinal-zero",
        {"instanceSettings": [{"instance": 0}]},
        "instance must be 1 to 31; it is the number at the end of the instance's name.",
    ),
    Bad("ordinal-too-high", {"instanceSettings": [{"instance": 32}]}, "instance must be 1 to 31;"),
    Bad("tier-too-high", {"promotionTier": 16}, "promotionTier must be 0 to 15; the lowest is promoted first."),
    Bad(
        "tier-negative",
        {"instanceSettings": [{"instance": 1, "promotionTier": -1}]},
        "promotionTier must be 0 to 15; the lowest is promoted first.",
    ),
    Bad(
        "class-and-resources",
        {"instanceClass": "db.r6g.large", "resources": {"limits": {"memory": "1Gi"}}},
        "instanceClass and resources exclude each other: keep one of them.",
    ),
    Bad(
        "class-and-resources-of-an-instance",
        {
            "instanceSettings": [
                {"instance": 1, "instanceClass": "db.r6g.large", "resources": {"limits": {"memory": "1Gi"}}}
            ]
        },
        "instanceClass and resources exclude each other: keep one of them.",
    ),
    Bad(
        "unknown-class",
        {"instanceClass": "db.m5.large"},
        "This instance class is not known: use one of Aurora's, such as db.t4g.medium, db.r6g.large or "
        "db.r8g.2xlarge, db.serverless for one that scales by itself, or set resources instead.",
    ),
    Bad(
        "serverless-without-a-range",
        {"instanceClass": "db.serverless"},
        "instanceClass db.serverless needs serverlessV2ScalingConfiguration with minCapacity and maxCapacity",
    ),
    Bad(
        "a-serverless-reader-without-a-range",
        {"instanceSettings": [{"instance": 2, "instanceClass": "db.serverless"}]},
        "instanceClass db.serverless needs serverlessV2ScalingConfiguration with minCapacity and maxCapacity",
    ),
    Bad(
        "capacity-too-large",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 1, "maxCapacity": 256.5}},
        "maxCapacity must be 1 to 256 ACU.",
    ),
    Bad(
        "capacity-too-small",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0.25, "maxCapacity": 4}},
        "minCapacity must be 0, which lets an idle cluster pause, or 0.5 to 256 ACU.",
    ),
    Bad(
        "capacity-between-steps",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 4.75}},
        "Capacities go in steps of 0.5 ACU: round minCapacity and maxCapacity.",
    ),
    Bad(
        "capacities-crossed",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 8, "maxCapacity": 4}},
        "minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
    ),
    Bad(
        "pause-too-soon",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 4, "secondsUntilAutoPause": 299}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "pause-too-late",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 4, "secondsUntilAutoPause": 86401}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "v1-range-without-v1",
        {"scalingConfiguration": {"minCapacity": 2}},
        "scalingConfiguration is Serverless v1's and needs engineMode serverless: add it, or use",
    ),
    Bad(
        "v1-and-v2",
        {"engineMode": "serverless", "serverlessV2ScalingConfiguration": {"minCapacity": 1, "maxCapacity": 4}},
        "engineMode serverless is Serverless v1 and excludes serverlessV2ScalingConfiguration: use",
    ),
    Bad(
        "v1-with-a-class",
        {"engineMode": "serverless", "instanceClass": "db.r6g.large"},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-resources",
        {"engineMode": "serverless", "resources": {"limits": {"memory": "4Gi"}}},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-an-instance-of-its-own-size",
        {"engineMode": "serverless", "instanceSettings": [{"instance": 2, "instanceClass": "db.r6g.large"}]},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-readers",
        {
            "engineMode": "serverless",
            "readerAutoscaling": {"target": {"metric": "CPUUtilization", "value": 60}},
        },
        "engineMode serverless has no readers: remove readerAutoscaling, or use Serverless v2.",
    ),
    Bad(
        "v1-least-of-no-size",
        {"engineMode": "serverless", "scalingConfiguration": {"minCapacity": 1}},
        "minCapacity must be one of Serverless v1's capacities: 2, 4, 8, 16, 32, 64, 192, 384 ACU.",
    ),
    Bad(
        "v1-most-of-no-size",
        {"engineMode": "serverless", "scalingConfiguration": {"maxCapacity": 256}},
        "maxCapacity must be one of Serverless v1's capacities: 2, 4, 8, 16, 32, 64, 192, 384 ACU.",
    ),
    Bad(
        "v1-capacities-crossed",
        {"engineMode": "serverless", "scalingConfiguration": {"minCapacity": 16, "maxCapacity": 8}},
        "minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
    ),
    Bad(
        "v1-timeout-too-short",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsBeforeTimeout": 59}},
        "secondsBeforeTimeout must be 60 to 600.",
    ),
    Bad(
        "v1-timeout-too-long",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsBeforeTimeout": 601}},
        "secondsBeforeTimeout must be 60 to 600.",
    ),
    Bad(
        "v1-pause-too-soon",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsUntilAutoPause": 299}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "request-over-limit",
        {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}},
        "requests.cpu exceeds limits.cpu: raise the limit or lower the request.",
    ),
    Bad(
        "memory-request-over-limit",
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "requests.memory exceeds limits.memory: raise the limit or lower the request.",
    ),
    Bad(
        "too-little-memory",
        {"resources": {"limits": {"memory": "64Mi"}}},
        "An instance needs at least 256Mi of memory: raise memory in requests and limits.",
    ),
    Bad(
        "cpu-not-a-quantity",
        {"resources": {"requests": {"cpu": "two"}}},
        "This is not a quantity: write a positive number with an optional unit, such as 500m or 2 for cpu, "
        "512Mi or 16Gi for memory.",
    ),
    Bad(
        "database-form",
        {"databaseName": "My-App"},
        "databaseName must be 1 to 63 lower-case letters, digits and underscores, and begin with a letter.",
    ),
    *(
        Bad(
            f"database-{name}",
            {"databaseName": name},
            "This databaseName is reserved for PostgreSQL or for the operator: choose another, such as app.",
        )
        for name in ("postgres", "template0", "template1", "rdsadmin", "replication", "pg_stuff", "aurora_db")
    ),
    Bad(
        "user-form",
        {"masterUsername": "1st"},
        "masterUsername must be 1 to 63 lower-case letters, digits and underscores, and begin with a letter.",
    ),
    *(
        Bad(
            f"user-{name}",
            {"masterUsername": name},
            "This masterUsername is reserved for PostgreSQL or for the operator: choose another, such as app.",
        )
        for name in ("postgres", "rdsadmin", "public", "none", "current_user", "pg_monitor", "aurora_replication")
    ),
    _parameter(
        "port",
        5433,
        "port cannot be set: clients reach the cluster at port 5432 of its Services, "
        "whose addresses and sockets the operator sets up. Remove it from parameters.",
    ),
    _parameter("data_directory", "/tmp", "data_directory cannot be set: the agent keeps PostgreSQL's files"),
    _parameter("include_dir", "/tmp", "include_dir cannot be set: the agent keeps PostgreSQL's files"),
    _parameter("ssl", "off", "ssl cannot be set: the operator issues and renews the certificates"),
    _parameter("synchronous_standby_names", "*", "synchronous_standby_names cannot be set: the agents run replication"),
    _parameter("fsync", "off", "fsync cannot be set: it protects acknowledged writes"),
    _parameter("restart_after_crash", "on", "restart_after_crash cannot be set: the agent starts, stops and restarts"),
    _parameter("archive_command", "true", "archive_command cannot be set: WAL archiving belongs to"),
    _parameter("log_destination", "csvlog", "log_destination cannot be set: PostgreSQL logs to the container's"),
    _parameter("default_transaction_read_only", "on", "default_transaction_read_only cannot be set: it would bind"),
    _parameter("data_checksums", "off", "data_checksums cannot be set: it is fixed when PostgreSQL is built"),
    _parameter(
        "wal_level", "minimal", "wal_level must be replica or logical: the other copies and the backups need the WAL."
    ),
    _parameter("synchronous_commit", "off", "synchronous_commit must be on or remote_apply: commits wait for"),
    _parameter("huge_pages", "on", "huge_pages must be try or off:"),
    _parameter("max_wal_senders", 5, "max_wal_senders must be a number of at least 40:"),
    _parameter("max_connections", "many", "max_connections must be a number of at least 20:"),
    Bad(
        "rehearsal-by-a-word",
        {"backup": {**_BACKUP, "restoreRehearsal": {"schedule": "weekly"}}},
        _SCHEDULE,
    ),
    Bad("rehearsal-at-25", {"backup": {**_BACKUP, "restoreRehearsal": {"schedule": "0 25 * * *"}}}, _SCHEDULE),
    Bad("rehearsal-by-six", {"backup": {**_BACKUP, "restoreRehearsal": {"schedule": "0 0 4 * * 0"}}}, _SCHEDULE),
    Bad("rehearsal-step-0", {"backup": {**_BACKUP, "restoreRehearsal": {"schedule": "*/0 4 * * *"}}}, _SCHEDULE),
    Bad(
        "rehearsal-in-a-blink",
        {"backup": {**_BACKUP, "restoreRehearsal": {"deadlineSeconds": 5}}},
        "deadlineSeconds must be 60 to 604800 seconds.",
    ),
    Bad(
        "rehearsal-in-no-memory",
        {"backup": {**_BACKUP, "restoreRehearsal": {"resources": {"limits": {"memory": "64Mi"}}}}},
        "An instance needs at least 256Mi of memory",
    ),
    Bad(
        "two-parameters",
        {"parameters": {"fsync": "off", "full_page_writes": "off"}},
        "fsync full_page_writes cannot be set: it protects acknowledged writes and always has its safe value here. "
        "Remove it from parameters.",
    ),
    Bad(
        "parameter-in-capitals",
        {"parameters": {"Work_Mem": "4MB"}},
        "A parameter's name must be as PostgreSQL writes it, in lower case, such as work_mem.",
    ),
    Bad(
        "parameter-with-a-line-break",
        {"parameters": {"work_mem": "4MB'\nport = 1"}},
        "A parameter's value must be one line of text, without control characters.",
    ),
    Bad(
        "name-too-long",
        {},
        "metadata.name must have at most 40 characters, because instances, pods and Services add to it: "
        "choose a shorter name.",
        name="a" * 41,
    ),
    Bad("name-with-a-dot", {}, "metadata.name must be lower-case letters, digits and dashes,", name="a.b"),
    Bad("name-begins-with-a-digit", {}, "metadata.name must be lower-case letters, digits and dashes,", name="1st"),
    Bad("name-of-a-service", {}, "metadata.name must not end with -ro, -any, -pods,", name="demo-ro"),
    Bad(
        "more-readers-at-least-than-at-most",
        {
            "readerAutoscaling": {
                "minCapacity": 3,
                "maxCapacity": 2,
                "target": {"metric": "CPUUtilization", "value": 60},
            }
        },
        "readerAutoscaling.maxCapacity must not be less than minCapacity.",
    ),
    Bad(
        "too-many-readers",
        {"readerAutoscaling": {"maxCapacity": 16, "target": {"metric": "CPUUtilization", "value": 60}}},
        "readerAutoscaling.minCapacity and maxCapacity must be 0 to 15.",
    ),
    Bad(
        "more-than-all-of-a-processor",
        {"readerAutoscaling": {"target": {"metric": "CPUUtilization", "value": 101}}},
        "readerAutoscaling.target.value is a percentage for CPUUtilization: use 1 to 100.",
    ),
    Bad(
        "step-too-small",
        {"storage": {"autoscaling": {"step": "512Mi"}}},
        "storage.autoscaling.step must be at least 1Gi.",
    ),
    Bad(
        "maximum-too-large",
        {"storage": {"autoscaling": {"max": "65Ti"}}},
        "storage.autoscaling.max must be at most 64Ti.",
    ),
    Bad(
        "maximum-below-the-size",
        {"storage": {"size": "100Gi", "autoscaling": {"max": "50Gi"}}},
        "storage.autoscaling.max must not be less than storage.size: raise it, or set "
        "storage.autoscaling.enabled to false.",
    ),
    Bad(
        "threshold-too-high",
        {"storage": {"autoscaling": {"thresholdPercent": 99}}},
        "storage.autoscaling.thresholdPercent must be 50 to 95: the used part of a volume at which it grows.",
    ),
)

BAD_CHANGES: Final = (
    Bad(
        "volume-shrinks",
        {"storage": {"size": "2Gi"}},
        "storage.size cannot shrink, because volumes only grow: use 3Gi or more.",
        before={"storage": {"size": "3Gi"}},
    ),
    Bad(
        "volume-shrinks-to-the-default",
        {},
        "storage.size cannot shrink, because volumes only grow: use 20Gi or more.",
        before={"storage": {"size": "20Gi"}},
    ),
    Bad(
        "storage-class-changes",
        {"storage": {"storageClassName": "fast"}},
        "storage.storageClassName cannot change once the cluster exists: put the old value back;",
        before={"storage": {"storageClassName": "slow"}},
    ),
    Bad(
        "storage-class-appears",
        {"storage": {"storageClassName": "fast"}},
        "storage.storageClassName cannot change once the cluster exists: put the old value back;",
        before={},
    ),
    Bad(
        "storage-class-goes",
        {},
        "storage.storageClassName cannot change once the cluster exists: put the old value back;",
        before={"storage": {"storageClassName": "slow"}},
    ),
    Bad(
        "database-changes",
        {"databaseName": "shop"},
        "databaseName cannot change once the cluster exists: put the old value back, "
        "and make further databases with CREATE DATABASE.",
        before={},
    ),
    Bad(
        "user-changes",
        {"masterUsername": "owner"},
        "masterUsername cannot change once the cluster exists: put the old value back, "
        "and make further users with CREATE ROLE.",
        before={},
    ),
    Bad(
        "version-goes-back",
        {"engineVersion": "17.9"},
        "engineVersion cannot go back to an older minor release, which can damage the data: "
        "keep the present one or a newer one.",
        before={"engineVersion": "17.12"},
    ),
    Bad(
        "log-volume-shrinks",
        {"durability": {"logVolumeSize": "1Gi"}},
        "durability.logVolumeSize cannot shrink, because volumes only grow: keep the old size or a larger one.",
        before={"durability": {"logVolumeSize": "4Gi"}},
    ),
    Bad(
        "clone-of-another",
        {"cloneFrom": {"cluster": "b"}},
        "cloneFrom cannot change once the cluster exists: put the old value back, and make another cluster.",
        before={"cloneFrom": {"cluster": "a"}},
    ),
    Bad(
        "clone-appears", {"cloneFrom": {"cluster": "a"}}, "cloneFrom cannot change once the cluster exists:", before={}
    ),
    Bad("clone-goes", {}, "cloneFrom cannot change once the cluster exists:", before={"cloneFrom": {"cluster": "a"}}),
)

GOOD_CHANGES: Final[tuple[tuple[Spec, Spec], ...]] = (
    ({"storage": {"size": "2Gi"}}, {"storage": {"size": "2048Mi"}}),
    ({"storage": {"size": "2Gi"}}, {"storage": {"size": "3Gi"}}),
    ({"engineVersion": "17.9"}, {"engineVersion": "17.12"}),
    ({"engineVersion": "17"}, {"engineVersion": "17.12"}),
    ({"instances": 3}, {"instances": 16}),
    ({"cloneFrom": {"cluster": "a"}}, {"cloneFrom": {"cluster": "a", "type": "copy-on-write"}, "instances": 2}),
    ({"databaseName": "app"}, {}),
    ({"parameters": {"work_mem": "4MB"}}, {"parameters": {"work_mem": "8MB", "max_connections": 200}}),
)

GOOD_SPECS: Final[tuple[Spec, ...]] = (
    {},
    {"instances": 1},
    {"instances": 16, "durability": {"copies": 6, "writeQuorum": 4, "zones": 3}},
    {"instances": 4, "durability": {"copies": 4, "writeQuorum": 3, "zones": 2}},
    {"instances": 1, "durability": {"copies": 6, "writeQuorum": 5, "repairDelaySeconds": 5, "logVolumeSize": "256Mi"}},
    {"instances": 2, "durability": {"copies": 1}},
    {"instances": 2, "instanceSettings": [{"instance": 31, "promotionTier": 0}, {"instance": 5}]},
    {
        "durability": {"availabilityZones": ["zone-a", "zone-b"]},
        "instanceSettings": [{"instance": 1, "availabilityZone": "zone-b", "instanceClass": "db.t4g.medium"}],
    },
    {"resources": {"requests": {"cpu": 1, "memory": "256Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}},
    {"storage": {"size": "1.5Ti", "storageClassName": "fast", "volumeRetention": {"whenDeleted": "Delete"}}},
    {"cloneFrom": {"cluster": "demo", "type": "full-copy"}},
    {"restoreFrom": {"snapshot": "monday"}},
    {
        "backup": {
            **_BACKUP,
            "restoreRehearsal": {"schedule": "*/15 0-6,22 1,15 JAN-MAR MON-FRI", "query": "SELECT 1=1"},
        }
    },
    {"backup": {**_BACKUP, "restoreRehearsal": {"schedule": "0 4 * * sun", "database": "shop"}}},
    {"backup": {**_BACKUP, "restoreRehearsal": {}}},
    {"storage": {"autoscaling": {"enabled": False}}},
    {"readerAutoscaling": {"target": {"metric": "DatabaseConnections", "value": 500}, "disableScaleIn": True}},
    {"storage": {"size": "5Gi", "autoscaling": {"thresholdPercent": 90, "step": "5Gi", "max": "20Gi"}}},
    {"databaseName": "shop_2", "masterUsername": "owner"},
    {
        "parameters": {
            "work_mem": "4MB",
            "max_connections": 100,
            "random_page_cost": "1.1",
            "wal_level": "logical",
            "synchronous_commit": "remote_apply",
            "ssl_min_protocol_version": "TLSv1.3",
            "pg_stat_statements.track": "all",
            "search_path": '"$user", public',
        }
    },
    {
        "deletionProtection": True,
        "image": {"name": "registry.example/pg:1", "pullPolicy": "Always", "pullSecrets": [{"name": "key"}]},
        "scheduling": {
            "nodeSelector": {"disk": "nvme"},
            "tolerations": [{"key": "db", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
            "priorityClassName": "high",
        },
    },
)
