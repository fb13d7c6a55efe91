"""Aurora's instance classes, as CPU and memory.

Sizes: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.DBInstanceClass.Summary.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class InstanceClass:
    """What an instance of the class gets: request and limit alike."""

    name: str
    cpu: int
    memory_gib: int


_VCPUS: Final = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
    "32xlarge": 128,
    "48xlarge": 192,
}
_MEMORY_OPTIMISED: Final = {
    # family: (GiB of memory a vCPU, its sizes)
    "r5": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "r6g": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "r6i": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"),
    "r7g": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "r7i": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "r8g": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "x2g": (16, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
}
_BURSTABLE: Final = (
    InstanceClass("db.t3.medium", 2, 4),
    InstanceClass("db.t3.large", 2, 8),
    InstanceClass("db.t4g.medium", 2, 4),
    InstanceClass("db.t4g.large", 2, 8),
)

CLASSES: Final[dict[str, InstanceClass]] = {
    **{c.name: c for c in _BURSTABLE},
    **{
        f"db.{family}.{size}": InstanceClass(f"db.{family}.{size}", _VCPUS[size], _VCPUS[size] * gib)
        for family, (gib, sizes) in _MEMORY_OPTIMISED.items()
        for size in sizes.split()
    },
}
"""By name, as Aurora's users write it: `db.r6g.large`."""

SERVERLESS: Final = "db.serverless"
"""Not a size: the instance scales within `serverlessV2ScalingConfiguration`."""
