"""The three Secrets: the authority, the pods' certificates, and the one for applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from aurora_operator.api.base import names
from aurora_operator.planning.certificates.certificates import Certificates
from aurora_operator.planning.objects.common import Identity, encode_data


def build_certificates(identity: Identity, certificates: Certificates) -> list[dict[str, Any]]:
    """The Secrets of the authority and of the pods."""
    return [
        _secret(identity, names.ca_secret(identity.name), certificates.ca),
        _secret(identity, names.tls_secret(identity.name), certificates.tls),
    ]


def build_app_secret(
    identity: Identity,
    *,
    database: str,
    username: str,
    password: str,
    instances: Iterable[str],
    ca: str,
    kind: str = "Opaque",
    secret: str | None = None,
    owned: bool = True,
    kept: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The connection Secret: the same connection in the forms that clients ask for.

    One that is not `owned` is a user's: its `kept` values are not written. In one that is, they are as they are.

    Hosts are the short DNS names that the server's certificate covers. URIs ask for TLS; a client that also has
    `ca.crt` can raise `sslmode` to `verify-full`. A Secret's type cannot change: one that a user made keeps its own.
    """
    name, namespace, port = identity.name, identity.namespace, names.POSTGRES_PORT
    host = f"{names.writer_service(name)}.{namespace}.svc"
    ro_host = f"{names.reader_service(name)}.{namespace}.svc"
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    hosts = ",".join(f"{names.pod_host(name, namespace, instance)}:{port}" for instance in instances)
    query = {"user": username, "password": password, "sslmode": "require"}
    data = {
        "username": username,
        "password": password,
        "host": host,
        "port": str(port),
        "dbname": database,
        "uri": f"postgresql://{login}@{host}:{port}/{database}?sslmode=require",
        "jdbc-uri": f"jdbc:postgresql://{host}:{port}/{database}?{urlencode(query)}",
        "pgpass": ":".join(_pgpass(part) for part in (host, str(port), database, username, password)) + "\n",
        "multi-host-uri": f"postgresql://{login}@{hosts}/{database}?sslmode=require&target_session_attrs=read-write",
        "ro-host": ro_host,
        "ro-uri": f"postgresql://{login}@{ro_host}:{port}/{database}?sslmode=require",
        "ca.crt": ca,
    }
    encoded, values = encode_data(data), dict(kept or {})
    encoded = encoded | values if owned else {key: value for key, value in encoded.items() if key not in values}
    return identity.object(
        "Secret",
        secret or names.app_secret(name),
        annotations=None if owned else {names.ANNOTATION_CLUSTER_UID: identity.uid},
        owned=owned,
        type=kind,
        data=encoded,
    )


def _secret(identity: Identity, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return identity.object("Secret", name, type="Opaque", data=encode_data(data))


def _pgpass(part: str) -> str:
    return part.replace("\\", "\\\\").replace(":", "\\:")
