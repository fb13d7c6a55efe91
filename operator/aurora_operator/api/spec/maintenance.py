"""When what nobody asked for may interrupt a cluster: `spec.preferredMaintenanceWindow`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field

from aurora_operator.api.base.rules import Rule

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_MOMENT: Final = f"(?i:{'|'.join(_DAYS)}):{_HOUR}"
_WINDOW: Final = re.compile(f"{_MOMENT}-{_MOMENT}", re.ASCII)
_WEEK: Final = 7 * 24 * 60
LEAST_MINUTES: Final = 30
"""Aurora's least."""


def parse_maintenance_window(text: str) -> tuple[int, int]:
    """`ddd:hh24:mi-ddd:hh24:mi` as minutes of the week, from Monday's midnight in UTC. Raises ValueError."""
    if _WINDOW.fullmatch(text) is None:
        raise ValueError(f"not a maintenance window: {text!r}")
    first, _, last = text.lower().partition("-")
    return _minute(first), _minute(last)


def _minute(moment: str) -> int:
    day, hour, minute = moment.split(":")
    return (_DAYS.index(day) * 24 + int(hour)) * 60 + int(minute)


def in_maintenance_window(text: str | None, now: datetime) -> bool:
    """Whether `now` is in the window; always, where there is none. Raises ValueError."""
    if text is None:
        return True
    first, last = parse_maintenance_window(text)
    here = now.astimezone(UTC)
    minute = (here.weekday() * 24 + here.hour) * 60 + here.minute
    return (minute - first) % _WEEK < (last - first) % _WEEK


def _long_enough(text: str) -> bool:
    if _WINDOW.fullmatch(text) is None:
        return True
    first, last = parse_maintenance_window(text)
    return (last - first) % _WEEK >= LEAST_MINUTES


def _minute_in_cel(start: int) -> str:
    """Cheap enough for the API server's budget: a list of the days is not."""
    day = f"'{''.join(_DAYS)}'.indexOf(self.substring({start}, {start + 3}).lowerAscii()) / 3"
    hour, minute = f"int(self.substring({start + 4}, {start + 6}))", f"int(self.substring({start + 7}, {start + 9}))"
    return f"(({day} * 24 + {hour}) * 60 + {minute})"


_FORM_IN_CEL: Final = f"self.matches('^(?i)({'|'.join(_DAYS)}):{_HOUR}-({'|'.join(_DAYS)}):{_HOUR}$')"

MaintenanceWindow = Annotated[
    str,
    Field(max_length=19),
    Rule(
        cel=_FORM_IN_CEL,
        message="preferredMaintenanceWindow must be ddd:hh24:mi-ddd:hh24:mi in UTC, such as sun:03:00-sun:04:00.",
        check=lambda text: _WINDOW.fullmatch(text) is not None,
    ),
    Rule(
        cel=f"!{_FORM_IN_CEL} || ({_minute_in_cel(10)} - {_minute_in_cel(0)} + {_WEEK}) % {_WEEK} >= {LEAST_MINUTES}",
        message=f"preferredMaintenanceWindow must be at least {LEAST_MINUTES} minutes long.",
        check=_long_enough,
    ),
]
