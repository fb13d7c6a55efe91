"""What a CSI call fails with."""

from __future__ import annotations

import grpc


class CsiError(Exception):
    """A failure with the gRPC code that the CSI specification asks for."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> CsiError:
    """The request itself is wrong; repeating it is pointless."""
    return CsiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> CsiError:
    """The volume, snapshot or path named in the request does not exist."""
    return CsiError(grpc.StatusCode.NOT_FOUND, message)


def exists(message: str) -> CsiError:
    """Something of that name exists and is not what was asked for."""
    return CsiError(grpc.StatusCode.ALREADY_EXISTS, message)


def out_of_range(message: str) -> CsiError:
    """No volume of that size can be had."""
    return CsiError(grpc.StatusCode.OUT_OF_RANGE, message)


def exhausted(message: str) -> CsiError:
    """Not on this node: the provisioner gives the volume back to the scheduler."""
    return CsiError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def precondition(message: str) -> CsiError:
    """The volume is in a state that does not allow the call (in use, not staged)."""
    return CsiError(grpc.StatusCode.FAILED_PRECONDITION, message)


def aborted(message: str) -> CsiError:
    """Another call on the same volume is under way, or a page token is stale: start over."""
    return CsiError(grpc.StatusCode.ABORTED, message)
