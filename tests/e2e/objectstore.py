"""An S3 server in the kind cluster, for the clusters of one namespace."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e import faults, kube
from tests.e2e.kube import until
from tests.integration.certificates import Authority
from tests.kind import s3
from tests.kind.cache import lock, root
from tests.kind.context import Context
from tests.kind.docker import docker

NAME = "s3"
BUCKET = "backups"
_ACCESS, _SECRET = "e2e-access", "e2e-secret-key"
SECRETS = ("s3", "s3-ca", "s3-wrong", "s3-passphrase")


def start(namespace: str) -> None:
    """Run it, with what AuroraClusters need to use it: the Secrets `SECRETS`. One that is there already goes on."""
    with lock(root() / "s3.lock", "it loads the S3 server's image"):
        s3.build_and_load(Context(registry=False))
    if kube.get("secret", "s3-server", namespace) is None:
        _make_secrets(namespace)
    kube.apply(_pod(namespace))
    publish(namespace)

    def runs() -> bool:
        status = kube.need("pod", NAME, namespace)["status"]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())

    until("the S3 server runs", runs, timeout=60)


def _make_secrets(namespace: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Authority.make().fill(folder, f"{NAME}.{namespace}.svc")
        files = {name: (folder / name).read_text() for name in ("ca.crt", "server.crt", "server.key")}
    keys = {"access-key-id": _ACCESS, "secret-access-key": _SECRET}
    _secret(namespace, "s3", keys)
    _secret(namespace, "s3-wrong", {**keys, "secret-access-key": "not-this-one"})
    _secret(namespace, "s3-ca", {"ca.crt": files["ca.crt"]})
    _secret(namespace, "s3-passphrase", {"passphrase": "correct horse battery staple"})
    _secret(namespace, "s3-server", {**files, "access": _ACCESS, "secret": _SECRET})


def publish(namespace: str, *, reachable: bool = True) -> None:
    """Let its Service lead to it, or to nobody."""
    selector = {"app": NAME if reachable else "nobody"}
    spec = {"selector": selector, "ports": [{"port": s3.PORT, "targetPort": s3.PORT, "protocol": "TCP"}]}
    metadata = {"name": NAME, "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def destination(namespace: str, *, bucket: str = BUCKET, credentials: str = "s3") -> dict[str, Any]:
    """It as `spec.backup.destination`."""
    return {
        "s3": {
            "bucket": bucket,
            "endpoint": f"{NAME}.{namespace}.svc:{s3.PORT}",
            "uriStyle": "path",
            "credentials": {"name": credentials},
            "caSecret": {"name": "s3-ca"},
        }
    }


def damage(namespace: str, folder: str) -> None:
    """Overwrite some bytes in the middle of the largest file in a folder of the bucket, behind the server's back."""
    process = faults.first_process(kube.need("pod", NAME, namespace), NAME)
    there = f"/proc/{process.pid}/root/data/{BUCKET}{folder}"
    docker("exec", process.node, "sh", "-ec", _DAMAGE, "sh", there, timeout=30)


_DAMAGE = """
file=$(ls -S -d "$1"/* | head -n 1)
size=$(stat -c %s "$file")
dd if=/dev/urandom of="$file" bs=1 count=64 seek=$((size / 2)) conv=notrunc
"""


def _secret(namespace: str, name: str, data: dict[str, str]) -> None:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    metadata = {"name": name, "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})


def _pod(namespace: str) -> kube.Object:
    def secret(variable: str, key: str) -> kube.Object:
        return {"name": variable, "valueFrom": {"secretKeyRef": {"name": "s3-server", "key": key}}}

    container = {
        "name": NAME,
        "image": s3.IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--port", f":{s3.PORT}", "--cert", "/tls/server.crt", "--key", "/tls/server.key", "--quiet", "posix",
                 "/data"],
        "env": [secret("ROOT_ACCESS_KEY", "access"), secret("ROOT_SECRET_KEY", "secret")],
        "readinessProbe": {"tcpSocket": {"port": s3.PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            # A folder of the volume is a bucket.
            {"name": "data", "mountPath": f"/data/{BUCKET}", "subPath": BUCKET},
            {"name": "data", "mountPath": "/data/.vgwlocks", "subPath": ".vgwlocks"},
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app": NAME}},
        "spec": {
            "containers": [container],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 1,
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "tls", "secret": {"secretName": "s3-server", "defaultMode": 0o440}},
            ],
        },
    }
