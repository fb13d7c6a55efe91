"""Moving images: names, archives with blobs left out, and what an image is made from."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.kind import oci, project
from tests.kind.images import full_name


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("aurora-operator:dev", "docker.io/library/aurora-operator:dev"),
        ("busybox", "docker.io/library/busybox:latest"),
        ("kindest/node:v1", "docker.io/kindest/node:v1"),
        ("registry.k8s.io/pause:3", "registry.k8s.io/pause:3"),
        ("localhost:5000/thing", "localhost:5000/thing:latest"),
    ],
)
def test_containerd_files_images_under_their_full_names(short: str, full: str) -> None:
    assert full_name(short) == full


def archive(folder: Path) -> tuple[Path, list[str]]:
    """An image of a configuration and two layers, as `oci.save` leaves it."""
    digests = []
    blobs = folder / "image" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (b"configuration", b"layer one", b"layer two"):
        digests.append("sha256:" + hashlib.sha256(content).hexdigest())
        (blobs / digests[-1].removeprefix("sha256:")).write_bytes(content)
    config, *layers = ({"digest": digest, "size": 9, "mediaType": "x"} for digest in digests)
    (folder / "image" / "manifest").write_text(json.dumps({"config": config, "layers": [*layers, layers[0]]}))
    return folder / "image", digests


def test_only_the_included_blobs_are_written(tmp_path: Path) -> None:
    image, digests = archive(tmp_path)
    assert oci.blobs(image) == digests  # a repeated layer counts once
    stream = io.BytesIO()
    oci.write(image, ["docker.io/library/x:dev"], digests[2:], stream)
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        names = tar.getnames()
        index_file = tar.extractfile("index.json")
        assert index_file is not None
        index = json.load(index_file)
    manifest = oci.manifest_digest(image)
    assert index["manifests"][0]["digest"] == manifest
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/library/x:dev"
    expected = [f"blobs/sha256/{digest.removeprefix('sha256:')}" for digest in (manifest, digests[2])]
    assert names == ["oci-layout", "index.json", *expected]


DOCKERFILE = """\
FROM debian:trixie-slim AS base
COPY --chown=1:1 one two/ /target/
FROM base
COPY --from=base /elsewhere /target
COPY three \\
     /target
ADD four /target
FROM scratch
from --platform=linux/amd64 python:3.13 as last
"""


def test_what_an_image_is_made_from_is_read_from_its_dockerfile() -> None:
    assert project.sources(DOCKERFILE) == ["one", "two/", "three", "four"]
    assert project.bases(DOCKERFILE) == ["debian:trixie-slim", "python:3.13"]
