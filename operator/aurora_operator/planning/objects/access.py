"""What the pods may do in the Kubernetes API, and how many of them may be evicted at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aurora_operator.api.base import names
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.pod import LOG


def build_access(
    identity: Identity,
    instances: Iterable[str],
    scaling: Iterable[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """ServiceAccount, Role and RoleBinding of the pods of `instances`. Each rule names its objects.

    Those of `scaling` resize their own pods.
    """

    def rule(group: str, resource: str, objects: list[str], *verbs: str) -> dict[str, Any]:
        return {"apiGroups": [group], "resources": [resource], "resourceNames": objects, "verbs": list(verbs)}

    name = identity.name
    pods = [names.pod_name(instance) for instance in instances]
    rules = [
        rule("", "configmaps", [names.record_configmap(name)], "get", "update"),
        rule("discovery.k8s.io", "endpointslices", [names.writer_endpointslice(name)], "get", "update", "patch"),
    ]
    # A rule without names would be about all pods.
    if pods:
        rules.insert(0, rule("", "pods", pods, "get", "patch"))
    resized = [names.pod_name(instance) for instance in scaling]
    if resized:
        rules.append(rule("", "pods/resize", resized, "patch"))
    return _access(identity, name, rules, annotations)


def build_log_access(identity: Identity, copies: Iterable[str]) -> list[dict[str, Any]]:
    """The same for log copies: each may label pods of log copies, and nothing else. Nothing where there are none."""
    pods = [names.pod_name(copy) for copy in copies]
    if not pods:
        return []
    name = LOG.account.format(identity.name)
    rules = [{"apiGroups": [""], "resources": ["pods"], "resourceNames": pods, "verbs": ["get", "patch"]}]
    return _access(identity, name, rules)


def _access(
    identity: Identity, name: str, rules: list[dict[str, Any]], annotations: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    return [
        identity.object("ServiceAccount", name, annotations=annotations),
        identity.object("Role", name, rules=rules),
        identity.object(
            "RoleBinding",
            name,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": identity.namespace}],
        ),
    ]


def build_disruption_budget(identity: Identity, *, spare: int) -> dict[str, Any]:
    """As many copies may be evicted at a time as commits can do without, so that a zone can be drained at once where
    it is not missed; one in any case, or a single instance could never be moved."""
    return identity.object(
        "PodDisruptionBudget",
        identity.name,
        spec={"maxUnavailable": max(spare, 1), "selector": identity.copies_selector},
    )
