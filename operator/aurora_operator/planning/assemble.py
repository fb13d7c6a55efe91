"""The objects that a decision comes to."""

from __future__ import annotations

from typing import Any

from aurora_operator.api.base import names
from aurora_operator.planning.autoscaling.readers import Readers
from aurora_operator.planning.certificates.certificates import Certificates, plan_certificates, server_hosts
from aurora_operator.planning.decide import Decided
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import ObjectRef, Supplies
from aurora_operator.planning.objects.access import build_access, build_disruption_budget, build_log_access
from aurora_operator.planning.objects.common import decode_data, is_leaving
from aurora_operator.planning.objects.config import build_record
from aurora_operator.planning.objects.gateway import build_gateway, build_gateway_access
from aurora_operator.planning.objects.network import build_network_policy, build_services
from aurora_operator.planning.objects.pod import LOG
from aurora_operator.planning.objects.rehearsal import build_rehearsal_policy
from aurora_operator.planning.objects.secrets import build_app_secret, build_certificates
from aurora_operator.planning.power.power import Power
from aurora_operator.planning.rollout import endpoint
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import may_remove


def certificates_of(facts: Facts, supplies: Supplies) -> Certificates:
    """The certificates that are there, or better ones in their place."""
    seen, name = facts.observed, facts.name
    hosts = server_hosts(name, facts.identity.namespace, seen.operator.cluster_domain)
    ca = decode_data(seen.child("Secret", names.ca_secret(name)))
    tls = decode_data(seen.child("Secret", names.tls_secret(name)))
    return plan_certificates(name, hosts, ca, tls, supplies.private_keys, facts.now)


def new_record(facts: Facts) -> dict[str, Any] | None:
    """The record, where there is none yet."""
    if facts.observed.child("ConfigMap", names.record_configmap(facts.name)) is not None:
        return None
    volumes = bool(facts.observed.children.get("PersistentVolumeClaim"))
    return build_record(facts.identity, volumes=volumes)


def objects(facts: Facts, decided: Decided, certificates: Certificates, supplies: Supplies) -> list[dict[str, Any]]:
    """All objects but the settings, the record, the writer's slice, and those of single instances."""
    identity, spec, votes = facts.identity, decided.spec, decided.votes
    instances = [names.instance_name(facts.name, ordinal) for ordinal in decided.members.present]
    there = facts.observed.child("Secret", names.app_secret(facts.name))
    app = decode_data(there)
    return [
        *build_certificates(identity, certificates),
        build_app_secret(
            identity,
            database=spec.database_name,
            username=spec.master_username,
            password=app.get("password") or supplies.password,
            instances=instances,
            ca=certificates.tls["ca.crt"],
            kind=(there or {}).get("type", "Opaque"),
        ),
        *build_access(
            identity,
            instances,
            [names.instance_name(facts.name, o) for o in decided.members.present if spec.capacity_of(o) is not None],
            spec.backup.service_account_annotations if spec.backup is not None else None,
        ),
        *build_log_access(identity, [names.log_name(facts.name, number) for number in votes.present_logs]),
        *build_services(
            identity,
            readers=endpoint.has_reader(facts),
            diverted=decided.power.diverted,
            writer_only=spec.serverless_v1 is not None,
        ),
        *((among_all,) if (among_all := endpoint.any_slice(facts, diverted=decided.power.diverted)) else ()),
        *_gateway(facts, decided),
        build_network_policy(identity, facts.observed.operator),
        *([build_rehearsal_policy(identity, spec.backup.destination)] if spec.backup is not None else []),
        build_disruption_budget(identity, spare=votes.copies - spec.write_quorum(votes.copies)),
    ]


def instances(facts: Facts, decided: Decided) -> list[dict[str, Any]]:
    """Claims and StatefulSets; only once the record is there, which must say whether there were volumes before us,
    and only once their pods would find all that they mount."""
    seen, name = facts.observed, facts.name
    needed = [
        ("ConfigMap", names.record_configmap(name)),
        ("ConfigMap", names.settings_configmap(name)),
        ("Secret", names.tls_secret(name)),
        ("Secret", names.app_secret(name)),
        ("ServiceAccount", name),
        ("Service", names.pods_service(name)),
    ]
    if any(seen.child(kind, wanted) is None for kind, wanted in needed):
        return []
    claims = {obj["metadata"]["name"] for obj in decided.volumes.claims}
    built = list(decided.volumes.claims)
    for ordinal, statefulset in decided.statefulsets.items():
        there = ordinal in facts.copies and facts.copies[ordinal].statefulset is not None
        # A claim that is on its way out must be gone before a pod could hold on to it.
        if there or f"data-{names.instance_name(name, ordinal)}" in claims:
            built.append(statefulset)
    # What log copies mount comes a moment after their own access.
    if seen.child("ServiceAccount", LOG.account.format(name)) is not None:
        built += decided.logs.objects
    return built


def _gateway(facts: Facts, decided: Decided) -> list[dict[str, Any]]:
    spec, power = decided.spec, decided.power
    if not power.gateway:
        return []
    return [
        *build_gateway_access(facts.identity),
        build_gateway(
            facts.identity,
            image=spec.image.name or facts.observed.operator.default_image,
            image_settings=spec.image,
            scheduling=spec.scheduling,
            pod_metadata=spec.pod_metadata,
            refuses=power.mode == "stopped",
        ),
    ]


def unused_gateway(facts: Facts, power: Power) -> list[ObjectRef]:
    """A gateway that is there, though nobody is to be woken by it."""
    there = facts.observed.child("StatefulSet", names.gateway(facts.name))
    if power.gateway or there is None or is_leaving(there):
        return []
    return [ObjectRef("StatefulSet", there["metadata"]["name"], there["metadata"].get("uid"))]


def removed(facts: Facts, members: Members, readers: Readers) -> list[ObjectRef]:
    """StatefulSets of instances that leave, once nothing is lost with them."""
    removed = []
    for ordinal in members.leaving:
        copy = facts.copies[ordinal]
        if copy.statefulset is not None and ordinal not in readers.draining and may_remove(copy, facts):
            removed.append(ObjectRef("StatefulSet", copy.name, copy.statefulset["metadata"].get("uid")))
    return removed
