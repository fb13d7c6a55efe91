"""The cluster's record: ConfigMap `<cluster>-record`, key `record.json`, changed only by compare-and-swap.

The operator creates it once; after that only the leader's agent changes it, by a PUT with the resourceVersion that
it read. Elections and commits never need it; initialisation and membership changes always do.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from aurora_operator.api.agent.messages import ConfigStatus
from aurora_operator.api.base.base import WireModel

RECORD_KEY: Final = "record.json"


class Record(WireModel):
    """What is agreed on outside the copies.

    `state` is `empty` until an instance has taken the right to run initdb, `initialising` (by `owner`, a copy id
    `name/incarnation`) until that has led once, then `initialised`. A cluster that finds volumes of an earlier
    life starts as `initialised`: no instance may ever run initdb then.
    """

    state: Literal["empty", "initialising", "initialised"]
    owner: str | None = None
    system_identifier: str | None = None
    epoch: int = 0
    leader: str | None = Field(default=None, description="Copy id of the last leader that wrote here.")
    config: ConfigStatus | None = None
