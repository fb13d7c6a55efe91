"""The programs that a node consists of, compiled from Go modules where no image of them pulls."""

from __future__ import annotations

from pathlib import Path

from tests.kind import golang

KUBERNETES = "v1.35.4"
_COREDNS = "v1.12.4"  # the newest that installs as a module; it serves kubeadm's configuration all the same
_NODE = Path(__file__).parent / "node"


def kubernetes() -> Path:
    """Every Kubernetes program in one binary; what it is depends on the name it is started by."""
    _, minor, _ = KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    fields = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    flags = [f"-X {version}.{field}={value}" for field, value in fields.items()]
    return golang.binary(_NODE / "k8s", name="kubernetes", ldflags=flags)


def coredns() -> Path:
    """The cluster's DNS server."""
    return golang.installed("github.com/coredns/coredns", _COREDNS, name="coredns")


def pause() -> Path:
    """What holds each pod's namespaces."""
    return golang.binary(_NODE / "pause", name="pause")


def podnet() -> Path:
    """The pod network's agent."""
    return golang.binary(_NODE / "podnet", name="podnet")
