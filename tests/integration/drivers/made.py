"""What the operator makes for those who connect to the cluster `accounts`: certificates, and the connection Secret."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.planning.certificates.certificates import Certificates, plan_certificates, server_hosts
from aurora_operator.planning.certificates.pki import KEYS_NEEDED, new_private_key
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.secrets import build_app_secret

CLUSTER: Final = "accounts"
NAMESPACE: Final = "default"
USER: Final = "app"
PASSWORD: Final = "p/a:s s%w@r&d+ö"
DATABASE: Final = "app"
INSTANCES: Final = (1, 2)


@dataclass(frozen=True)
class Made:
    """The certificates of a cluster."""

    certificates: Certificates

    @classmethod
    def make(cls) -> Made:
        """With an authority of its own."""
        hosts = server_hosts(CLUSTER, NAMESPACE, "cluster.local")
        keys = tuple(new_private_key() for _ in range(KEYS_NEEDED))
        return cls(plan_certificates(CLUSTER, hosts, {}, {}, keys, datetime.now(UTC)))

    def fill(self, directory: Path) -> None:
        """Write what pods mount of the Secret `<cluster>-tls`."""
        for key, text in self.certificates.tls.items():
            path = directory / key
            path.write_text(text)
            path.chmod(0o600)

    def secret(self, cluster: str = CLUSTER) -> dict[str, bytes]:
        """The connection Secret's contents, or what they would be if the cluster were called otherwise."""
        made = build_app_secret(
            Identity(cluster, NAMESPACE, "uid"),
            database=DATABASE,
            username=USER,
            password=PASSWORD,
            instances=[names.instance_name(cluster, number) for number in INSTANCES],
            ca=self.certificates.tls["ca.crt"],
        )
        return {key: base64.b64decode(value) for key, value in made["data"].items()}


def hosts(address: str, cluster: str = CLUSTER) -> dict[str, str]:
    """What the DNS says of the cluster, if all of it is at one address."""
    ends = (names.writer_service(cluster), names.reader_service(cluster), names.any_service(cluster))
    found = {f"{service}.{NAMESPACE}.svc": address for service in ends}
    instances = (names.instance_name(cluster, number) for number in INSTANCES)
    return found | {names.pod_host(cluster, NAMESPACE, instance): address for instance in instances}
