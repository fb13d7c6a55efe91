"""How busy a copy is: what scaling decides on, and what the agent's metrics show."""

from __future__ import annotations

from pydantic import Field

from aurora_operator.api.base.base import WireModel


class Load(WireModel):
    """Of one container, sampled every second. `_10s` and `_60s` are exponential averages over about that long."""

    seconds: float = Field(
        default=0, ge=0, description="How long the averages have been made; younger than 60 they lean on few samples."
    )
    cpu_millis: float = Field(default=0, ge=0, description="CPU used, in thousandths of a core.")
    cpu_millis_10s: float = Field(default=0, ge=0)
    cpu_millis_60s: float = Field(default=0, ge=0)
    cpu_limit_millis: int = Field(default=0, ge=0, description="The CPU limit in force; without one, the request.")
    cpu_throttled: float = Field(
        default=0, ge=0, le=1, description="Share of the scheduling periods in which the limit held the container back."
    )
    cpu_pressure: float | None = Field(
        default=None, description="Percent of the last 10 s in which something waited for CPU; None on cgroup v1."
    )
    memory_bytes: int = Field(default=0, ge=0, description="Charged to the container, page cache included.")
    memory_limit_bytes: int = Field(default=0, ge=0, description="The memory limit in force; 0 without one.")
    memory_working_set_bytes: int = Field(
        default=0, ge=0, description="Without the page cache that has not been used lately, as the kubelet counts."
    )
    memory_anonymous_bytes: int = Field(default=0, ge=0, description="Of processes; cannot be dropped.")
    memory_shared_bytes: int = Field(default=0, ge=0, description="Shared memory, shared_buffers above all.")
    memory_refaults: float = Field(
        default=0, ge=0, description="Pages a second that were read again soon after they had been dropped."
    )
    memory_refaults_10s: float = Field(default=0, ge=0)
    memory_pressure: float | None = Field(
        default=None, description="Percent of the last 10 s in which something waited for memory; None on cgroup v1."
    )
    cache_reads: float = Field(
        default=0, ge=0, description="Blocks of 8 KiB a second that PostgreSQL read from the page cache or the volume."
    )
    cache_reads_60s: float = Field(default=0, ge=0)
    connections: int | None = Field(
        default=None, ge=0, description="Sessions of clients, our own apart; None while PostgreSQL cannot be asked."
    )
    connections_60s: float = Field(default=0, ge=0)
    active: int = Field(default=0, ge=0, description="Sessions that execute a statement.")
    running: int = Field(default=0, ge=0, description="Of these, the ones that wait for nothing: CPU's run queue.")
    running_10s: float = Field(default=0, ge=0)
    max_connections: int = Field(default=0, ge=0)

    @property
    def cpu_utilization_60s(self) -> float | None:
        """Percent of the limit, as Aurora's CPUUtilization; None without a limit or request."""
        return 100 * self.cpu_millis_60s / self.cpu_limit_millis if self.cpu_limit_millis else None
