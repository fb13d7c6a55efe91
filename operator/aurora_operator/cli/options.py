"""Options that all verbs share: which Kubernetes cluster, which namespace."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from aurora_operator.kube import client
from aurora_operator.kube.errors import KubeError

T = TypeVar("T")

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name of the AuroraCluster.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Its namespace. [default: the context's]", show_default=False)
]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig. [default: the current]", show_default=False)
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Path of the kubeconfig.", show_default=False)]


@dataclass(frozen=True)
class Target:
    """Where a verb acts."""

    kubeconfig: str | None
    context: str | None
    namespace: str

    def kubectl(self) -> list[str]:
        """The beginning of a kubectl command line for the same place."""
        words = ["kubectl"]
        if self.kubeconfig is not None:
            words += ["--kubeconfig", self.kubeconfig]
        if self.context is not None:
            words += ["--context", self.context]
        return [*words, "--namespace", self.namespace]


def target(kubeconfig: str | None, context: str | None, namespace: str | None) -> Target:
    """Find out where to act, as kubectl would."""
    try:
        return Target(kubeconfig, context, namespace or client.default_namespace(kubeconfig, context))
    except (client.ConfigError, OSError) as error:
        fail(f"no usable kubeconfig: {error}")


def run(where: Target, doing: Callable[[client.Api], Awaitable[T]]) -> T:
    """Do something with the Kubernetes API; its errors end the program with a sentence."""

    async def connected() -> T:
        async with client.connect(kubeconfig=where.kubeconfig, context=where.context) as api:
            return await doing(api)

    try:
        return asyncio.run(connected())
    except (KubeError, client.ConfigError) as error:
        fail(str(error))


def need(cluster: Any, name: str, where: Target) -> Any:
    """The cluster, or the end of the program if there is none."""
    if cluster is None:
        fail(f"there is no AuroraCluster {name} in namespace {where.namespace}")
    return cluster


def anew(word: str) -> str:
    """A request's word with an identity, so that it differs from all that were made before, or stand in a manifest."""
    return f"{word}/{secrets.token_hex(4)}"


def fail(why: str) -> NoReturn:
    """End the program with exit code 1 and a sentence."""
    typer.echo(f"aurora: {why}", err=True)
    raise typer.Exit(1)
