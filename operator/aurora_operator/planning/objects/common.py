"""What all objects of a cluster have in common: names, labels, the owner."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import CHILD_KINDS, OPTIONAL_KINDS, Raw


def tcp_ports(*numbers: int) -> list[dict[str, Any]]:
    """Ports as a rule of a NetworkPolicy has them."""
    return [{"protocol": "TCP", "port": number} for number in numbers]


@dataclass(frozen=True)
class Identity:
    """Which cluster an object belongs to."""

    name: str
    namespace: str
    uid: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every object."""
        return {
            "app.kubernetes.io/name": "aurora-postgresql",
            "app.kubernetes.io/managed-by": "aurora-operator",
            "app.kubernetes.io/instance": self.name,
            names.LABEL_CLUSTER: self.name,
        }

    @property
    def pod_selector(self) -> dict[str, str]:
        """Labels that select the pods of the cluster's instances."""
        return {names.LABEL_CLUSTER: self.name, names.LABEL_COMPONENT: "instance"}

    @property
    def copies_selector(self) -> dict[str, Any]:
        """A label selector of the pods of all copies, log copies too."""
        components = {"key": names.LABEL_COMPONENT, "operator": "In", "values": ["instance", "log"]}
        return {"matchLabels": {names.LABEL_CLUSTER: self.name}, "matchExpressions": [components]}

    def object(
        self,
        kind: str,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        owned: bool = True,
        **fields: Any,
    ) -> dict[str, Any]:
        """An object of the cluster, to which `fields` (spec, data…) are added at the top level."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": {**self.labels, **(labels or {})},
        }
        if annotations:
            metadata["annotations"] = dict(annotations)
        if owned:
            metadata["ownerReferences"] = [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ]
        return {"apiVersion": {**CHILD_KINDS, **OPTIONAL_KINDS}[kind], "kind": kind, "metadata": metadata, **fields}


def canonical(value: Any) -> str:
    """JSON in one form only: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """A short fingerprint of a JSON value."""
    return sha256(canonical(value).encode()).hexdigest()[:16]


def encode_data(data: Mapping[str, str]) -> dict[str, str]:
    """Text as a Secret's `data`."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}


def decode_data(secret: Raw | None) -> dict[str, str]:
    """A Secret's `data` as text; what is not UTF-8 text is left out."""
    decoded: dict[str, str] = {}
    for key, text in ((secret or {}).get("data") or {}).items():
        try:
            decoded[key] = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            continue
    return decoded


def annotation(obj: Raw | None, name: str) -> str | None:
    """An annotation of an object, or None."""
    value = (((obj or {}).get("metadata") or {}).get("annotations") or {}).get(name)
    return None if value is None else str(value)


def label(obj: Raw | None, name: str) -> str | None:
    """A label of an object, or None."""
    value = (((obj or {}).get("metadata") or {}).get("labels") or {}).get(name)
    return None if value is None else str(value)


def is_leaving(obj: Raw | None) -> bool:
    """Whether Kubernetes is deleting it."""
    return ((obj or {}).get("metadata") or {}).get("deletionTimestamp") is not None
