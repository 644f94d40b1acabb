"""Bytes of a file into text, a block at a time: decompressed, decoded, stopped where they grow out of proportion."""

from __future__ import annotations

import codecs
import sys
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from simfarm.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BLOCK", "Readable", "blocks", "compression_of", "decoded", "unpacked", "zstd"]

BLOCK = 1 << 20
"""Bytes read at a time."""

_FREE = 1 << 30
_EXPANSION = 500
"""A gigabyte may come out of anything; beyond it, rows shrink 10 to 100 times in practice and bombs 1,000 and more."""

_SLICE = 1 << 10
"""Compressed bytes given to a decompressor at a time: what comes out at once stays below 40 MB."""


class Readable(Protocol):
    """An open binary stream."""

    def read(self, size: int, /) -> bytes: ...


def blocks(stream: Readable, name: str) -> Iterator[bytes]:
    """The stream's bytes; raises `InputError` where it cannot be read."""
    try:
        while block := stream.read(BLOCK):
            yield block
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error


def compression_of(head: bytes) -> str:
    """The suffix of the compression that a file with these first bytes has, empty for none."""
    return ".gz" if head.startswith(b"\x1f\x8b") else ".zst" if head.startswith(b"\x28\xb5\x2f\xfd") else ""


def unpacked(packed: Iterator[bytes], name: str, compression: str) -> Iterator[bytes]:
    """The decompressed bytes, never an empty piece; raises `InputError` for a broken file and for a bomb."""
    if not compression:
        yield from packed
        return
    taken = given = 0
    member: Any = None
    broken = (zlib.error, ValueError) if compression == ".gz" else (zstd.ZstdError, ValueError)
    try:
        for block in packed:
            for start in range(0, len(block), _SLICE):
                data = block[start : start + _SLICE]
                taken += len(data)
                while data:
                    member = member or _decompressor(compression)
                    made = member.decompress(data)
                    data = member.unused_data if member.eof else b""
                    if member.eof:
                        member, data = None, data.lstrip(b"\0") if compression == ".gz" else data
                    given += len(made)
                    if given > max(_FREE, _EXPANSION * taken):
                        raise InputError(
                            f"{name}: grows to more than {_EXPANSION} times its size, as no file of rows does; where "
                            "it is one, decompress it first"
                        )
                    if made:
                        yield made
        if member is not None:
            raise ValueError("it ends too early")
    except broken as error:
        raise InputError(f"{name}: cannot be decompressed ({error}); is the download complete?") from error


def _decompressor(compression: str) -> Any:
    return zlib.decompressobj(31) if compression == ".gz" else zstd.ZstdDecompressor()


def decoded(data: Iterator[bytes], name: str) -> Iterator[str]:
    """The text, never an empty piece; raises `InputError` naming the byte that is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    read = 0
    for block in data:
        yield from filter(None, [_decode(decoder, block, read, name)])
        read += len(block)
    yield from filter(None, [_decode(decoder, b"", read, name, final=True)])


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, read: int, name: str, *, final: bool = False) -> str:
    waiting = len(decoder.getstate()[0])
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        byte = read - waiting + error.start
        raise InputError(f"{name}: not UTF-8 text (byte {byte}); save it as UTF-8") from error
