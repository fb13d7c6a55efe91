"""The proxy's objects while `spec.proxy` asks for one. The operator only puts it there: it follows the writer by what
the agents say, and goes on when the operator is away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import PROXY_READY
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.proxy import Proxy
from aurora_operator.api.status import ProxyStatus
from aurora_operator.planning.certificates.certificates import plan_proxy_certificates, proxy_hosts
from aurora_operator.planning.contribution import NOTHING, Condition, Contribution
from aurora_operator.planning.model.plan_model import ObjectRef, Raw, Supplies
from aurora_operator.planning.objects.common import decode_data, is_leaving
from aurora_operator.planning.objects.proxy import build_proxy, build_proxy_certificates, build_proxy_surroundings
from aurora_operator.planning.view.facts import Facts

LEAST: Final = 2
"""Pods to begin with where an autoscaler is to decide."""


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def supplies(self) -> Supplies: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Its pods come once there are certificates for them."""
    spec = choices.spec
    there = view.observed.child("Deployment", names.proxy(view.name))
    if spec.proxy is None:
        return Contribution(delete=tuple(_unused(view, there)))
    certificates = plan_proxy_certificates(
        proxy_hosts(view.name, view.identity.namespace, view.observed.operator.cluster_domain),
        _secret(view, names.ca_secret(view.name)),
        _secret(view, names.tls_secret(view.name)).get("ca.crt", ""),
        _secret(view, names.proxy_secret(view.name)),
        choices.supplies.private_keys,
        view.now,
    )
    if certificates is None:
        return NOTHING
    data, why = certificates
    deployment = build_proxy(
        view.identity,
        spec.proxy,
        replicas=_replicas(spec.proxy, there),
        image=spec.image.name or view.observed.operator.default_image,
        image_settings=spec.image,
        scheduling=spec.scheduling,
        pod_metadata=spec.pod_metadata,
    )
    status = _status(view, deployment["spec"]["replicas"], there)
    return Contribution(
        apply=(
            build_proxy_certificates(view.identity, data),
            *build_proxy_surroundings(view.identity, spec.allowed_from),
            *(() if is_leaving(there) else (deployment,)),
        ),
        why=why,
        conditions=(_condition(status),),
        status={"proxy": status},
    )


def _secret(view: Facts, name: str) -> Mapping[str, str]:
    return decode_data(view.observed.child("Secret", name))


def _replicas(proxy: Proxy, there: Raw | None) -> int:
    """Where the spec says nothing, as many as there are to be: whoever changes the Deployment's scale has his way."""
    if proxy.replicas is not None:
        return proxy.replicas
    seen = ((there or {}).get("spec") or {}).get("replicas")
    return LEAST if seen is None else int(seen)


def _unused(view: Facts, there: Raw | None) -> list[ObjectRef]:
    """What takes clients. Its other objects can do nothing, and go with the cluster."""
    found = [] if there is None or is_leaving(there) else [ObjectRef("Deployment", *_name_and_uid(there))]
    for name in (names.proxy(view.name), names.proxy_reader_service(view.name)):
        service = view.observed.child("Service", name)
        if service is not None and not is_leaving(service):
            found.append(ObjectRef("Service", *_name_and_uid(service)))
    return found


def _name_and_uid(there: Raw) -> tuple[str, str | None]:
    return there["metadata"]["name"], there["metadata"].get("uid")


def _status(view: Facts, replicas: int, there: Raw | None) -> ProxyStatus:
    seen: Mapping[str, Any] = (there or {}).get("status") or {}
    end = f".{view.identity.namespace}.svc"
    return ProxyStatus(
        replicas=replicas,
        ready=int(seen.get("readyReplicas") or 0),
        writer=names.proxy(view.name) + end,
        reader=names.proxy_reader_service(view.name) + end,
    )


def _condition(status: ProxyStatus) -> Condition:
    said = f"{status.ready} of {status.replicas} pods of the proxy take clients."
    if status.ready >= status.replicas:
        return Condition(PROXY_READY, "True", reasons.PROXY_SERVES, said)
    reason = reasons.PROXY_STARTING if status.ready else reasons.PROXY_DOWN
    return Condition(PROXY_READY, "False", reason, f"{said} `kubectl describe pod -l {_SELECTOR}` says what they lack.")


_SELECTOR: Final = f"{names.LABEL_COMPONENT}=proxy"
