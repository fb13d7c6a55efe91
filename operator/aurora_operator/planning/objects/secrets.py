"""The three Secrets: the authority, the pods' certificates, and the one for applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from aurora_operator.api.base import names
from aurora_operator.planning.certificates.certificates import Certificates
from aurora_operator.planning.objects.common import Identity, encode_data

PROVIDER: Final = "aurora-operator"
CA_FILE: Final = "ca.crt"
_VERIFY: Final = "verify-full"
CONNECT_SECONDS: Final = "2"
"""How long a multi-host URI has a client wait for a host that is silent: the least that libpq takes."""


def build_certificates(identity: Identity, certificates: Certificates) -> list[dict[str, Any]]:
    """The Secrets of the authority and of the pods."""
    return [
        _secret(identity, names.ca_secret(identity.name), certificates.ca),
        _secret(identity, names.tls_secret(identity.name), certificates.tls),
    ]


BASIC_AUTH: Final = "kubernetes.io/basic-auth"
"""The type of the connection Secrets that are ours: Kubernetes holds it to a `username` or a `password`."""


def build_app_secret(
    identity: Identity,
    *,
    database: str,
    username: str,
    password: str,
    instances: Iterable[str],
    ca: str,
    kind: str = BASIC_AUTH,
    secret: str | None = None,
    owned: bool = True,
    kept: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The connection Secret: the same connection in the forms that clients ask for.

    One that is not `owned` is a user's: its `kept` values are not written. In one that is, they are as they are.

    Hosts are the short DNS names that the server's certificate covers. There are two kinds of connection strings. Plain
    ones need no file, and ask for TLS without saying who must be at the other end. Those that begin with `verified-`
    want the authority's certificate as a file where bindings are mounted, see `names.binding_path`. `type`, `provider`,
    `database`, `sslmode` and `sslrootcert` (a file beside them) are for the frameworks that read bindings themselves
    (servicebinding.io). A Secret's type cannot change: one that is there keeps its own.
    """
    name, namespace, port = identity.name, identity.namespace, names.POSTGRES_PORT
    host = f"{names.writer_service(name)}.{namespace}.svc"
    ro_host = f"{names.reader_service(name)}.{namespace}.svc"
    hosts = ",".join(f"{names.pod_host(name, namespace, instance)}:{port}" for instance in instances)
    data = {
        "type": "postgresql",
        "provider": PROVIDER,
        "username": username,
        "password": password,
        "host": host,
        "port": str(port),
        "database": database,
        "dbname": database,
        "sslmode": _VERIFY,
        "sslrootcert": CA_FILE,
        "pgpass": ":".join(_pgpass(part) for part in (host, str(port), database, username, password)) + "\n",
        "ro-host": ro_host,
        CA_FILE: ca,
    }
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    find_writer = {"connect_timeout": CONNECT_SECONDS, "target_session_attrs": "read-write"}
    for prefix, tls in (
        ("", {"sslmode": "require"}),
        ("verified-", {"sslmode": _VERIFY, "sslrootcert": f"{names.binding_path(name)}/{CA_FILE}"}),
    ):
        query = urlencode(tls, safe="/")
        to_hosts = urlencode(tls | find_writer, safe="/")
        jdbc = urlencode({"user": username, "password": password}) + "&" + query
        data[f"{prefix}uri"] = f"postgresql://{login}@{host}:{port}/{database}?{query}"
        data[f"{prefix}ro-uri"] = f"postgresql://{login}@{ro_host}:{port}/{database}?{query}"
        data[f"{prefix}multi-host-uri"] = f"postgresql://{login}@{hosts}/{database}?{to_hosts}"
        data[f"{prefix}jdbc-uri"] = f"jdbc:postgresql://{host}:{port}/{database}?{jdbc}"
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
