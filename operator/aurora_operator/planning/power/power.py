"""Whether a cluster runs, sleeps, or is stopped, and the way from one to the other. Pure.

What was decided is in the settings (`power`), so that every operator goes on with it, and every agent knows that it
is not to elect. Going down: the gateway stands ready → the endpoints lead to it → the writer checkpoints and stops →
the others, which have all that it wrote, stop too → the pods go. Coming back: as many pods as it takes → an election →
the endpoints, and the other pods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aurora_operator.api.agent.settings import PowerMode
from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import AUTO_PAUSE
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import ClusterPhase
from aurora_operator.planning.backup.backup import Kind, under_way
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.objects.common import annotation, is_leaving
from aurora_operator.planning.power.resuming import asleep, held_back
from aurora_operator.planning.power.waking import snapshot_awaited, wakes
from aurora_operator.planning.view.facts import Facts

ASLEEP: Final[dict[PowerMode, ClusterPhase]] = {"paused": "Paused", "stopped": "Stopped"}
DOWN: Final = frozenset({"Paused", "Stopped", "Stopping", "Resuming"})


@dataclass(frozen=True)
class Power:
    """The decision."""

    mode: PowerMode = "on"
    replicas: int = 1
    """Of each StatefulSet."""
    held_back: frozenset[str] = frozenset()
    """Copies that sleep on while others wake: their StatefulSets have none."""
    gateway: bool = False
    """Whether the gateway should be there."""
    diverted: bool = False
    """Whether the endpoints should lead to it."""
    stop: str | None = None
    """The writer, which is to stop now."""
    phase: ClusterPhase | None = None
    """The cluster's phase, where sleeping or waking decides it."""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    woken: bool = False
    """The command to wake has been heard."""
    for_backup: bool = False
    """It is woken now because a backup is due, or does not pause for it."""


@dataclass(frozen=True)
class Gateway:
    """The gateway as it was seen."""

    there: bool
    ip: str | None
    clients: str
    """`none`, `waiting` or `joined`, as it says itself."""

    @property
    def ready(self) -> bool:
        """Whether it can take clients."""
        return self.ip is not None


def gateway_of(facts: Facts) -> Gateway:
    """The gateway."""
    name = names.gateway(facts.name)
    pod = facts.observed.child("Pod", names.pod_name(name))
    statefulset = facts.observed.child("StatefulSet", name)
    ip: str | None = None
    if pod is not None and not is_leaving(pod):
        status = pod.get("status") or {}
        if any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()):
            ip = status.get("podIP")
    return Gateway(statefulset is not None or pod is not None, ip, annotation(pod, names.ANNOTATION_CLIENTS) or "none")


def plan_power(
    spec: AuroraClusterSpec,
    members: Members,
    facts: Facts,
    seconds: int | None = None,
    *,
    backing_up: bool = False,
) -> Power:
    """What to do. `seconds` stands in for secondsUntilAutoPause, for tests; `backing_up`: a backup begins now."""
    gateway = gateway_of(facts)
    before: PowerMode = facts.settings.power if facts.settings is not None else "on"
    pause = _why_not(spec, members, facts)
    conditions: tuple[Condition, ...] = ()
    mode: PowerMode = "on"
    message = ""
    backup: Kind | None = None
    snapshot = snapshot_awaited(spec, facts)
    if snapshot is not None and (spec.stopped or spec.pauses):
        # It does not pause for the moment between two snapshots either.
        message = f"It runs until the snapshot {snapshot} is taken."
    elif spec.stopped and facts.initialised:
        mode, message = "stopped", "It is stopped, as its spec says."
    elif before == "paused" and spec.pauses:
        waking = _woken_by(spec, facts, gateway)
        if waking is None:
            backup = wakes(spec, facts.before.backup, facts.now)
            waking = None if backup is None else f"A backup ({backup}) is due."
        mode = "on" if waking is not None else "paused"
        message = waking or "Nobody uses it. A connection wakes it."
    elif before == "stopped":
        message = "It is to start again, as its spec says."
    elif spec.pauses and pause is None:
        idle, after = _idle(spec, members, facts), seconds or spec.seconds_until_auto_pause
        if not backing_up and idle is not None and idle >= after:
            # Asleep, it would be woken for it at once.
            backup = wakes(spec, facts.before.backup, facts.now)
            if backup is None:
                mode, message = "paused", f"Nobody has used it for {after} s. A connection wakes it."
    if spec.pauses:
        conditions = (_condition(mode, pause),)
    if mode != "on":
        return _down(mode, message, members, facts, gateway, conditions)
    awake = _up(message, facts, gateway, conditions, woken=request(facts.observed.cluster, names.ANNOTATION_WAKE))
    return replace(awake, for_backup=backup is not None)


def _why_not(spec: AuroraClusterSpec, members: Members, facts: Facts) -> str | None:
    """Why the cluster cannot pause, or None: then it is only a matter of time."""
    if not spec.pauses:
        return None
    provisioned = [names.instance_name(facts.name, o) for o in members.wanted if spec.capacity_of(o) is None]
    if provisioned:
        return f"{', '.join(provisioned)} cannot pause: give it instanceClass db.serverless."
    reasons = sorted({f"{a.name}: {a.pause_refused}" for a in facts.answering if a.pause_refused is not None})
    return "; ".join(reasons) or None


def _condition(mode: PowerMode, pause: str | None) -> Condition:
    if pause is not None and mode == "on":
        return Condition(AUTO_PAUSE, "False", "Refused", pause)
    return Condition(AUTO_PAUSE, "True", "Paused" if mode == "paused" else "Possible", "It pauses when nobody uses it.")


def _idle(spec: AuroraClusterSpec, members: Members, facts: Facts) -> float | None:
    """For how long nobody has used any instance, in seconds; None unless all of them say, and all is well."""
    if facts.before.phase != "Ready" or facts.leader is None or members.leaving:
        return None
    if request(facts.observed.cluster, names.ANNOTATION_SWITCHOVER) is not None:
        return None
    if _backup_asked(spec, facts) or under_way(facts) is not None:
        return None
    found = []
    for ordinal in members.wanted:
        agent = facts.copies[ordinal].agent if ordinal in facts.copies else None
        if agent is None or agent.idle_seconds is None:
            return None
        found.append(agent.idle_seconds)
    return min(found, default=None)


def _backup_asked(spec: AuroraClusterSpec, facts: Facts) -> bool:
    """Whether somebody asks for a backup that can be taken."""
    return spec.backup is not None and request(facts.observed.cluster, names.ANNOTATION_BACKUP) is not None


def _woken_by(spec: AuroraClusterSpec, facts: Facts, gateway: Gateway) -> str | None:
    if gateway.clients == "waiting":
        return "A client has connected."
    if facts.metadata.get("generation") != facts.before.observed_generation:
        return "Its spec has changed."
    for name in (names.ANNOTATION_WAKE, names.ANNOTATION_SWITCHOVER):
        if request(facts.observed.cluster, name) is not None:
            return "It was asked to wake up."
    if _backup_asked(spec, facts):
        return "A backup was asked for."
    leader = facts.leader
    if leader is not None and leader.idle_seconds == 0:
        return "A session came just before it paused."
    return None


def _down(
    mode: PowerMode,
    message: str,
    members: Members,
    facts: Facts,
    gateway: Gateway,
    conditions: tuple[Condition, ...],
) -> Power:
    sets = [copy.statefulset for copy in facts.all_copies.values() if copy.statefulset is not None]
    down = bool(sets) and all(map(asleep, sets))
    gone = down and all(copy.pod is None for copy in facts.all_copies.values())
    # Some of one that was on have not been woken yet: it stops in order, too.
    going = facts.settings is None or facts.settings.power != "on"
    replicas = 0 if down or (going and any(map(asleep, sets))) or _all_stopped(facts) else 1
    stop = None
    if replicas and gateway.ready and facts.leader is not None and _told(mode, facts):
        stop = facts.leader.name
    return Power(
        mode=mode,
        replicas=replicas,
        gateway=True,
        diverted=gateway.ready,
        stop=stop,
        phase=ASLEEP[mode] if gone else "Stopping",
        message=message,
        conditions=conditions,
    )


def _told(mode: PowerMode, facts: Facts) -> bool:
    """Whether the settings say so, and everybody who answers has them: nobody elects when the writer stops."""
    settings = facts.settings
    if settings is None or settings.power != mode:
        return False
    return all(a.settings_revision >= settings.revision for a in facts.answering)


def _all_stopped(facts: Facts) -> bool:
    """Whether no commit can be under way any more: nobody leads, whoever answers has stopped, and those are enough
    that the others could not commit anything without them."""
    settings = facts.settings
    if settings is None or not facts.answering or facts.leader is not None:
        return False
    stopped = {a.name for a in facts.answering if a.phase == "Stopped"}
    # Log copies have nothing to stop.
    others = [a for a in facts.answering if a.phase != "Stopped" and a.kind == "instance"]
    enough = len(stopped & set(settings.voters)) >= len(settings.voters) - settings.write_quorum + 1
    return not others and enough


def _up(message: str, facts: Facts, gateway: Gateway, conditions: tuple[Condition, ...], *, woken: str | None) -> Power:
    resuming = facts.before.phase in DOWN and facts.leader is None
    needed = gateway.there and (facts.leader is None or gateway.clients != "none")
    return Power(
        held_back=held_back(facts, waiting=gateway.clients == "waiting"),
        gateway=needed,
        diverted=needed and gateway.ready and facts.leader is None,
        phase="Resuming" if resuming else None,
        message=message or "It is starting.",
        conditions=conditions,
        woken=woken is not None and facts.leader is not None,
    )
