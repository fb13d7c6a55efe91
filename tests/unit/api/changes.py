"""Changes of a good spec: those that must be refused, and those that must not."""

from __future__ import annotations

from typing import Final

from tests.unit.api.case import Bad, Spec

BAD_CHANGES: Final = (
    *(
        Bad(
            f"load-balancer-class-{what}",
            {"services": {"writer": {"type": "LoadBalancer", **after}}},
            "loadBalancerClass of a load balancer that is there cannot change: put the old value back, or set type: "
            "ClusterIP first,",
            before={"services": {"writer": {"type": "LoadBalancer", **before}}},
        )
        for what, before, after in (
            ("changes", {"loadBalancerClass": "a"}, {"loadBalancerClass": "b"}),
            ("appears", {}, {"loadBalancerClass": "b"}),
            ("goes", {"loadBalancerClass": "a"}, {}),
        )
    ),
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
    (
        {"parameters": {"work_mem": "4MB", "transaction_timeout": "500ms", "wal_level": "logical"}},
        {"parameters": {"wal_level": "logical"}},
    ),
    ({"parameters": {"work_mem": "4MB"}, "instances": 2}, {"instances": 2}),
    ({"parameters": {"work_mem": "4MB"}}, {"parameters": {"work_mem": "8MB", "max_connections": 200}}),
)
