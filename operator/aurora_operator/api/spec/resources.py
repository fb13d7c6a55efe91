"""What an instance gets: CPU and memory, by Aurora's class or by Kubernetes' quantities."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base.base import Model
from aurora_operator.api.base.quantity import ComputeQuantity, is_quantity, to_bytes, to_millis
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.classes import CLASSES, SERVERLESS

LEAST_MEMORY: Final = "256Mi"

InstanceClassName = Annotated[
    str,
    Field(max_length=32),
    Rule(
        cel="self in [" + ", ".join(f"'{name}'" for name in (SERVERLESS, *CLASSES)) + "]",
        message="This instance class is not known: use one of Aurora's, such as db.t4g.medium, db.r6g.large or "
        "db.r8g.2xlarge, db.serverless for one that scales by itself, or set resources instead.",
        check=lambda name: name == SERVERLESS or name in CLASSES,
    ),
]
"""One of `api.spec.classes.CLASSES`, or `SERVERLESS`."""


class ComputeAmounts(Model):
    """Amounts of CPU and memory."""

    cpu: ComputeQuantity | None = Field(default=None, description="CPU, such as 500m or 2.")
    memory: ComputeQuantity | None = Field(default=None, description="Memory, such as 512Mi or 16Gi.")


def _at_most(field: str) -> str:
    request, limit = f"self.requests.{field}", f"self.limits.{field}"
    return (
        f"!has(self.requests) || !has(self.limits) || !has({request}) || !has({limit}) || "
        f"!isQuantity(string({request})) || !isQuantity(string({limit})) || "
        f"quantity(string({request})).compareTo(quantity(string({limit}))) <= 0"
    )


def _enough(part: str) -> str:
    memory = f"self.{part}.memory"
    return (
        f"!has(self.{part}) || !has({memory}) || !isQuantity(string({memory})) || "
        f"quantity(string({memory})).compareTo(quantity('{LEAST_MEMORY}')) >= 0"
    )


class Resources(RuledModel):
    """Requests and limits of an instance's container, as in a pod."""

    requests: ComputeAmounts | None = Field(default=None, description="What the node must have free for it.")
    limits: ComputeAmounts | None = Field(
        default=None, description="What it may use at most. PostgreSQL's memory is sized from limits.memory."
    )

    RULES: ClassVar = (
        Rule(
            field_path=".requests.cpu",
            cel=_at_most("cpu"),
            message="requests.cpu exceeds limits.cpu: raise the limit or lower the request.",
            check=lambda r: r.cpu_limit_millis is None or r.cpu_request_millis <= r.cpu_limit_millis,
        ),
        Rule(
            field_path=".requests.memory",
            cel=_at_most("memory"),
            message="requests.memory exceeds limits.memory: raise the limit or lower the request.",
            check=lambda r: r.memory_request_bytes <= r.memory_bytes,
        ),
        Rule(
            cel=f"({_enough('limits')}) && ({_enough('requests')})",
            message=f"An instance needs at least {LEAST_MEMORY} of memory: raise memory in requests and limits.",
            check=lambda r: min(r.memory_bytes, r.memory_request_bytes) >= to_bytes(LEAST_MEMORY),
        ),
    )

    @property
    def cpu_request_millis(self) -> int:
        """CPU asked for, in thousandths; the limit counts when there is no request, as in Kubernetes."""
        return to_millis(_first(self.requests, self.limits, "cpu") or DEFAULT_CPU_REQUEST)

    @property
    def cpu_limit_millis(self) -> int | None:
        """CPU allowed, in thousandths; None is without limit."""
        text = _first(self.limits, None, "cpu")
        return None if text is None else to_millis(text)

    @property
    def memory_request_bytes(self) -> int:
        """Memory asked for."""
        return to_bytes(_first(self.requests, self.limits, "memory") or DEFAULT_MEMORY)

    @property
    def memory_bytes(self) -> int:
        """Memory allowed; there always is a limit."""
        return to_bytes(_first(self.limits, self.requests, "memory") or DEFAULT_MEMORY)

    def to_kubernetes(self) -> dict[str, Any]:
        """The container's `resources`, complete: nothing is left to a LimitRange."""
        memory_limit = _first(self.limits, self.requests, "memory") or DEFAULT_MEMORY
        limits = {"cpu": _first(self.limits, None, "cpu"), "memory": memory_limit}
        requests = {
            "cpu": _first(self.requests, self.limits, "cpu") or DEFAULT_CPU_REQUEST,
            "memory": _first(self.requests, self.limits, "memory") or DEFAULT_MEMORY,
        }
        return {"requests": requests, "limits": {k: v for k, v in limits.items() if v is not None}}


def _first(preferred: ComputeAmounts | None, otherwise: ComputeAmounts | None, field: str) -> str | None:
    for amounts in (preferred, otherwise):
        value: str | None = None if amounts is None else getattr(amounts, field)
        if value is not None and is_quantity(value):
            return value
    return None


DEFAULT_CPU_REQUEST: Final = "250m"
DEFAULT_MEMORY: Final = "1Gi"
"""For clusters that say nothing: small enough for a laptop, memory guaranteed, CPU shared."""


def class_resources(name: str) -> Resources:
    """An Aurora class as requests and limits, which are equal. Raises KeyError for a class that is not known."""
    found = CLASSES[name]
    amounts = ComputeAmounts(cpu=str(found.cpu), memory=f"{found.memory_gib}Gi")
    return Resources(requests=amounts, limits=amounts)
