"""Whether an object that is there has all that we want of it.

Server-side apply would be harmless to repeat, but not free: a plan names only what differs. Fields that others added
(defaults of the API server, what an admission controller injected, status) are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aurora_operator.api.base.quantity import is_quantity, parse_quantity
from aurora_operator.planning.model.plan_model import FIELD_MANAGER, Raw

_ATOMIC: Final = frozenset(
    {
        "rules",
        "subjects",
        "endpoints",
        "ingress",
        "egress",
        "from",
        "to",
        "tolerations",
        "selector",
        "matchLabels",
        "nodeSelector",
    }
)
"""Fields that a single owner holds as a whole: there, more than we want is wrong too."""
_CLOSED: Final = frozenset({"ingress", "egress", "from", "to"})
"""Of these, lists in which a further key of an item says another thing: a rule without `from` is about everybody."""


def covers(there: Any, wanted: Any, field: str = "") -> bool:
    """Whether `there` holds `wanted`: equal but for additions by others, and for how quantities are written."""
    if there == wanted:  # nearly all of an object: what differs is asked about only where it is
        return True
    if isinstance(wanted, str):
        return str(there) == wanted or (isinstance(there, (str, int)) and _same_quantity(str(there), wanted))
    if isinstance(wanted, (dict, Mapping)):
        if not isinstance(there, (dict, Mapping)):
            return not wanted and there is None
        if field in _ATOMIC and not there.keys() <= wanted.keys():
            return False
        return all(covers(there.get(key), value, key) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return _covers_list(there or [], wanted, field)
    return bool(str(there) == wanted)


def _same_quantity(there: str, wanted: str) -> bool:
    return is_quantity(wanted) and is_quantity(there) and parse_quantity(wanted) == parse_quantity(there)


def _covers_list(there: Any, wanted: Any, field: str) -> bool:
    if not isinstance(there, (list, tuple)):
        return False
    if not all(isinstance(item, (dict, Mapping)) for item in wanted):
        return list(there) == list(wanted)
    if field in _ATOMIC and len(there) != len(wanted):
        return False
    closed = field in _CLOSED
    return all(
        any(covers(candidate, item) and not (closed and candidate.keys() - item) for candidate in there)
        for item in wanted
    )


def matches(there: Raw | None, wanted: Raw) -> bool:
    """Whether the object `wanted` need not be applied."""
    if there is None:
        return False
    metadata = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
    return covers(there, {**wanted, "metadata": metadata}) and not _leftovers(there, wanted)


def _leftovers(there: Raw, wanted: Raw) -> bool:
    """Whether a label or an annotation is there that we set and no longer want: others' additions look the same.

    What we applied last is told by the API server to the field. Of an object that was only created, that counts.
    """
    entries = [e for e in there["metadata"].get("managedFields") or () if e.get("manager") == FIELD_MANAGER]
    applied = [e for e in entries if e.get("operation") == "Apply"]
    for entry in applied or [e for e in entries if not e.get("subresource")]:
        marks = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
        for what in ("labels", "annotations"):
            ours = {key.removeprefix("f:") for key in marks.get(f"f:{what}") or {} if key != "."}
            if not ours <= (wanted["metadata"].get(what) or {}).keys():
                return True
    return False
