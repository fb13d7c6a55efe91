"""What can go wrong between us and the Kubernetes API.

KubeError
├── NoAnswer          nobody answered in time; nothing is known about what happened
└── ApiError          the API answered with an error
    ├── NotFound      404
    ├── Conflict      409: somebody else changed it first, or a precondition does not hold
    │   └── AlreadyExists
    ├── Forbidden     401, 403: our permissions do not suffice
    └── Invalid       400, 422: the API refuses what we ask for
"""

from __future__ import annotations

import json


class KubeError(Exception):
    """A call to the Kubernetes API that did not do what it should."""


class NoAnswer(KubeError):
    """Nobody answered in time."""


class ApiError(KubeError):
    """The API's own words, and their HTTP status code."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message or reason} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message


class NotFound(ApiError):
    """It does not exist."""


class Conflict(ApiError):
    """Somebody else changed it first, or a precondition does not hold."""


class AlreadyExists(Conflict):
    """It was there already."""


class Forbidden(ApiError):
    """Our permissions do not suffice."""


class Invalid(ApiError):
    """The API refuses what we ask for."""


def from_response(status: int, body: bytes | str) -> ApiError:
    """The error for an HTTP answer whose body is a `metav1.Status`, or anything else (a proxy's page)."""
    reason, message = "", ""
    try:
        answer = json.loads(body)
        if isinstance(answer, dict):
            reason, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    except ValueError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body
        message = text.strip()[:200]
    return _kind(status, reason)(status, reason or "Unknown", message)


def _kind(status: int, reason: str) -> type[ApiError]:
    match status:
        case 404:
            return NotFound
        case 409:
            return AlreadyExists if reason == "AlreadyExists" else Conflict
        case 401 | 403:
            return Forbidden
        case 400 | 422:
            return Invalid
        case _:
            return ApiError
