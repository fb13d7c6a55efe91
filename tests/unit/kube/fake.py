"""A Kubernetes API in a dictionary: what our calls need of it, with resource versions and preconditions."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from aurora_operator.kube.client import APPLY, JSON, JSON_PATCH, MERGE
from aurora_operator.kube.errors import AlreadyExists, Conflict, Invalid, NotFound

WRITES = ("POST", "PUT", "PATCH", "DELETE")


class FakeApi:
    """Objects by path. `fail` holds errors to raise: (method, part of the path) -> error."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.queries: list[dict[str, str]] = []
        self.fail: dict[tuple[str, str], Exception] = {}
        self._numbers = itertools.count(1)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in WRITES]

    def put(self, path: str, **content: Any) -> dict[str, Any]:
        """Place an object at a path."""
        collection, name = path.rsplit("/", 1)
        namespace = collection.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in collection else None
        made = copy.deepcopy(content)
        metadata = made.setdefault("metadata", {})
        number = next(self._numbers)
        metadata.update({"name": name, "uid": metadata.get("uid", f"uid-{number}"), "resourceVersion": str(number)})
        if namespace:
            metadata["namespace"] = namespace
        self.objects[path] = made
        return made

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        within: float | None = None,
    ) -> dict[str, Any]:
        self.calls.append((method, path))
        self.bodies.append(copy.deepcopy(body))
        self.queries.append(dict(query or {}))
        for (verb, part), error in self.fail.items():
            if verb == method and part in path:
                raise error
        match method:
            case "GET":
                return copy.deepcopy(self._get(path, dict(query or {})))
            case "POST":
                return self._post(path, body)
            case "PUT":
                return self._put(path, body)
            case "PATCH":
                return self._patch(path, body, content_type)
            case "DELETE":
                return self._delete(path, body)
        raise AssertionError(method)

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path in self.objects:
            return self.objects[path]
        last = path.rsplit("/", 1)[1]
        if last in _PLURALS or any(_is_in(place, path) for place in self.objects):
            return {"items": [o for p, o in self.objects.items() if _is_in(p, path) and _selected(o, query)]}
        raise NotFound(404, "NotFound", f"{path} not found")

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        target = f"{path}/{body['metadata']['name']}"
        if target in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f"{target} already exists")
        return self.put(target, **body)

    def _put(self, path: str, body: Any) -> dict[str, Any]:
        now = self._existing(path)
        if body["metadata"].get("resourceVersion") != now["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        return self.put(path, **body)

    def _patch(self, path: str, body: Any, content_type: str) -> dict[str, Any]:
        subresource = path.endswith("/status")
        path = path.removesuffix("/status")
        if content_type == APPLY:
            old = self.objects.get(path, {})
            uid = body["metadata"].get("uid")
            if uid is not None and uid != old.get("metadata", {}).get("uid"):
                raise Conflict(409, "Conflict", "uid mismatch")
            return self.put(path, **_merged(old, body))
        now = self._existing(path)
        if content_type == JSON_PATCH:
            assert subresource
            test, add = body
            if test["value"] != now["metadata"]["uid"]:
                raise Invalid(422, "Invalid", "the uid differs")
            return self.put(path, **{**now, "status": add["value"]})
        assert content_type == MERGE
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != now["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        return self.put(path, **_merged(now, body))

    def _delete(self, path: str, body: Any) -> dict[str, Any]:
        now = self._existing(path)
        uid = (body or {}).get("preconditions", {}).get("uid")
        if uid is not None and uid != now["metadata"]["uid"]:
            raise Conflict(409, "Conflict", "the uid differs")
        return self.objects.pop(path)

    def _existing(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise NotFound(404, "NotFound", f"{path} not found")
        return self.objects[path]


_PLURALS = {
    "jobs", "statefulsets", "pods", "persistentvolumeclaims", "services", "endpointslices", "configmaps", "secrets",
    "deployments", "serviceaccounts", "roles", "rolebindings", "poddisruptionbudgets", "networkpolicies", "nodes",
    "storageclasses", "priorityclasses", "events", "auroraclusters", "aurorasnapshots",
}  # fmt: skip


def _is_in(path: str, collection: str) -> bool:
    if path.startswith(f"{collection}/"):
        return "/" not in path[len(collection) + 1 :]
    group, _, plural = collection.rpartition("/")
    return path.startswith(f"{group}/namespaces/") and path.rsplit("/", 2)[1] == plural


def _selected(obj: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, wanted = term.partition("=")
        value: Any = obj
        for part in path.split("."):
            value = (value or {}).get(part)
        if value != wanted:
            return False
    if "labelSelector" not in query:
        return True
    key, equals, value = query["labelSelector"].partition("=")
    labels = obj["metadata"].get("labels") or {}
    return bool(labels.get(key) == value) if equals else key in labels


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return copy.deepcopy(new)
    result = copy.deepcopy(old)
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
