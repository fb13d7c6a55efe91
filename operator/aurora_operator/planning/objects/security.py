"""What makes a pod meet the `restricted` standard: https://kubernetes.io/docs/concepts/security/pod-security-standards/."""

from __future__ import annotations

from typing import Any

from aurora_operator.api.base import names


def restricted_pod() -> dict[str, Any]:
    """A pod's `securityContext`: our user, who owns what it mounts."""
    return {
        "runAsNonRoot": True,
        "runAsUser": names.POSTGRES_UID,
        "runAsGroup": names.POSTGRES_UID,
        "fsGroup": names.POSTGRES_UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_container() -> dict[str, Any]:
    """A container's `securityContext`."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
