"""Where a new cluster's data come from, as its agents are told: `Settings.origin`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel
from aurora_operator.api.base.lsn import Lsn
from aurora_operator.api.spec.repository import Repository
from aurora_operator.api.spec.restore import RestoreTarget


class CloneOrigin(WireModel):
    """Another cluster's data: on the first instance's volume already, or to be copied from a pod of that cluster."""

    kind: Literal["clone"] = "clone"
    source: str = Field(description="What it is made from, for people: `cluster demo`, `snapshot monday`.")
    lsn: Lsn = Field(default=0, description="The data must reach this far; in bytes.")
    running: bool = Field(
        default=False, description="The source goes on: what must not happen in two places must not begin here."
    )
    host: str | None = Field(
        default=None,
        description="DNS name of the pod to copy from, with the credentials in `names.ORIGIN_MOUNT`; None: the data "
        "are on the volume, as a crash would have left them.",
    )


class RestoreOrigin(WireModel):
    """Backups of a cluster, and WAL up to a target. Their Secrets are in `names.RESTORE_MOUNT`."""

    kind: Literal["restore"] = "restore"
    source: str = Field(description="What it is made from, for people: `backups of demo`.")
    lsn: Lsn = Field(default=0, description="As of CloneOrigin; the target says it here.")
    repository: Repository
    target: RestoreTarget = RestoreTarget()
    set: str | None = Field(
        default=None, description="Label of the backup to start from; None: the newest that ends before the target."
    )


Origin = Annotated[CloneOrigin | RestoreOrigin, Field(discriminator="kind")]
