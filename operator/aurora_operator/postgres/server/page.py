"""The checksum of a data page, as PostgreSQL computes it ("Data Checksums"; FNV-1a in 32 lanes). Pure."""

from __future__ import annotations

import struct
from typing import Final

PAGE_BYTES: Final = 8192
SEGMENT_PAGES: Final = (1 << 30) // PAGE_BYTES
"""Pages of one file of a relation."""

_PRIME: Final = 16777619
_MASK: Final = 0xFFFFFFFF
_OFFSETS: Final = (
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
)  # fmt: skip
"""Where each lane begins: part of the format."""
_CHECKSUM_AT: Final = 8
_UPPER_AT: Final = 14


def checksum(page: bytes, number: int) -> int:
    """Of a page of `PAGE_BYTES`, which is the relation's page `number`."""
    words = struct.unpack("<2048I", page[:_CHECKSUM_AT] + b"\0\0" + page[_CHECKSUM_AT + 2 :])
    result = 0
    for lane, value in enumerate(_OFFSETS):
        for word in (*words[lane :: len(_OFFSETS)], 0, 0):
            mixed = value ^ word
            value = ((mixed * _PRIME) & _MASK) ^ (mixed >> 17)
        result ^= value
    return (result ^ number) % 65535 + 1


def is_intact(page: bytes, number: int) -> bool:
    """Whether a page is what was written: its checksum is right, or it was never used and is all zeros."""
    if len(page) != PAGE_BYTES:
        return True  # Beyond the end of the file: nothing was written there.
    (stored,) = struct.unpack_from("<H", page, _CHECKSUM_AT)
    (upper,) = struct.unpack_from("<H", page, _UPPER_AT)
    if upper == 0:
        return not any(page)
    return bool(stored == checksum(page, number))
