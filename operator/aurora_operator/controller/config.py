"""What the operator is started with: environment variables, set by the chart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aurora_operator.controller.errors import ControllerError
from aurora_operator.planning.model.plan_model import OperatorConfig


class ConfigError(ControllerError):
    """A variable is missing or makes no sense; says which."""


@dataclass(frozen=True)
class Config:
    """Settings of the process."""

    operator: OperatorConfig
    pod_name: str
    pod_uid: str
    lease_name: str
    log_level: str
    health_port: int
    """Liveness, plain HTTP: /healthz."""
    metrics_port: int
    """Prometheus, plain HTTP: /metrics."""
    watch_namespaces: tuple[str, ...]
    """Empty: all namespaces."""
    max_concurrent_clusters: int = 1
    """How many clusters may be restarted at a time for what nobody asked for."""
    kubelet_account: str | None = None
    """The ServiceAccount that may ask kubelets about volumes; None: nobody does."""
    kubelet_verify: bool = True
    """Whether kubelets' certificates must be of the cluster's authority."""

    @property
    def identity(self) -> str:
        """Who we are in the Lease: the pod, so that a restarted container takes its own Lease back at once."""
        return f"{self.pod_name}_{self.pod_uid}" if self.pod_uid else self.pod_name

    @staticmethod
    def from_env(environ: Mapping[str, str]) -> Config:
        """Read the environment. Raises ConfigError."""

        def need(name: str) -> str:
            if not environ.get(name):
                raise ConfigError(f"the environment variable {name} must be set")
            return environ[name]

        return Config(
            operator=OperatorConfig(
                default_image=need("AURORA_INSTANCE_IMAGE"),
                namespace=need("POD_NAMESPACE"),
                pod_labels=_labels(need("AURORA_POD_LABELS")),
                cluster_domain=environ.get("AURORA_CLUSTER_DOMAIN") or "cluster.local",
                auto_pause_seconds=_seconds(environ, "AURORA_AUTO_PAUSE_SECONDS"),
            ),
            pod_name=need("POD_NAME"),
            pod_uid=environ.get("POD_UID", ""),
            lease_name=environ.get("AURORA_LEASE_NAME") or "aurora-operator",
            log_level=(environ.get("AURORA_LOG_LEVEL") or "INFO").upper(),
            health_port=_port(environ, "AURORA_HEALTH_PORT", 8081),
            metrics_port=_port(environ, "AURORA_METRICS_PORT", 8080),
            watch_namespaces=tuple(n for n in environ.get("AURORA_WATCH_NAMESPACES", "").split(",") if n),
            max_concurrent_clusters=_seconds(environ, "AURORA_MAX_CONCURRENT_CLUSTERS") or 1,
            kubelet_account=environ.get("AURORA_KUBELET_STATS_ACCOUNT") or None,
            kubelet_verify=environ.get("AURORA_KUBELET_STATS_INSECURE") != "true",
        )


def _labels(text: str) -> dict[str, str]:
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"AURORA_POD_LABELS must be a JSON object of texts: {error}") from error
    if not isinstance(labels, dict) or not labels or not all(isinstance(v, str) for v in labels.values()):
        raise ConfigError("AURORA_POD_LABELS must be a JSON object of texts, with at least one")
    return labels


def _seconds(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{name} must be a whole number of seconds, not {text!r}")
    return int(text)


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"{name} must be a port number, not {text!r}")
    return int(text)
