"""Specs that must be refused, with the sentence that each earns: for the models here, and for a real API server."""

from __future__ import annotations

from typing import Final

from tests.unit.api.bad_endpoints import BAD_ENDPOINTS
from tests.unit.api.bad_metadata import BAD_METADATA
from tests.unit.api.bad_services import BAD_SERVICES
from tests.unit.api.bad_sizes import BAD_SIZES
from tests.unit.api.bad_texts import BAD_TEXTS
from tests.unit.api.case import Bad, Spec

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
    Bad("proxy-of-one-pod", {"proxy": {"replicas": 1}}, "proxy.replicas must be 2 to 20: with one pod"),
    Bad(
        "proxy-takes-all-sessions",
        {"proxy": {"maxConnectionsPercent": 91}},
        "proxy.maxConnectionsPercent must be 1 to 90",
    ),
    Bad(
        "proxy-waits-for-no-time",
        {"proxy": {"connectionBorrowTimeout": 0}},
        "proxy.connectionBorrowTimeout must be 1 to 3600 seconds.",
    ),
    Bad("proxy-lag", {"proxy": {"maxReplicaLag": 3601}}, "proxy.maxReplicaLag must be 1 to 3600 seconds."),
    Bad("proxy-clients", {"proxy": {"maxClientConnections": 9}}, "proxy.maxClientConnections must be 10 to 50000."),
    Bad(
        "proxy-statements",
        {"proxy": {"maxPreparedStatements": 10_001}},
        "proxy.maxPreparedStatements must be 0 to 10000.",
    ),
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
    *BAD_METADATA,
    *BAD_SERVICES,
    *BAD_ENDPOINTS,
    *BAD_SIZES,
    *BAD_TEXTS,
)

GOOD_SPECS: Final[tuple[Spec, ...]] = (
    {},
    {"instances": 1},
    {"instances": 16, "durability": {"copies": 6, "writeQuorum": 4, "zones": 3}},
    {"instances": 4, "durability": {"copies": 4, "writeQuorum": 3, "zones": 2}},
    {"instances": 1, "durability": {"copies": 6, "writeQuorum": 5, "repairDelaySeconds": 5, "logVolumeSize": "256Mi"}},
    {"instances": 2, "durability": {"copies": 1}},
    {"proxy": {}},
    {"proxy": {"replicas": 3, "poolMode": "session", "connectionBorrowTimeout": 30, "maxPreparedStatements": 0}},
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
        "services": {
            "writer": {
                "type": "LoadBalancer",
                "loadBalancerClass": "example.com/internal",
                "loadBalancerSourceRanges": ["10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32", "::/0"],
                "annotations": {"external-dns.alpha.kubernetes.io/hostname": "db.example.com"},
                "labels": {"team": "shop"},
            },
            "reader": {"type": "NodePort", "nodePort": 30432, "externalTrafficPolicy": "Local"},
            "any": {},
        }
    },
    {
        "endpoints": [
            {"name": "reports", "staticMembers": [2, 31], "service": {"type": "NodePort"}},
            {"name": "all", "type": "any", "excludedMembers": [1]},
            {"name": "near-and-spare", "promotionTiers": [0, 15], "availabilityZones": ["zone-a"]},
            {"name": "a"},
            {"name": "b", "staticMembers": []},
        ]
    },
    {"allowedFrom": []},
    {
        "allowedFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}},
            {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "web"}}, "namespaceSelector": {}},
            {"ipBlock": {"cidr": "2001:db8::/32"}},
        ],
        "certificates": {"dnsNames": ["db.example.com", "*.db.example.com", "localhost"]},
    },
    {
        "podMetadata": {
            "labels": {"team": "shop", "example.com/cost-center": "", "app.kubernetes.io/part-of": "shop_1.0"},
            "annotations": {"sidecar.istio.io/inject": "false", "a/b": "any text, {even} this\nand this"},
        }
    },
    {
        "parameters": {
            "work_mem": "4MB",
            "max_connections": 100,
            "random_page_cost": "1.1",
            "wal_level": "logical",
            "synchronous_commit": "on",
            "transaction_timeout": "500ms",
            "temp_file_limit": "10 GB",
            "wal_sender_timeout": "1min",
            "default_transaction_isolation": "serializable",
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
