"""The few objects of the Kubernetes API that agents use, over HTTPS, with what can go wrong between them and it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final, Literal

import h11

from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.base import names

NAMESPACE: Final = "default"
Answer = tuple[HTTPStatus, dict[str, Any]]


class Kubernetes:
    """Objects by their path. Whoever asks is known by its token, which is its pod's name."""

    def __init__(self, cluster: str) -> None:
        self._record = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{names.record_configmap(cluster)}"
        self._slice = (
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{names.writer_endpointslice(cluster)}"
        )
        self._objects: dict[str, dict[str, Any]] = {}
        self._version = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.mode: Literal["up", "refuses", "silent"] = "up"
        self.published: list[tuple[int, str]] = []
        """Epoch and address of each change of the writer's endpoint."""
        self.records: list[Record] = []
        """Each that was written."""
        self.put(self._record, {"data": {RECORD_KEY: Record(state="empty").model_dump_json(by_alias=True)}})
        self.put(self._slice, {"addressType": "IPv4", "endpoints": None, "ports": None})

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Store an object as its next version."""
        self._version += 1
        stored = copy.deepcopy(body)
        stored.setdefault("metadata", {})["resourceVersion"] = str(self._version)
        self._objects[path] = stored
        return stored

    def damage_record(self, data: dict[str, Any]) -> dict[str, Any]:
        """Somebody puts other data into the record; returns what it held."""
        held: dict[str, Any] = self._objects[self._record]["data"]
        self.put(self._record, {**self._objects[self._record], "data": data})
        return held

    def add_pod(self, name: str) -> None:
        self.put(self._pod(name), {"metadata": {"name": name, "labels": {}}})

    def role(self, pod: str) -> str | None:
        """The role that the pod's label shows to Services."""
        labels: dict[str, str] = self._objects[self._pod(pod)]["metadata"]["labels"]
        return labels.get(names.LABEL_ROLE)

    @property
    def record(self) -> Record:
        return Record.model_validate_json(self._objects[self._record]["data"][RECORD_KEY])

    @property
    def writer(self) -> str | None:
        """Where the writer's Service leads."""
        endpoints = self._objects[self._slice].get("endpoints") or []
        return endpoints[0]["addresses"][0] if endpoints else None

    def _pod(self, name: str) -> str:
        return f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"

    @contextlib.asynccontextmanager
    async def serving(self, host: str, tls: ssl.SSLContext) -> AsyncIterator[int]:
        """Serve on this address; yields the port."""
        server = await asyncio.start_server(self._accept, host, 0, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            while (request := await _event(http, reader)) is not None and isinstance(request, h11.Request):
                body = b""
                while isinstance(event := await _event(http, reader), h11.Data):
                    body += event.data
                if self.mode != "up":
                    if self.mode == "silent":
                        await asyncio.Event().wait()
                    return
                status, answer = self._answer(request.method.decode(), request.target.decode(), body)
                content = json.dumps(answer).encode()
                headers = [("Content-Length", str(len(content)))]
                writer.write(http.send(h11.Response(status_code=status, headers=headers)) or b"")
                writer.write((http.send(h11.Data(content)) or b"") + (http.send(h11.EndOfMessage()) or b""))
                await writer.drain()
                http.start_next_cycle()
        except (OSError, h11.RemoteProtocolError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        live = self._objects.get(path)
        if live is None:
            return HTTPStatus.NOT_FOUND, {"message": f"there is no {path}"}
        if method == "GET":
            return HTTPStatus.OK, live
        wanted = json.loads(body)
        if method == "PATCH":
            labels = wanted["metadata"]["labels"]
            merged = {**live["metadata"]["labels"], **labels}
            live = {**live, "metadata": {**live["metadata"], "labels": {k: v for k, v in merged.items() if v}}}
            return HTTPStatus.OK, self.put(path, live)
        if wanted["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            return HTTPStatus.CONFLICT, {"message": "it has changed"}
        stored = self.put(path, wanted)
        if path == self._slice:
            epoch = int(stored["metadata"]["annotations"][names.ANNOTATION_EPOCH])
            self.published.append((epoch, stored["endpoints"][0]["addresses"][0]))
        else:
            self.records.append(self.record)
        return HTTPStatus.OK, stored


async def _event(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | None:
    """The next event; None where the other end has closed."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(1 << 16))
    return None if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed) else event  # type: ignore[return-value]
