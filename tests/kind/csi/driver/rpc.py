"""Turns plain Python methods into gRPC services, by the descriptors in the generated protobuf modules.

A service is an object with one method per call it supports (``CreateVolume(request) -> response``); calls
without a method are answered UNIMPLEMENTED by gRPC itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import grpc
from google.protobuf import message_factory  # type: ignore[import-untyped, unused-ignore]

from .errors import CsiError

log = logging.getLogger(__name__)

# Asked by the kubelet and the sidecars over and over; only their failures are worth a line.
_QUIET = ("Get", "Probe", "NodeGet", "List", "ControllerGet", "NotifyRegistrationStatus")


def handler(protocol: ModuleType, service: str, implementation: object) -> Any:
    """Return the gRPC handler that serves ``service`` of a generated module by ``implementation``."""
    descriptor = protocol.DESCRIPTOR.services_by_name[service]
    methods = {}
    for method in descriptor.methods:
        call = getattr(implementation, method.name, None)
        if call is not None:
            methods[method.name] = grpc.unary_unary_rpc_method_handler(
                _guarded(method.name, call),
                request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                response_serializer=message_factory.GetMessageClass(method.output_type).SerializeToString,
            )
    return grpc.method_handlers_generic_handler(descriptor.full_name, methods)


def _guarded(name: str, call: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """Wrap a call: log how long it took, and answer exceptions with their gRPC code."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        started = time.monotonic()
        subject = next((v for k in _SUBJECTS if (v := getattr(request, k, ""))), "")
        try:
            response = call(request)
        except CsiError as error:
            log.warning("%s %s: %s: %s", name, subject, error.code.name, error)
            _abort(context, error.code, str(error))
        except Exception as error:
            log.exception("%s %s failed", name, subject)
            _abort(context, grpc.StatusCode.INTERNAL, str(error))
        if not name.startswith(_QUIET):
            log.info("%s %s: %.0f ms", name, subject, (time.monotonic() - started) * 1000)
        return response

    return answer


_SUBJECTS = ("volume_id", "snapshot_id", "name")


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError("abort() raises")
