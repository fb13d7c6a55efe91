"""Copying a snapshot or a volume from another node's pool.

Volumes are bound to their node, but what is restored from a snapshot may be wanted anywhere, and neither the
scheduler nor the operator under test can know where the snapshot happens to be. On the same node a copy is a
reflink; to another node the blocks in use are sent.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import json
import logging
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from . import linux
from .errors import CsiError, not_found
from .pool import Pool

PORT = 9180
_METHOD = "/aurora.csi.Peers/Read"
_CHUNK = 1024**2
_OFFSET = struct.Struct(">Q")
_TOKEN = "token"  # the metadata key that carries the secret which all nodes share

log = logging.getLogger(__name__)


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the (offset, length) in bytes of what a sparse file really holds, in pieces of at most 1 MiB."""
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: only a hole is left
                raise
            return
        end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
        for offset in range(start, end, _CHUNK):
            yield offset, min(_CHUNK, end - offset)


class Server:
    """Hands out the content of this node's volumes and snapshots to the other nodes."""

    def __init__(self, pool: Pool, token: str) -> None:
        """``token``: what a caller must know."""
        self._pool = pool
        self._token = token
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        method = grpc.unary_stream_rpc_method_handler(self._read)
        service, name = _METHOD.strip("/").split("/")
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: method})])

    def start(self, address: str) -> int:
        """Listen on ``address`` (``host:port``, port 0 for any); return the port."""
        port: int = self._server.add_insecure_port(address)
        self._server.start()
        return port

    def stop(self) -> None:
        """Stop at once; a copy under way fails at its receiver, which tries again."""
        self._server.stop(None).wait()

    def _read(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        given = dict(context.invocation_metadata()).get(_TOKEN, "")
        if not hmac.compare_digest(str(given).encode(), self._token.encode()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong token")
        identifier = request.decode()
        log.info("sending %s to %s", identifier, context.peer())
        try:
            with self._frozen_copy(identifier) as image:
                size = image.stat().st_size
                yield json.dumps({"size": size}).encode()
                with image.open("rb") as file:
                    for offset, length in extents(file.fileno(), size):
                        yield _OFFSET.pack(offset) + os.pread(file.fileno(), length, offset)
        except CsiError as error:
            context.abort(error.code, str(error))

    @contextlib.contextmanager
    def _frozen_copy(self, identifier: str) -> Iterator[Path]:
        """Reflink the image first, so that nothing is held up or can be deleted while it is being sent."""
        copy = self._pool.mount_point / "scratch" / f"sending-{uuid.uuid4().hex}"
        try:
            with self._pool.locks.hold(identifier):
                store = self._pool.store_of(identifier)
                record = store.get(identifier)
                if record is None:
                    raise not_found(f"there is no {identifier} on node {self._pool.settings.node}")
                point = self._pool.mounted_at(record) if store is self._pool.volumes else None
                with linux.frozen(point):
                    linux.clone_file(store.image(identifier), copy)
            yield copy
        finally:
            copy.unlink(missing_ok=True)


@dataclass
class Remote:
    """Content that comes from another node; ``size`` in bytes."""

    size: int
    _messages: Iterator[bytes]

    def write_to(self, image: Path) -> None:
        """Write the content to a new file. Raises CsiError (UNAVAILABLE) if the other node stops sending."""
        with image.open("xb") as file, _translated():
            file.truncate(self.size)
            for message in self._messages:
                (offset,) = _OFFSET.unpack_from(message)
                os.pwrite(file.fileno(), memoryview(message)[_OFFSET.size :], offset)


class Client:
    """Gets content from the other nodes."""

    def __init__(self, token: str, find: Callable[[str], str]) -> None:
        """``find``: gives a node's name the address (``host:port``) of its driver, or an empty text."""
        self._token = token
        self._find = find

    @contextlib.contextmanager
    def open(self, node: str, identifier: str) -> Iterator[Remote]:
        """Ask ``node`` for a volume or snapshot.

        Raises CsiError: NOT_FOUND if it is not there, UNAVAILABLE if the node does not answer.
        """
        address = self._find(node)
        if not address:
            raise CsiError(grpc.StatusCode.UNAVAILABLE, f"{identifier} is on {node}, which runs no driver now")
        with grpc.insecure_channel(address) as channel:
            call: Any = channel.unary_stream(_METHOD)
            with _translated():
                messages = call(identifier.encode(), metadata=((_TOKEN, self._token),), timeout=3600)
                size = json.loads(next(messages))["size"]
            yield Remote(size, messages)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn another node's gRPC failure into ours."""
    try:
        yield
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        known = code if code is grpc.StatusCode.NOT_FOUND else grpc.StatusCode.UNAVAILABLE
        raise CsiError(known, f"from the node that holds it: {code.name}: {details}") from error
