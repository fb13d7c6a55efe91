"""What is under way and what does not work, in sentences."""

from __future__ import annotations

from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.bootstrap.first_data import Beginning
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.rollout.rollout import Rollout
from aurora_operator.planning.spec.validation import Verdict
from aurora_operator.planning.status.storage_status import full_volumes
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import Volumes


def under_way(
    facts: Facts,
    members: Members,
    votes: Votes,
    settings: Settings | None,
    rollout: Rollout,
    volumes: Volumes,
    verdict: Verdict,
    beginning: Beginning,
) -> tuple[str, ...]:
    """What the operator or an agent is changing, towards what was asked for."""
    found: list[str] = []
    if verdict.status == "Unknown":
        found.append(verdict.message)
    if beginning.message is not None:
        found.append(beginning.message)
    if settings is not None:
        late = [a.name for a in facts.answering if a.settings_revision < settings.revision]
        if late:
            found.append(f"New settings are on their way to {', '.join(sorted(late))}.")
    found += _membership(facts, members, votes, settings)
    if rollout.now is not None:
        found.append(f"{rollout.now.why[0].upper()}{rollout.now.why[1:]}.")
    elif rollout.outdated:
        found.append(f"To be restarted: {', '.join(rollout.outdated)}.")
    if rollout.waits_for is not None:
        found.append(f"Waiting: {rollout.waits_for}.")
    if volumes.growing:
        found.append(f"Volumes are growing: {', '.join(volumes.growing)}.")
    return tuple(found)


def _membership(facts: Facts, members: Members, votes: Votes, settings: Settings | None) -> list[str]:
    found = []
    leaving = [names.instance_name(facts.name, o) for o in members.leaving]
    leaving += [names.log_name(facts.name, number) for number in votes.leaving_logs]
    if leaving:
        found.append(f"Being removed: {', '.join(leaving)}.")
    if settings is None or facts.config is None:
        return found
    joining = sorted(set(settings.voters) - facts.voting)
    if joining:
        found.append(f"Joining: {', '.join(joining)}.")
    elif not facts.votes_settled:
        found.append("The membership is changing.")
    return found


def faults(facts: Facts, spec: AuroraClusterSpec, members: Members, votes: Votes, volumes: Volumes) -> tuple[str, ...]:
    """What does not work, and will not by itself."""
    found: list[str] = []
    wanted = [facts.copies.get(ordinal) for ordinal in members.wanted]
    wanted += [facts.log_copies.get(number) for number in votes.logs]
    for copy in wanted:
        if copy is None:
            continue
        if copy.stuck is not None:
            found.append(f"{copy.stuck}.".replace("..", "."))
        elif copy.agent is not None and copy.agent.ailment is not None:
            found.append(f"{copy.name} is ill ({copy.agent.ailment}): {copy.agent.message or 'see its log'}")
        elif copy.agent is not None and copy.agent.phase == "Failed":
            found.append(f"{copy.name}: {copy.agent.message or 'it failed'}")
        version = copy.agent.server_version if copy.agent is not None else None
        if version is not None and not _is_release(version, spec.engine_version):
            found.append(
                f"{copy.name} runs PostgreSQL {version}, and engineVersion is {spec.engine_version}: "
                "choose an image that holds it, or change engineVersion."
            )
    found += volumes.stuck
    found += full_volumes(facts)
    return tuple(found)


def _is_release(version: str, wanted: str) -> bool:
    """Whether PostgreSQL's `version` (such as `17.12 (Debian 17.12-1)`) is `wanted` (`17` or `17.12`)."""
    number = version.split()[0] if version.split() else ""
    return number == wanted or number.startswith(f"{wanted}.")
