"""`spec.proxy`: a pool of sessions in front of the cluster, whose clients stay when the writer changes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.resources import Resources


class Proxy(RuledModel):
    """Pods of PgBouncer, which follow the writer, behind the Services CLUSTER-proxy and CLUSTER-proxy-ro."""

    replicas: (
        Annotated[
            int,
            Rule(
                cel="self >= 2 && self <= 20",
                message="proxy.replicas must be 2 to 20: with one pod, clients have no proxy while it is replaced.",
                check=lambda count: 2 <= count <= 20,
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="How many pods, 2 to 20. Leave it out where an autoscaler decides: two to begin with then, and "
        "whatever the Deployment's scale says from there on.",
    )
    pool_mode: Literal["transaction", "session"] = Field(
        default="transaction",
        description="When a server session may go to another client: after each transaction, or when its client goes.",
    )
    max_connections_percent: Annotated[
        int,
        Rule(
            cel="self >= 1 && self <= 90",
            message="proxy.maxConnectionsPercent must be 1 to 90: the operator, the agents and you need sessions too.",
            check=lambda percent: 1 <= percent <= 90,
        ),
    ] = Field(
        default=50,
        description="How much of max_connections all pods of the proxy together may use at an instance, in percent.",
    )
    connection_borrow_timeout: Annotated[
        int,
        Rule(
            cel="self >= 1 && self <= 3600",
            message="proxy.connectionBorrowTimeout must be 1 to 3600 seconds.",
            check=lambda seconds: 1 <= seconds <= 3600,
        ),
    ] = Field(
        default=120,
        description="How many seconds a client waits for a server session, while there is no writer for instance, "
        "before its own session ends with an error.",
    )
    max_replica_lag: Annotated[
        int,
        Rule(
            cel="self >= 1 && self <= 3600",
            message="proxy.maxReplicaLag must be 1 to 3600 seconds.",
            check=lambda seconds: 1 <= seconds <= 3600,
        ),
    ] = Field(
        default=30,
        description="Readers that lag by more seconds get no clients; the writer has them if no reader is left.",
    )
    max_client_connections: Annotated[
        int,
        Rule(
            cel="self >= 10 && self <= 50000",
            message="proxy.maxClientConnections must be 10 to 50000.",
            check=lambda count: 10 <= count <= 50_000,
        ),
    ] = Field(default=5000, description="How many clients a pod takes at each of the two Services.")
    max_prepared_statements: Annotated[
        int,
        Rule(
            cel="self >= 0 && self <= 10000",
            message="proxy.maxPreparedStatements must be 0 to 10000.",
            check=lambda count: 0 <= count <= 10_000,
        ),
    ] = Field(
        default=200,
        description="How many of its clients' prepared statements a server session keeps; 0: none, "
        "and clients must not use them with poolMode transaction.",
    )
    resources: Resources | None = Field(
        default=None, description="Size of each pod. Default: 100m CPU and 128Mi of memory requested, 512Mi at most."
    )
