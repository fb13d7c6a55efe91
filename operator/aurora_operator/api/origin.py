"""Where a new cluster's data come from, as its agents are told: `Settings.origin`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aurora_operator.api.base import WireModel


class CloneOrigin(WireModel):
    """Another cluster's data: on the first instance's volume already, or to be copied from a pod of that cluster."""

    kind: Literal["clone"] = "clone"
    source: str = Field(description="What it is made from, for people: `cluster demo`, `snapshot monday`.")
    lsn: int = Field(default=0, ge=0, description="The data must reach this far; in bytes.")
    host: str | None = Field(
        default=None,
        description="DNS name of the pod to copy from, with the credentials in `names.ORIGIN_MOUNT`; None: the data "
        "are on the volume, as a crash would have left them.",
    )


Origin = CloneOrigin
