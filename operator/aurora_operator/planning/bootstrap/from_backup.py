"""`spec.restoreFrom`: how a cluster gets the data of backups."""

from __future__ import annotations

from aurora_operator.api.agent.origin import RestoreOrigin
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.repository import Repository
from aurora_operator.api.spec.restore import RestoreFrom
from aurora_operator.api.status import OriginStatus
from aurora_operator.planning.bootstrap.clone import source_facts
from aurora_operator.planning.bootstrap.first_data import Beginning, moment
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.view.parsing import parse_spec


def plan_restore(wanted: RestoreFrom, bootstrap: int, facts: Facts, before: OriginStatus | None) -> Beginning:
    """The first data come from backups; what was begun goes on with what it was begun with."""
    whose = wanted.cluster or wanted.stanza or ""
    status = before or OriginStatus(
        source=f"backups of {whose}, to {wanted.target.describe()}", method="Restore", started_at=moment(facts)
    )
    if facts.initialised:
        done = status if status.completed_at else status.model_copy(update={"completed_at": moment(facts)})
        return Beginning(status=done)
    known = facts.settings.origin if facts.settings is not None else None
    if isinstance(known, RestoreOrigin):
        return Beginning(origin=known, bootstrap=bootstrap, status=status, message=f"Restoring {status.source}.")
    repository = _repository(wanted, facts)
    if isinstance(repository, str):
        return Beginning(ready=False, bootstrap=bootstrap, status=status, message=repository)
    origin = RestoreOrigin(source=f"backups of {whose}", repository=repository, target=wanted.target)
    # The pods are made once the settings say so, and never with an empty database.
    return Beginning(
        origin=origin, ready=False, bootstrap=bootstrap, status=status, message=f"Restoring {status.source}."
    )


def _repository(wanted: RestoreFrom, facts: Facts) -> Repository | str:
    """Where the backups are, or what is waited for."""
    if wanted.destination is not None:
        return Repository(
            destination=wanted.destination.resolved(facts.identity.namespace),
            stanza=wanted.stanza or "",
            encryption=wanted.encryption,
        )
    theirs = source_facts(facts)
    if theirs is None:
        return (
            f"Waiting for the cluster {wanted.cluster}, which does not exist (any more). Where its backups still do, "
            "make a new cluster with restoreFrom.destination and stanza."
        )
    spec = parse_spec(theirs, theirs.observed.cluster.get("spec") or {})
    if not isinstance(spec, AuroraClusterSpec) or spec.backup is None:
        return f"Waiting for backups of the cluster {wanted.cluster}, which has no spec.backup."
    return spec.backup.repository_of(theirs.name, theirs.identity.namespace, theirs.identity.uid)
