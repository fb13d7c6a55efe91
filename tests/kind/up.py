"""The verbs that make and unmake: what they do, in which order."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tests.kind import base, cache, cluster, docker, engine, kube, project, tools
from tests.kind.context import Context
from tests.kind.csi import deploy as csi
from tests.kind.shell import CommandFailed, say, step

TOOLS = ("kind", "kubectl", "helm")


def up() -> None:
    """Return once the cluster is there with everything on it."""
    with _alone(), step("cluster"):
        context = _context()
        if not context.registry and not context.nodes():
            _prepare()
        tools.use(*TOOLS)
        volumes = csi.prepare(context)
        cluster.ensure(context)
        _install(context, volumes)
        project.build_and_load(context)


def build_images() -> None:
    """Bring the project's images up to date, here and on the cluster's workers."""
    with _alone(), step("images"):
        project.build_and_load(_context())


def down(*, stop_engine: bool, everything: bool) -> None:
    """Delete the cluster; stop our own engine and forget what we made only when asked."""
    with _alone():
        if docker.engine_answers():
            tools.use("kind")
            cluster.delete()
            csi.cleanup()
            if everything:
                _forget_images()
        if stop_engine or everything:
            engine.stop_own()
    if everything:
        for entry in cache.root().iterdir():
            cache.remove(entry)


def _install(context: Context, volumes: csi.Images) -> None:
    """Deploy the CSI driver, again when it fails: nodes that have just come back are not themselves yet."""
    for pause in (5, 15, 0):
        try:
            csi.install(context, volumes)
            return
        except CommandFailed as error:
            if not pause:
                raise
            say(f"{error}; again in {pause} s")
            time.sleep(pause)


def _context() -> Context:
    engine.ensure()
    return Context(registry=docker.registry_answers())


def _prepare() -> None:
    """Make what a machine without a registry needs: downloads beside compilations, since two cores are few."""
    with step("prepare a cluster without an image registry"), ThreadPoolExecutor(2) as pool:
        downloads = pool.submit(copy_context().run, _debian)
        for make in (kube.kubernetes, kube.coredns, kube.pause, kube.podnet):
            make()
        tools.use(*TOOLS)
        downloads.result()


def _debian() -> None:
    for suite in ("bookworm", "trixie"):
        base.ensure(suite, registry=False)


def _alone() -> cache.Lock:
    return cache.lock(cache.root() / "harness.lock", "one at a time makes or changes the cluster")


def _forget_images() -> None:
    for image in docker.docker("images", "--quiet", "--filter", "label=aurora-kind").split():
        docker.docker("rmi", "--force", image)
