"""Requests: annotations on an AuroraCluster that ask for something to be done once.

A request that somebody gave by hand is a command: the operator notes in the annotation how far it is, and removes it
when it is over. One that stands in a manifest would be put back by whoever applies that. So it is left as it is, the
operator notes in `status.requests` how far it is, and it counts once for each value that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aurora_operator.api.base import names

REQUESTS: Final = (
    names.ANNOTATION_SWITCHOVER,
    names.ANNOTATION_BACKUP,
    names.ANNOTATION_REHEARSAL,
    names.ANNOTATION_APPLY_NOW,
    names.ANNOTATION_WAKE,
)
"""Those that would do harm when they are repeated. To accept a loss of data is not among them: it names the loss."""


def written_request(cluster: Mapping[str, Any], name: str) -> str | None:
    """What the annotation says, whether it is over or not."""
    found: str | None = ((cluster.get("metadata") or {}).get("annotations") or {}).get(name)
    return found


def request(cluster: Mapping[str, Any], name: str) -> str | None:
    """What is asked of an AuroraCluster, as far as it has come: a user's words, or what the operator made of them.

    None where nothing is asked, or all of it is done or was refused.
    """
    value = written_request(cluster, name)
    for noted in (cluster.get("status") or {}).get("requests") or ():
        if noted.get("name") == name and noted.get("asked") == value:
            stage: str | None = noted.get("stage")
            return stage
    return value
