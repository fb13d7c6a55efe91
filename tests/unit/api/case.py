"""What a case of a resource that must be refused is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """A bad resource, or with `before` a bad change of a good one."""

    id: str
    spec: Spec
    sentence: str
    name: str = "bad"
    before: Spec | None = None

    def manifest(self, namespace: str = "default") -> dict[str, Any]:
        return manifest(self.spec, name=self.name, namespace=namespace)


def manifest(spec: Spec, *, name: str = "bad", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "aurorapg.io/v1alpha1",
        "kind": "AuroraCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
