"""The Secrets of the cluster, and the accounts of its pods."""

from __future__ import annotations

from typing import Any, Protocol

from aurora_operator.api.base import names, reasons
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import Binding
from aurora_operator.planning.access.endpoints import endpoints_of
from aurora_operator.planning.certificates.certificates import Certificates, plan_certificates, server_hosts
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import EventSpec, Supplies
from aurora_operator.planning.objects.access import build_access, build_log_access
from aurora_operator.planning.objects.common import decode_data
from aurora_operator.planning.objects.secrets import BASIC_AUTH, build_app_secret, build_certificates
from aurora_operator.planning.ownership.login import Login, read_login
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def members(self) -> Members: ...
    @property
    def votes(self) -> Votes: ...
    @property
    def supplies(self) -> Supplies: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Certificates, the connection Secret, and an account for each pod."""
    identity, spec, present = view.identity, choices.spec, choices.members.present
    certificates = _certificates(view, spec, choices.supplies)
    instances = [names.instance_name(view.name, ordinal) for ordinal in present]
    there = view.observed.child("Secret", names.app_secret(view.name))
    login = read_login(there, identity, spec.master_username, choices.supplies.password)
    return Contribution(
        apply=(
            *build_certificates(identity, certificates),
            *_connection(view, spec, login, instances, certificates),
            *build_access(
                identity,
                instances,
                [names.instance_name(view.name, o) for o in present if spec.capacity_of(o) is not None],
                spec.backup.service_account_annotations if spec.backup is not None else None,
            ),
            *build_log_access(identity, [names.log_name(view.name, n) for n in choices.votes.present_logs]),
        ),
        why=certificates.why,
        events=_apart(view, login),
        faults=(login.refused,) if login.refused is not None else (),
        conditions=login.conditions,
        status={
            "endpoints": endpoints_of(view, login.secret),
            "binding": Binding(name=login.secret) if login.password is not None else view.before.binding,
        },
    )


def _connection(
    view: Facts, spec: AuroraClusterSpec, login: Login, instances: list[str], certificates: Certificates
) -> list[dict[str, Any]]:
    """The Secret for applications; it stays as it is while there is no password to connect with."""
    if login.password is None:
        return []
    there = view.observed.child("Secret", login.secret)
    return [
        build_app_secret(
            view.identity,
            database=spec.database_name,
            username=spec.master_username,
            password=login.password,
            instances=instances,
            ca=certificates.tls["ca.crt"],
            kind=(there or {}).get("type", BASIC_AUTH),
            secret=login.secret,
            owned=login.owned,
            kept=login.kept,
        )
    ]


def _apart(view: Facts, login: Login) -> tuple[EventSpec, ...]:
    """Told once: where it says how to connect, if not in the Secret with the password."""
    before = view.before.endpoints
    if login.apart is None or (before is not None and before.secret == login.secret):
        return ()
    app = names.app_secret(view.name)
    text = f"The Secret {app} is left alone, because {login.apart}: its password is used, and how to connect is in the "
    return (EventSpec("Normal", reasons.CONNECTION_APART, f"{text}Secret {login.secret}."),)


def _certificates(view: Facts, spec: AuroraClusterSpec, supplies: Supplies) -> Certificates:
    """The certificates that are there, or better ones in their place."""
    seen, name = view.observed, view.name
    custom = [endpoint.name for endpoint in spec.endpoints]
    hosts = server_hosts(name, view.identity.namespace, seen.operator.cluster_domain, custom)
    hosts = (*hosts, *spec.certificates.dns_names)
    ca = decode_data(seen.child("Secret", names.ca_secret(name)))
    tls = decode_data(seen.child("Secret", names.tls_secret(name)))
    return plan_certificates(name, hosts, ca, tls, supplies.private_keys, view.now)
