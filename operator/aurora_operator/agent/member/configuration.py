"""This copy's configuration: computed from its resources and the user's parameters, checked, written, reloaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aurora_operator.agent.member.instance import Instance, Size
from aurora_operator.agent.ports import Ports
from aurora_operator.api.base import names
from aurora_operator.api.base.password import PasswordRefused, parse_password
from aurora_operator.api.spec.capacity import ACU_BYTES
from aurora_operator.postgres import disk
from aurora_operator.postgres.config import conf, configure, parameters
from aurora_operator.postgres.config.parameter_check import check_parameters
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.server.control import read_control

log = logging.getLogger(__name__)


class Configuration:
    """Writes the files. Nothing that PostgreSQL refuses gets into them: the last good parameters stay."""

    def __init__(self, copy: Instance, ports: Ports) -> None:
        self._copy = copy
        self._ports = ports
        self._minimums: Mapping[str, int] = {}

    async def prepare_start(self, source: conf.Source | None, closed: str) -> None:
        """Before each start: everything fresh; the server comes up as a standby that follows `source` or nobody,
        and tells its clients the sentence `closed`."""
        copy = self._copy
        control = await read_control(copy.tools, copy.layout.pgdata)
        copy.system_identifier = control.system_identifier
        self._minimums = control.standby_minimums
        copy.door.prepare_start(closed)
        if copy.door.preload is None:
            log.warning("%s is not there: clients of a closed copy hear of pg_hba.conf (28000)", copy.door.library)
        await self.take_parameters()
        configure.set_standby(copy.layout, True)
        configure.write_runtime(copy.layout, conf.Runtime(source=source), copy=copy.id)
        configure.write_archive(copy.layout, None)
        copy.pending_restart = ()

    async def take_parameters(self) -> None:
        """Take the settings' parameters if PostgreSQL takes them, else keep the last good ones and say why."""
        copy = self._copy
        wanted = dict(copy.settings.parameters)
        good = copy.store.parameters()
        if wanted != good:
            errors = await self.check(wanted)
            copy.parameters_error = "; ".join(errors.values()) or None
            if errors:
                log.warning("parameters refused, the old ones stay: %s", copy.parameters_error)
            else:
                await asyncio.to_thread(copy.store.save_parameters, wanted)
                good = wanted
        else:
            copy.parameters_error = None
        copy.applied_parameters = good
        copy.raised_parameters = parameters.raised(good, self._minimums)
        changed = await asyncio.to_thread(
            configure.write_base,
            copy.layout,
            parameters.preload(self._choices(good), copy.door.preload),
            cluster_name=f"{copy.settings.cluster}: {copy.environment.instance}",
            os_users=self._ports.os_users,
            listen=self._ports.listen or "*",
        )
        if changed and copy.server.alive:
            copy.server.reload()

    async def check(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Errors by parameter, as PostgreSQL sees them; changes nothing."""
        copy = self._copy
        return await check_parameters(
            copy.tools,
            self._choices(dict(wanted)),
            wanted,
            pgdata=copy.layout.pgdata if copy.layout.initialised() else None,
            memory=self._size().memory_bytes,
        )

    def _size(self) -> Size:
        environment = self._copy.environment
        return self._copy.size or Size(environment.cpu_millis, environment.memory_bytes)

    def _choices(
        self, user: Mapping[str, str], minimums: Mapping[str, int] | None = None
    ) -> tuple[parameters.Choice, ...]:
        copy = self._copy
        memory = [m.memory_bytes for m in copy.settings.members if m.kind == "instance" and m.memory_bytes]
        size, member = self._size(), copy.settings.member(copy.environment.instance)
        capacity = member.capacity if member is not None else None
        sizes = parameters.Sizes(
            cpu_millis=size.cpu_millis,
            memory=size.memory_bytes,
            smallest_memory=min(memory, default=size.memory_bytes),
            least_memory=int(capacity.least * ACU_BYTES) if capacity is not None else None,
            volume=disk.usage(copy.layout.data).size,
            archive=copy.settings.backup is not None,
        )
        return parameters.merge(parameters.compute(sizes), user, minimums or self._minimums)

    def choices(self, minimums: Mapping[str, int]) -> tuple[parameters.Choice, ...]:
        """Parameters for data that came from elsewhere and demand these minimums; none of the user's."""
        return self._choices({}, minimums)

    async def keep_access(self) -> None:
        """On the writer: give the other copies, and proxies, what they lack. Raises PostgresError."""
        from aurora_operator.postgres.sql.access import ensure_access  # Later than all else: see `session.load`.
        from aurora_operator.postgres.sql.proxy_access import ensure_proxy_access

        for sentence in await ensure_access(self._copy.session):
            log.warning("the other copies could not follow, and can again: %s", sentence)
        for sentence in await ensure_proxy_access(self._copy.session, wanted=self._copy.settings.proxy):
            log.info("%s", sentence)

    async def ensure_roles(self) -> None:
        """Create what a client needs to connect: our roles, the master user with the Secret's password, its database.

        What cannot be a password changes none that is in force. Raises PostgresError."""
        from aurora_operator.postgres.sql.roles import ensure_roles  # Later than all else: see `session.load`.

        copy = self._copy
        secret, password = names.app_secret(copy.settings.cluster), None
        try:
            password = parse_password((copy.environment.app / "password").read_bytes())
        except OSError as error:
            raise PostgresError(f"the Secret {secret} cannot be read: {error}") from error
        except PasswordRefused as error:
            log.warning("the password in the Secret %s cannot be used: %s", secret, error)
        await ensure_roles(
            copy.session,
            master=copy.settings.master_username,
            password=password,
            database=copy.settings.database_name,
        )
