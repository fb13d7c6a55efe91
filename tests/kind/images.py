"""Getting an image from the Docker engine into the nodes, moving only the layers that a node lacks.

A node is a container with a containerd of its own. `kind load` sends every layer to every node each time
(half a minute per node for a database image). Here the image becomes an OCI archive in which the layers that
the node's content store already holds are left out: after a change of code only the last, small layer moves.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tests.kind import cache, oci
from tests.kind.docker import docker, image_id
from tests.kind.shell import CommandFailed, HarnessError, step

_CTR = ("ctr", "--namespace", "k8s.io")


def load(image: str, nodes: Sequence[str]) -> list[str]:
    """Make a local image known on the nodes that do not have exactly it; return the nodes that lacked it."""
    local = image_id(image)
    if local is None:
        raise HarnessError(f"there is no local image {image}")
    archive = cache.slot(f"oci-{_file_name(image)}", cache.digest(local, "1"))
    if archive.exists():
        lacking = [node for node in nodes if loaded_digest(node, image) != oci.manifest_digest(archive)]
        if not lacking:
            return []
    else:
        lacking = list(nodes)
    with step(f"load {image} to {', '.join(lacking)}"):
        if not archive.exists():
            with step("save it"), cache.filling(archive) as made:
                oci.save(image, made)
        with ThreadPoolExecutor(2) as pool:  # more at once only wait for the same disk
            sending = [pool.submit(copy_context().run, _send, archive, image, node) for node in lacking]
        for future in sending:
            future.result()
    return lacking


def loaded_digest(node: str, image: str) -> str | None:
    """The manifest digest under which a node knows an image, or None."""
    rows = docker("exec", node, *_CTR, "images", "ls", f"name=={full_name(image)}").splitlines()[1:]
    return rows[0].split()[2] if rows else None


def full_name(image: str) -> str:
    """The name containerd files an image under: with registry, folder and tag."""
    name = image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def import_into(
    container: str, archive: oci.Archive, names: Sequence[str], blobs: Sequence[str], *options: str
) -> None:
    """Send an archive, with only some of its blobs, to the containerd in a container."""
    command = ["docker", "exec", "--interactive", container, *_CTR, "images", "import", *options, "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None
    try:
        oci.write(archive, [full_name(name) for name in names], blobs, process.stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it complained and left; its own words say more than ours
    process.stdin = None
    said, _ = process.communicate()
    if process.returncode:
        raise CommandFailed(command, process.returncode, said.decode(errors="replace"))


def _send(archive: oci.Archive, image: str, node: str) -> None:
    present = set(docker("exec", node, *_CTR, "content", "ls", "--quiet").split())
    missing = [blob for blob in oci.blobs(archive) if blob not in present]
    size = sum((archive / "blobs" / "sha256" / blob.split(":")[1]).stat().st_size for blob in missing)
    with step(f"{node}: {len(missing)} blobs, {size / 1e6:.0f} MB"):
        try:
            import_into(node, archive, [image], missing)
        except CommandFailed:
            # What was there a moment ago may have been collected as garbage meanwhile: send everything.
            import_into(node, archive, [image], oci.blobs(archive))


def _file_name(image: str) -> str:
    return image.replace("/", "-").replace(":", "-")
