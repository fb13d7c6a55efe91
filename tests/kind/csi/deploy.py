"""Putting the CSI driver on the kind cluster: ``prepare`` makes its images, ``install`` deploys them.

Both are quick when nothing changed. ``python -m tests.kind.csi.deploy`` does the two against a cluster that
is up.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tarfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from string import Template

from tests.kind import base, cache, golang, images
from tests.kind.context import Context, apply, kubectl
from tests.kind.docker import build, image_id, image_label, pull, registry_answers
from tests.kind.shell import CommandFailed, HarnessError, output, say, step, succeeds

from .driver import DRIVER
from .sidecars import PROGRAMS, sidecars_binary

NAMESPACE = "aurora-csi"
POOL_SIZE = "40Gi"
_HERE = Path(__file__).resolve().parent
_KEY = "aurora-csi"  # image label: what it was made from


@dataclass(frozen=True)
class Images:
    """Names of the images that the manifests are filled with."""

    driver: str
    provisioner: str
    resizer: str
    snapshotter: str
    snapshot_controller: str


_BUILT = Images("aurora-csi:dev", *["aurora-csi-sidecars:dev"] * 4)
_REGISTRY = "registry.k8s.io/sig-storage"
_OFFICIAL = Images(
    "aurora-csi:dev",
    f"{_REGISTRY}/csi-provisioner:v6.4.0",
    f"{_REGISTRY}/csi-resizer:v2.3.0",
    f"{_REGISTRY}/csi-snapshotter:v8.7.0",
    f"{_REGISTRY}/snapshot-controller:v8.7.0",
)


def prepare(context: Context) -> Images:
    """Make the driver's and the sidecars' images exist locally: pulled, else built from the Go proxy."""
    with step("images of the CSI driver"):
        _build_driver(context)
        if context.registry and all(image_id(name) or pull(name) for name in astuple(_OFFICIAL)[1:]):
            return _OFFICIAL
        _build_sidecars()
        return _BUILT


def install(context: Context, chosen: Images) -> None:
    """Deploy the driver, its classes and the snapshot controller, and wait until every worker has it."""
    with step("CSI driver"):
        for name in sorted(set(astuple(chosen))):
            images.load(name, context.nodes())
        _apply(render(chosen))
        for workload in ("daemonset/node", "deployment/controller"):
            kubectl("--namespace", NAMESPACE, "rollout", "status", workload, "--timeout=180s", timeout=200)
        for worker in context.workers():
            _wait_until_registered(worker)


def render(chosen: Images) -> str:
    """Return the manifests, filled in. The images' ids are in the pods, so that a rebuilt image restarts them."""
    values = {name.upper(): value for name, value in vars(chosen).items()}
    ids = cache.digest(*(image_id(name) or name for name in astuple(chosen)))
    documents = [path.read_text() for path in sorted((_HERE / "manifests").glob("*.yaml"))]
    # safe_substitute: $(NODE_NAME) is the kubelet's to fill in.
    return Template("---\n".join(documents)).safe_substitute(values, IMAGE_IDS=ids, POOL_SIZE=POOL_SIZE)


def cleanup() -> list[str]:
    """After the cluster is gone: detach the loop devices of its volumes; return those that are still there.

    The kernel detaches them by itself with their last mount; this catches what a crash in between left.
    Detaching a device that is mounted (another cluster's) only repeats that wish, so nothing is torn away.
    """
    for device in _our_loops():
        if not succeeds(["losetup", "--detach", f"/dev/{device}"]):
            say(f"/dev/{device} of a test volume cannot be detached (that needs root)")
    deadline = time.monotonic() + 10
    while (left := _our_loops(deleted=True)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _our_loops(*, deleted: bool = False) -> list[str]:
    """Return the loop devices of pools and volumes; ``deleted``: only those whose image is gone already."""
    # A pool's path is that within its container, hence short.
    ours = re.compile(r"/(?:vol-[0-9a-f]{32}@[^/]+\.img|pool\.img)( \(deleted\))?$")
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            match = ours.search(backing := file.read_text().strip())
        except OSError:
            continue  # detached while we looked
        # Whatever has a path that exists out here is no container's.
        if match and (match[1] or (not deleted and not Path(backing).exists())):
            found.append(file.parts[3])
    return sorted(found)


def _wait_until_registered(worker: str, timeout: float = 120) -> None:
    """Wait until the kubelet knows the driver. (`kubectl wait` fails at once while a node has no driver at all.)"""
    deadline = time.monotonic() + timeout
    while DRIVER not in kubectl("get", f"csinode/{worker}", "--output", "jsonpath={.spec.drivers[*].name}").split():
        if time.monotonic() > deadline:
            raise HarnessError(f"{worker}: the kubelet does not know {DRIVER} after {timeout:.0f} s")
        time.sleep(0.5)


def _apply(manifests: str) -> None:
    for path in sorted((_HERE / "crds").glob("*.yaml")):
        apply(path.read_text())
    kinds = ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")
    crds = [f"crd/{kind}.snapshot.storage.k8s.io" for kind in kinds]
    kubectl("wait", "--for=condition=Established", *crds, "--timeout=60s")
    apply((_HERE / "manifests/10-access.yaml").read_text())
    try:
        kubectl("--namespace", NAMESPACE, "get", "secret", "peers")
    except CommandFailed:
        token = f"--from-literal=token={secrets.token_hex(32)}"
        kubectl("--namespace", NAMESPACE, "create", "secret", "generic", "peers", token)
    apply(manifests)
    # kind's own class is the default as well, and cannot expand: claims that name none must get ours.
    if "standard" in kubectl("get", "storageclass", "--output", "jsonpath={.items[*].metadata.name}").split():
        mark = "storageclass.kubernetes.io/is-default-class=false"
        kubectl("annotate", "--overwrite", "storageclass", "standard", mark)


def _build_driver(context: Context) -> None:
    debian = base.ensure("trixie", registry=context.registry)
    # grpcio-tools and setuptools are for generating code, not for running it.
    left_out = [f"--no-emit-package={name}" for name in ("grpcio-tools", "setuptools")]
    export = [_uv(), "export", "--frozen", "--only-group=csi", "--no-header", *left_out]
    requirements = output(export, cwd=cache.REPO)
    driver, dockerfile = _HERE / "driver", _HERE / "Dockerfile"
    key = cache.digest(driver, dockerfile, requirements, image_id(debian) or "", golang.architecture())
    if image_label(_BUILT.driver, _KEY) == key:
        return
    packages = cache.slot("csi-python", cache.digest(requirements, golang.architecture(), "1"))
    if not packages.exists():
        with step("fetch the driver's Python packages"), cache.filling(packages) as made:
            _fetch_packages(requirements, made)
    with cache.filling(cache.slot("csi-image", key)) as folder:
        shutil.copytree(packages, folder / "python")
        shutil.copytree(driver, folder / "driver", ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
        shutil.copy(dockerfile, folder / "Dockerfile")
        build(_BUILT.driver, folder, labels={_KEY: key})


def _fetch_packages(requirements: str, target: Path) -> None:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[golang.architecture()]
    target.mkdir()
    (listed := target.parent / "requirements.txt").write_text(requirements)
    platform = ["--python-version=3.13", f"--python-platform={machine}-manylinux_2_28", "--only-binary=:all:"]
    options = ["--quiet", "--require-hashes", "--link-mode=copy", f"--target={target}", *platform]
    output([_uv(), "pip", "install", *options, "--requirement", listed])


def _uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(cache.REPO / ".tools/bin"))
    if found is None:
        raise HarnessError("uv is missing: `make tools` gets it, or see https://docs.astral.sh/uv/")
    return found


def _build_sidecars() -> None:
    binary, dockerfile = sidecars_binary(), _HERE / "Dockerfile.sidecars"
    key = cache.digest(binary.name, dockerfile)
    if image_label(_BUILT.provisioner, _KEY) == key:
        return
    with cache.filling(cache.slot("csi-sidecars-image", key)) as folder:
        folder.mkdir()
        shutil.copy(dockerfile, folder / "Dockerfile")
        with tarfile.open(folder / "sidecars.tar", "w") as archive:
            archive.add(binary, "sidecars")
            for program in PROGRAMS:
                link = tarfile.TarInfo(program.name)
                link.type, link.linkname = tarfile.SYMTYPE, "sidecars"
                archive.addfile(link)
        build(_BUILT.provisioner, folder, labels={_KEY: key})


if __name__ == "__main__":
    here = Context(registry=registry_answers())
    try:
        install(here, prepare(here))
    except HarnessError as error:
        sys.exit(str(error))
