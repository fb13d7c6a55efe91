"""The S3 server of tests and demo: versitygw, with TLS by an authority of its own, as a pod in the kind cluster.

`python -m tests.kind.s3` builds its image and loads it into the workers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.kind import cache, docker, golang, images
from tests.kind.context import Context

VERSION = "v1.8.0"
IMAGE = "aurora-s3:dev"
PORT = 7070
_DOCKERFILE = """FROM scratch
COPY versitygw /versitygw
USER 10001:10001
ENTRYPOINT ["/versitygw"]
"""


def binary() -> Path:
    """The server's program, compiled once."""
    return golang.installed("github.com/versity/versitygw/cmd/versitygw", VERSION, name="versitygw")


def build_and_load(context: Context) -> None:
    """Make the image, and load it into the workers that lack it."""
    program = binary()
    key = cache.digest(_DOCKERFILE, str(program))
    if docker.image_label(IMAGE, "aurora-kind") != key:
        folder = cache.root() / "s3-image"
        cache.remove(folder)
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(_DOCKERFILE)
        shutil.copy2(program, folder / "versitygw")
        docker.build(IMAGE, folder, labels={"aurora-kind": key})
    images.load(IMAGE, context.workers())
