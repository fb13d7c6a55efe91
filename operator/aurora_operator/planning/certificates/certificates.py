"""The cluster's certificate authority and certificates: what is kept, what is renewed, what is trusted.

A new authority is first only trusted (`next`), by all who read `ca.crt`; `OVERLAP` later it signs; the old one stays
trusted for another `OVERLAP`. So at no moment does anyone meet a certificate whose authority it has not yet heard of.
An authority that somebody deleted is replaced at once, and what it signed goes on being trusted in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.certificates.pki import Pair

OVERLAP: Final = timedelta(days=30)
"""How long a new authority is trusted before it signs: people who copied `ca.crt` have this long to copy it again."""

OPERATOR_CRT: Final = "operator.crt"
OPERATOR_KEY: Final = "operator.key"
"""In the authority's Secret: the operator's client certificate for the agents' API."""


@dataclass(frozen=True)
class Certificates:
    """What the two Secrets should hold, as text by key, and what is new in them."""

    ca: dict[str, str]
    """`names.ca_secret`: ca.crt, ca.key; next.crt, next.key; previous.crt; operator.crt, operator.key."""
    tls: dict[str, str]
    """`names.tls_secret`: see `names.TLS_MOUNT`."""
    why: tuple[str, ...]


def server_hosts(cluster: str, namespace: str, domain: str, custom: Iterable[str] = ()) -> tuple[str, ...]:
    """The names by which anyone reaches the cluster's servers; `custom` are the names of custom endpoints."""
    own = (names.writer_service(cluster), names.reader_service(cluster), names.any_service(cluster))
    services = (*own, *(names.custom_service(cluster, endpoint) for endpoint in custom))
    hosts = _hosts_of(services, namespace, domain)
    pods = f"*.{names.pods_service(cluster)}.{namespace}.svc"
    return (*hosts, pods, f"{pods}.{domain}", "localhost")


def proxy_hosts(cluster: str, namespace: str, domain: str) -> tuple[str, ...]:
    """The names by which anyone reaches the cluster's proxy."""
    return tuple(_hosts_of((names.proxy(cluster), names.proxy_reader_service(cluster)), namespace, domain))


def _hosts_of(services: tuple[str, ...], namespace: str, domain: str) -> list[str]:
    hosts = [f"{s}{end}" for s in services for end in ("", f".{namespace}", f".{namespace}.svc")]
    return [*hosts, *(f"{s}.{namespace}.svc.{domain}" for s in services)]


def plan_proxy_certificates(
    hosts: tuple[str, ...],
    ca: Mapping[str, str],
    trusted: str,
    there: Mapping[str, str],
    keys: tuple[str, ...],
    now: datetime,
) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """What `names.proxy_secret` should hold, as text by key, and what is new in it: `there` as far as that is good.

    `ca` is what `names.ca_secret` holds, `trusted` the `ca.crt` of all others; None while there is no authority yet.
    """
    current = _usable(Pair(ca.get("ca.crt", ""), ca.get("ca.key", "")), now)
    bundle = list(pki.split_bundle(trusted))
    if current is None or not bundle:
        return None
    data, why = {"ca.crt": trusted}, []
    for kind, name, wanted, key in (
        ("server", hosts[0], hosts, keys[pki.PROXY_KEYS[0]]),
        ("proxy", names.PROXY_USER, (), keys[pki.PROXY_KEYS[1]]),
    ):
        pair = Pair(there.get(f"{kind}.crt", ""), there.get(f"{kind}.key", ""))
        reason = _flaw(pair, name, wanted, current, bundle, now)
        if reason is not None:
            made = pki.make_server(name, wanted, key, current, now) if wanted else None
            pair = made or pki.make_client(name, key, current, now)
            why.append(f"issue the proxy's {'server' if wanted else 'client'} certificate: {reason}")
        data |= {f"{kind}.crt": pair.certificate, f"{kind}.key": pair.key}
    return data, tuple(why)


def plan_certificates(
    cluster: str,
    hosts: tuple[str, ...],
    ca: Mapping[str, str],
    tls: Mapping[str, str],
    keys: tuple[str, ...],
    now: datetime,
) -> Certificates:
    """What the Secrets should hold at `now`, given what they hold (`{}` where one is missing) and fresh `keys`."""
    why: list[str] = []
    current, following = _authorities(cluster, ca, keys[0], now, why)
    known = (*pki.split_bundle(ca.get("previous.crt", "")), *pki.split_bundle(ca.get("ca.crt", "")))
    known += pki.split_bundle(tls.get("ca.crt", ""))
    signing = [current.certificate, *([following.certificate] if following else [])]
    previous = [] if _age(current, now) >= 2 * OVERLAP else _trusted(known, signing, now)
    bundle = [*signing, *previous]

    def keep(kind: str, name: str, data: Mapping[str, str], wanted_hosts: tuple[str, ...], key: str) -> Pair:
        pair = Pair(data.get(f"{kind}.crt", ""), data.get(f"{kind}.key", ""))
        reason = _flaw(pair, name, wanted_hosts, current, bundle, now)
        if reason is None:
            return pair
        why.append(f"issue the {kind} certificate: {reason}")
        if wanted_hosts:
            return pki.make_server(name, wanted_hosts, key, current, now)
        return pki.make_client(name, key, current, now)

    server = keep("server", cluster, tls, hosts, keys[1])
    agent = keep("agent", names.AGENT_CN, tls, (), keys[2])
    replication = keep("replication", names.REPLICATION_USER, tls, (), keys[3])
    operator = keep("operator", names.OPERATOR_CN, ca, (), keys[4])
    ca_data = {"ca.crt": current.certificate, "ca.key": current.key}
    if following is not None:
        ca_data |= {"next.crt": following.certificate, "next.key": following.key}
    if previous:
        ca_data["previous.crt"] = "".join(previous)
    ca_data |= {OPERATOR_CRT: operator.certificate, OPERATOR_KEY: operator.key}
    tls_data = {"ca.crt": "".join(bundle)}
    for kind, pair in (("server", server), ("agent", agent), ("replication", replication)):
        tls_data |= {f"{kind}.crt": pair.certificate, f"{kind}.key": pair.key}
    return Certificates(ca_data, tls_data, tuple(why))


def _authorities(
    cluster: str, ca: Mapping[str, str], key: str, now: datetime, why: list[str]
) -> tuple[Pair, Pair | None]:
    """The authority that signs, and the one that is to follow it."""
    current = _usable(Pair(ca.get("ca.crt", ""), ca.get("ca.key", "")), now)
    following = _usable(Pair(ca.get("next.crt", ""), ca.get("next.key", "")), now)
    if current is None and following is None:
        why.append("make a certificate authority")
        return pki.make_authority(f"{cluster} CA", key, now), None
    if following is not None and (current is None or _age(following, now) >= OVERLAP):
        why.append("let the new certificate authority sign")
        return following, None
    assert current is not None  # noqa: S101  the type checker cannot see it
    if following is None and pki.needs_renewal(current.certificate, now):
        why.append("make the certificate authority that is to follow, to be trusted first")
        following = pki.make_authority(f"{cluster} CA", key, now)
    return current, following


def _usable(pair: Pair, now: datetime) -> Pair | None:
    if not pki.is_pair(pair) or not pki.is_authority(pair.certificate) or pki.not_after(pair.certificate) <= now:
        return None
    return pair


def _age(authority: Pair, now: datetime) -> timedelta:
    return now - pki.made_at(authority.certificate)


def _trusted(known: tuple[str, ...], signing: list[str], now: datetime) -> list[str]:
    """Authorities of the past that are still believed."""
    candidates = dict.fromkeys(c for c in known if c not in signing)
    return [c for c in candidates if pki.is_authority(c) and pki.not_after(c) > now]


def _flaw(pair: Pair, name: str, hosts: tuple[str, ...], current: Pair, bundle: list[str], now: datetime) -> str | None:
    """Why the certificate cannot stay, or None."""
    if not pair.certificate or not pair.key:
        return "there is none"
    if not pki.is_pair(pair) or pki.common_name(pair.certificate) != name[:64]:
        return "the one there is damaged"
    if hosts and pki.hosts_of(pair.certificate) != frozenset(hosts):
        return "its host names changed"
    if pki.needs_renewal(pair.certificate, now):
        return "a third of its life is left"
    if pki.signed_by(pair.certificate, current.certificate):
        return None
    if not any(pki.signed_by(pair.certificate, authority) for authority in bundle):
        return "nobody trusts its authority"
    return "its authority is being replaced" if _age(current, now) >= OVERLAP else None
