"""The image that the cluster's nodes run: the official one, or one that we build like it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kind import base, cache, golang, images, kube, oci, tools
from tests.kind.docker import build, docker, image_id, image_label, pull
from tests.kind.shell import output, say, step, wait_until

OFFICIAL = f"kindest/node:{kube.KUBERNETES}"
_OWN = f"aurora-kind/node:{kube.KUBERNETES}"
_COMPONENTS = "aurora-kind/components:local"
_LABEL = "aurora-kind"  # on every image of ours: the hash of what it was made from
_NODE = Path(__file__).parent / "node"


def ensure(*, registry: bool) -> str:
    """Make a node image exist locally and return its name."""
    if registry:
        if image_id(OFFICIAL) is not None:
            return OFFICIAL
        with step(f"pull {OFFICIAL}"):
            if pull(OFFICIAL):
                return OFFICIAL
            say(f"{OFFICIAL} does not pull: build a node image instead")
    key = _key()
    if image_label(_OWN, _LABEL) == key:
        return _OWN
    with step("build the node image (the official one does not pull here)"):
        base.ensure("bookworm", registry=registry)
        bare = _build_bare(key)
        _preload(bare, _build_components(), key)
    return _OWN


def _key() -> str:
    binaries = [path.name for path in (kube.kubernetes(), kube.coredns(), kube.pause(), kube.podnet())]
    return cache.digest(_NODE / "image", _NODE / "components", tools.KIND_VERSION, *binaries)


def _wanted_images() -> dict[str, str]:
    """Names of the images that kubeadm will ask for, by what they are."""
    with tempfile.TemporaryDirectory() as folder:
        kubeadm = Path(folder) / "kubeadm"
        kubeadm.symlink_to(kube.kubernetes())
        said = output([kubeadm, "config", "images", "list", "--kubernetes-version", kube.KUBERNETES])
    return {name.rsplit("/", 1)[-1].split(":")[0]: name for name in said.split()}


def _build_components() -> dict[str, list[str]]:
    """Build the images that run in kube-system; return the names that each of them is asked for by."""
    wanted = _wanted_images()
    with _context(_NODE / "components", kube.kubernetes(), kube.podnet(), kube.coredns(), kube.pause()) as folder:
        build(_COMPONENTS, folder, labels={_LABEL: "components"})
        build(wanted["coredns"], folder, dockerfile=folder / "Dockerfile.coredns", labels={_LABEL: "coredns"})
        build(wanted["pause"], folder, dockerfile=folder / "Dockerfile.pause", labels={_LABEL: "pause"})
    own = {wanted[what]: [wanted[what]] for what in ("coredns", "pause")}
    return {_COMPONENTS: [_COMPONENTS, *(name for name in wanted.values() if name not in own)], **own}


def _build_bare(key: str) -> str:
    """Build the node image without the component images in it."""
    bare = f"aurora-kind/bare-node:{kube.KUBERNETES}"
    with _context(_NODE / "image", kube.kubernetes()) as folder:
        shutil.copytree(_kind_files(), folder / "files", copy_function=shutil.copyfile)
        (folder / "own/kind/version").write_text(kube.KUBERNETES)
        build(bare, folder, labels={_LABEL: key}, arguments={"PAUSE": _wanted_images()["pause"]})
    return bare


def _kind_files() -> Path:
    """The files of kind's own base image: scripts and units that are part of its Go module."""
    module = f"sigs.k8s.io/kind@{tools.KIND_VERSION}"
    found = json.loads(output(["go", "mod", "download", "-json", module], cwd=_NODE / "pause", env=golang.ENVIRONMENT))
    return Path(found["Dir"]) / "images" / "base" / "files"


def _preload(bare: str, contents: dict[str, list[str]], key: str) -> None:
    """Put the component images into the node image's containerd.

    Compressed and not unpacked: every node gets a copy of its /var when it starts, and unpacks what it runs.
    """
    with step("put the component images into it"):
        container = docker("run", "--detach", "--privileged", "--entrypoint", "containerd", bare).strip()
        try:
            wait_until("containerd answers", ["docker", "exec", container, "ctr", "version"], timeout=60)
            _import(container, contents)
            docker("exec", container, "sh", "-c", "rm -rf /run/containerd /tmp/*")
            docker("kill", "--signal", "TERM", container)  # the image's own stop signal means systemd
            docker("wait", container)
            entrypoint = json.dumps(["/usr/local/bin/entrypoint", "/sbin/init"])
            docker("commit", "--change", f"ENTRYPOINT {entrypoint}", "--change", "CMD []", container, _OWN)
        finally:
            docker("rm", "--force", "--volumes", container)
    say(f"{_OWN}: {int(docker('image', 'inspect', '--format', '{{.Size}}', _OWN)) / 1e6:.0f} MB")
    assert image_label(_OWN, _LABEL) == key


def _import(container: str, contents: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory(dir=cache.root()) as scratch:
        for number, (image, names) in enumerate(contents.items()):
            archive = Path(scratch) / str(number) / "image"
            oci.save(image, archive, compress=True)
            images.import_into(container, archive, names, oci.blobs(archive), "--no-unpack")


@contextlib.contextmanager
def _context(source: Path, *binaries: Path) -> Iterator[Path]:
    """A folder to build an image from: a copy of the source folder and the binaries under their names."""
    with tempfile.TemporaryDirectory(dir=cache.root()) as scratch:
        folder = Path(scratch) / "context"
        shutil.copytree(source, folder)
        for binary in binaries:
            name = binary.parent.name.removeprefix("bin-")
            (folder / name).hardlink_to(binary)
        yield folder
