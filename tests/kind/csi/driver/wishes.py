"""What callers wish for in numbers: sizes within bounds, pages of a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from .errors import aborted, invalid, out_of_range

# Bytes. mkfs.xfs refuses less than 300 MB.
SMALLEST = 300 * 1024**2
_BLOCK = 4096


class CapacityRange(Protocol):
    """CSI's wish for a size, in bytes; 0 means none was given."""

    required_bytes: int
    limit_bytes: int


def choose_size(wish: CapacityRange, floor: int, ceiling: int) -> int:
    """Return the bytes to give a volume that must have at least ``floor`` and cannot have over ``ceiling``.

    Raises CsiError: INVALID_ARGUMENT for a range that is none, OUT_OF_RANGE if no size satisfies it.
    """
    required, limit = wish.required_bytes, wish.limit_bytes
    if required < 0 or limit < 0 or (limit and limit < required):
        raise invalid(f"no size is at least {required} and at most {limit} bytes")
    size = -(-max(required, floor) // _BLOCK) * _BLOCK
    if limit and size > limit:
        raise out_of_range(f"the smallest size possible here is {size} bytes, over the limit of {limit}")
    if size > ceiling:
        raise out_of_range(f"{size} bytes are more than a whole node's pool, {ceiling}")
    return size


def fits(size: int, wish: CapacityRange) -> bool:
    """Whether an existing volume of ``size`` bytes is what is wished for."""
    return size >= wish.required_bytes and not (wish.limit_bytes and size > wish.limit_bytes)


T = TypeVar("T")


def page(items: Sequence[T], token: str, most: int) -> tuple[Sequence[T], str]:
    """Return the page of ``items`` that starts at ``token`` and the next page's token, empty at the end.

    Raises CsiError: ABORTED for a token that was never given out, INVALID_ARGUMENT for a negative ``most``.
    """
    if most < 0:
        raise invalid("max_entries is negative")
    if token and not (token.isdecimal() and int(token) <= len(items)):
        raise aborted(f"not a token of a current listing: {token!r}")
    start = int(token or 0)
    end = min(len(items), start + most) if most else len(items)
    return items[start:end], str(end) if end < len(items) else ""
