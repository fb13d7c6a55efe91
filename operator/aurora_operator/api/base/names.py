"""Names, labels, ports and paths that the operator, the agents and their users share."""

from __future__ import annotations

from typing import Final

GROUP: Final = "aurorapg.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "AuroraCluster"
PLURAL: Final = "auroraclusters"

LABEL_CLUSTER: Final = f"{GROUP}/cluster"
LABEL_INSTANCE: Final = f"{GROUP}/instance"
LABEL_COMPONENT: Final = f"{GROUP}/component"
"""`instance` on pods that hold data; `log` on log copies; `rehearsal` on those of rehearsals."""
LABEL_ROLE: Final = f"{GROUP}/role"
"""`writer` or `reader`, put on a pod by its own agent once PostgreSQL serves in that role; `log` on log copies."""
LABEL_MEMBER: Final = f"endpoint.{GROUP}/"
"""With a custom endpoint's name behind it, on the pods that are its members, by the operator: `true`."""
LABEL_ENDPOINT: Final = f"{GROUP}/endpoint"
"""On the Service and the EndpointSlice of a custom endpoint: its name."""
LABEL_ZONE: Final = "topology.kubernetes.io/zone"

ANNOTATION_CLUSTER_UID: Final = f"{GROUP}/cluster-uid"
"""On a claim: the uid of the cluster whose volume it is. Claims have no owner, which would take them with it.
On a final AuroraSnapshot alike."""
ANNOTATION_EPOCH: Final = f"{GROUP}/epoch"
"""On the writer's EndpointSlice: the epoch of the agent that wrote it. A lower epoch never overwrites it."""
ANNOTATION_CLIENTS: Final = f"{GROUP}/clients"
"""On the gateway's pod, by itself: `none`, `waiting` (somebody is held) or `joined` (all have their session)."""
ANNOTATION_WAKE: Final = f"{GROUP}/wake"
"""On the AuroraCluster: wakes a cluster that has paused; removed when it has."""
ANNOTATION_SWITCHOVER: Final = f"{GROUP}/switchover"
"""On the AuroraCluster: asks for a switchover; an instance's name, or `any`."""

ANNOTATION_ACCEPT_DATA_LOSS: Final = f"{GROUP}/accept-data-loss"
"""On the AuroraCluster: accepts the loss that its status states, by the statement's fingerprint and survivors."""
ANNOTATION_BACKUP: Final = f"{GROUP}/backup"
"""On the AuroraCluster: asks for a backup: `full`, `diff` or `incr`."""
ANNOTATION_APPLY_NOW: Final = f"{GROUP}/apply-now"
"""On the AuroraCluster: pending maintenance waits for nothing; removed once it is done."""
ANNOTATION_CANARY: Final = f"{GROUP}/canary"
"""On the AuroraCluster: `true`: it is restarted before all others when the operator or the default image changes."""
ANNOTATION_REHEARSAL: Final = f"{GROUP}/restore-rehearsal"
"""On the AuroraCluster: asks for a rehearsal of a restore: `now`."""

POSTGRES_PORT: Final = 5432
PEER_PORT: Final = 8432
"""Agents among themselves: mutual TLS, one JSON message a line."""
API_PORT: Final = 8433
"""The agent's HTTP API, for the operator: mutual TLS."""
BACKUP_PORT: Final = 8435
"""pgBackRest's server on the writer, for a backup that a reader takes: mutual TLS."""
HEALTH_PORT: Final = 8434
"""Plain HTTP for the kubelet and Prometheus: /livez, /readyz, /metrics. Tells nothing secret, changes nothing."""

CONTAINER: Final = "postgres"
POSTGRES_UID: Final = 10001
"""User and group `postgres` in the instance image."""

DATA_MOUNT: Final = "/data"
"""The volume: `pgdata` (PostgreSQL), `aurora` (the agent's durable state), `kept` (what a rewind put aside)."""
TLS_MOUNT: Final = "/etc/aurora/tls"
"""The Secret `<cluster>-tls`: ca.crt; server.crt/.key (PostgreSQL and the agent's listeners);
agent.crt/.key (client of agents, CN `aurora-agent`);
replication.crt/.key (client of PostgreSQL, CN `aurora_replication`)."""
APP_MOUNT: Final = "/etc/aurora/app"
"""The Secret `<cluster>-app`; the agent reads `username` and `password` to create the master user."""
SETTINGS_MOUNT: Final = "/etc/aurora/settings"
"""The ConfigMap `<cluster>-settings`, key `settings.json`: see `api.agent.settings.Settings`."""
BACKUP_MOUNT: Final = "/etc/aurora/backup"
"""What the repository of `spec.backup` needs: the Secrets `credentials`, `ca` and `encryption` as folders, and the
volume, where it is one, as `volume`."""
RESTORE_MOUNT: Final = "/etc/aurora/restore"
"""The same of the repository in `spec.restoreFrom`, read-only."""
ENV_SOURCE: Final = "AURORA_SOURCE"
ENV_TARGET: Final = "AURORA_TARGET"
"""Of the Jobs of AuroraSnapshots: repositories as `api.spec.repository.Repository`, in JSON, whose Secrets are in
`RESTORE_MOUNT` and `BACKUP_MOUNT`."""
ORIGIN_MOUNT: Final = "/etc/aurora/origin"
"""The Secret `<cluster>-origin`, while the first data of a clone are copied from a running cluster: that cluster's
ca.crt, and replication.crt/.key for this purpose."""
RUN_DIR: Final = "/run/postgresql"
PROXY_RUN_DIR: Final = "/run/aurora-proxy"
PROXY_RO_PORT: Final = 5433
"""In a proxy's pod: where the clients of the readers are."""
PROXY_GATE_PORT: Final = 6432
"""In a proxy's pod, on its own address: where PgBouncer's sessions with the writer go; with readers, the next one."""
"""PostgreSQL's socket directory, in memory."""

AGENT_CN: Final = "aurora-agent"
OPERATOR_CN: Final = "aurora-operator"
REPLICATION_USER: Final = "aurora_replication"
PROXY_USER: Final = "aurora_proxy"
"""The proxy's, at instances, where it looks verifiers of passwords up and can do nothing else, and at agents."""


def instance_name(cluster: str, ordinal: int) -> str:
    """Name of an instance, its StatefulSet and its PersistentVolumeClaim."""
    return f"{cluster}-{ordinal}"


def log_name(cluster: str, number: int) -> str:
    """Name of a log copy, its StatefulSet; its PersistentVolumeClaim and pod are named after it as an instance's."""
    return f"{cluster}-log-{number}"


def pod_name(instance: str) -> str:
    """Name of the only pod of an instance or a log copy."""
    return f"{instance}-0"


def pods_service(cluster: str) -> str:
    """The headless Service that gives each pod a name in the DNS."""
    return f"{cluster}-pods"


def pod_host(cluster: str, namespace: str, instance: str) -> str:
    """DNS name of an instance's pod, covered by the cluster's server certificate."""
    return f"{pod_name(instance)}.{pods_service(cluster)}.{namespace}.svc"


def writer_service(cluster: str) -> str:
    """The Service that follows the writer."""
    return cluster


def reader_service(cluster: str) -> str:
    """The Service over the readers; over the writer when there are none."""
    return f"{cluster}-ro"


def any_service(cluster: str) -> str:
    """The Service over all instances."""
    return f"{cluster}-any"


def writer_endpointslice(cluster: str) -> str:
    """The EndpointSlice of the writer Service; agents write it, the operator repairs it."""
    return f"{cluster}-writer"


def any_endpointslice(cluster: str) -> str:
    """The EndpointSlice of the writer's part in the Service over all instances; the operator writes it."""
    return f"{any_service(cluster)}-writer"


def proxy(cluster: str) -> str:
    """The proxy's Deployment, Service for the writer, ServiceAccount and budget."""
    return f"{cluster}-proxy"


def proxy_reader_service(cluster: str) -> str:
    """The proxy's Service for readers."""
    return f"{cluster}-proxy-ro"


def proxy_secret(cluster: str) -> str:
    """The proxy's certificates."""
    return f"{cluster}-proxy"


def custom_service(cluster: str, endpoint: str) -> str:
    """The Service of a custom endpoint."""
    return f"{cluster}-{endpoint}"


def custom_endpointslice(cluster: str, endpoint: str) -> str:
    """The EndpointSlice of the writer's part in it; the operator writes it."""
    return f"{custom_service(cluster, endpoint)}-writer"


def gateway(cluster: str) -> str:
    """The gateway's StatefulSet, ServiceAccount and Role."""
    return f"{cluster}-gateway"


def app_secret(cluster: str) -> str:
    """The connection Secret for applications."""
    return f"{cluster}-app"


def binding_path(cluster: str) -> str:
    """Where an application's pod has the connection Secret mounted, by convention: the root that servicebinding.io
    recommends, and below it the binding's name, which is the cluster's."""
    return f"/bindings/{cluster}"


def connection_secret(cluster: str) -> str:
    """Like `app_secret`, where a Secret of that name is somebody else's and holds the password only."""
    return f"{cluster}-connection"


def ca_secret(cluster: str) -> str:
    """The certificate authority; only the operator reads it."""
    return f"{cluster}-ca"


def tls_secret(cluster: str) -> str:
    """The certificates that the pods mount."""
    return f"{cluster}-tls"


def origin_secret(cluster: str) -> str:
    """Credentials of a clone at the cluster that it is copied from; gone once it is complete."""
    return f"{cluster}-origin"


def origin_snapshot(cluster: str) -> str:
    """The VolumeSnapshot that a clone is made from; gone once it is complete."""
    return f"{cluster}.origin"


def seed_snapshot(instance: str) -> str:
    """The VolumeSnapshot that an instance's new volume is made from; gone once it is."""
    return f"{instance}.seed"


def stanza(cluster: str, uid: str) -> str:
    """What the cluster's backups are called in their destination: no other cluster, not even a later one of the same
    name, ever writes there."""
    return f"{cluster}-{uid[:8]}"


def rehearsal_job(cluster: str, token: int) -> str:
    """The Job of a rehearsal; `token` is a time in seconds since 1970."""
    return f"{cluster}-rehearsal-{token}"


def rehearsal_policy(cluster: str) -> str:
    """The NetworkPolicy of the pods of rehearsals."""
    return f"{cluster}.rehearsal"


def snapshot_path(destination: str, snapshot: str, uid: str, attempt: int | None = None) -> str:
    """Where in a destination an AuroraSnapshot's backup is; without `attempt`, the folder that holds all of them.
    Nothing else is ever stored there, not even by a later AuroraSnapshot of the same name."""
    folder = f"{destination}/snapshots/{snapshot[:40]}-{uid[:8]}"
    return folder if attempt is None else f"{folder}/{attempt}"


def snapshot_job(snapshot: str, uid: str, verb: str) -> str:
    """The Job that copies an AuroraSnapshot's backup, or removes it."""
    return f"{snapshot[:40].rstrip('.-')}-{uid[:8]}-{verb}".replace(".", "-")


def settings_configmap(cluster: str) -> str:
    """What the operator asks of the agents."""
    return f"{cluster}-settings"


def record_configmap(cluster: str) -> str:
    """The cluster's record: see `api.agent.record.Record`."""
    return f"{cluster}-record"


RESERVED_ENDINGS: Final = ("-ro", "-any", "-pods", "-log", "-gateway", "-proxy")
"""No cluster's name ends like this: another cluster has objects that are called so."""
RESERVED_SNAPSHOT_ENDINGS: Final = (".origin", ".seed")
"""No AuroraSnapshot's name ends like this: its VolumeSnapshot has its name."""

_RIGHTS: Final = ("ServiceAccount", "Role", "RoleBinding")
GENERATED: Final[tuple[tuple[str, str], ...]] = (
    ("Service", "{cluster}"),
    ("Service", "{cluster}-ro"),
    ("Service", "{cluster}-any"),
    ("Service", "{cluster}-pods"),
    ("EndpointSlice", "{cluster}-writer"),
    ("EndpointSlice", "{cluster}-any-writer"),
    ("Secret", "{cluster}-app"),
    ("Secret", "{cluster}-connection"),
    ("Secret", "{cluster}-ca"),
    ("Secret", "{cluster}-tls"),
    ("Secret", "{cluster}-origin"),
    ("ConfigMap", "{cluster}-settings"),
    ("ConfigMap", "{cluster}-record"),
    *((kind, "{cluster}") for kind in _RIGHTS),
    *((kind, "{cluster}-log") for kind in _RIGHTS),
    *((kind, "{cluster}-gateway") for kind in _RIGHTS),
    ("Service", "{cluster}-proxy"),
    ("Service", "{cluster}-proxy-ro"),
    ("Secret", "{cluster}-proxy"),
    ("ServiceAccount", "{cluster}-proxy"),
    ("Deployment", "{cluster}-proxy"),
    ("PodDisruptionBudget", "{cluster}-proxy"),
    ("NetworkPolicy", "{cluster}-proxy"),
    ("PodDisruptionBudget", "{cluster}"),
    ("NetworkPolicy", "{cluster}"),
    ("NetworkPolicy", "{cluster}.rehearsal"),
    ("StatefulSet", "{cluster}-{number}"),
    ("StatefulSet", "{cluster}-log-{number}"),
    ("StatefulSet", "{cluster}-gateway"),
    ("Pod", "{cluster}-{number}-0"),
    ("Pod", "{cluster}-log-{number}-0"),
    ("Pod", "{cluster}-gateway-0"),
    ("PersistentVolumeClaim", "data-{cluster}-{number}"),
    ("PersistentVolumeClaim", "data-{cluster}-log-{number}"),
    ("Job", "{cluster}-rehearsal-{number}"),
    ("Job", "{snapshot}-{uid}-copy"),
    ("Job", "{snapshot}-{uid}-remove"),
    ("VolumeSnapshot", "{cluster}.origin"),
    ("VolumeSnapshot", "{cluster}-{number}.seed"),
    ("VolumeSnapshot", "{snapshot}"),
    ("AuroraSnapshot", "{cluster}-final-{uid}"),
    ("AuroraSnapshot", "{cluster}-final-{uid}-{number}"),
)
"""Every name that is made from a cluster's or a snapshot's. A cluster's name has no dot, so that an ending with one
meets nothing of another cluster; for the others, see `RESERVED_ENDINGS`. A test holds that no two names of one kind are
the same. Not in it are custom endpoints' (`custom_service`): another cluster may be called so, and whoever comes second
is told. Whose an object is, is never told from its name: see `planning.ownership`."""
