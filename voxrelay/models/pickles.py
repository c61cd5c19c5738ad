"""Tells files that hold Python pickles, by their content: loading one runs whatever it names, so models that do are refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOOKED_AT_BYTES = 1 << 20
MOST_MEMBERS = 100_000
_CALLS = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}
_COMPRESSED: tuple[tuple[bytes, Callable[[], Any]], ...] = (  # how joblib and others write pickles
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lzma.LZMADecompressor),
    (b"\x78", zlib.decompressobj),
)
_BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def holds_pickle(path: Path) -> bool:
    """Whether the file is a pickle, in any protocol and bare or compressed, or an archive or array file with one inside (torch, NumPy)."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT_BYTES)
    if _is_pickle(head) or _is_object_array(head) or any(_is_pickle(inside) for inside in _decompressed(head)):
        return True
    return zipfile.is_zipfile(path) and _archive_holds_pickle(path)


def _is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5 begin with their number. Older ones are told by following their instructions, without running any, up to a call."""
    if len(head) > 1 and head[0] == 0x80:
        return head[1] <= 5
    stack: list[bool] = []  # whether it is a mark
    try:
        for operation, _, _ in pickletools.genops(head):
            needed = operation.stack_before
            if pickletools.markobject in needed:
                while not stack.pop():
                    pass
                needed = needed[: needed.index(pickletools.markobject)]
            if len(needed) > len(stack):
                return False  # unpickling would stop here: words that look like instructions
            if operation.name in _CALLS:
                return True
            del stack[len(stack) - len(needed) :]
            stack += [item is pickletools.markobject for item in operation.stack_after]
    except Exception:  # anything at all may come of bytes that are no pickle
        return False
    return False


def _is_object_array(head: bytes) -> bool:
    """A NumPy file of Python objects, which NumPy unpickles."""
    return head.startswith(b"\x93NUMPY") and b"O'" in head[:1000].partition(b"}")[0]


def _decompressed(head: bytes) -> list[bytes]:
    found = []
    for magic, make in _COMPRESSED:
        if head.startswith(magic):
            try:
                found.append(bytes(make().decompress(head, LOOKED_AT_BYTES)))
            except _BROKEN:
                continue
    return found


def _archive_holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                return True  # nothing that may be looked through in good time
            for member in members:
                with archive.open(member) as file:
                    head = file.read(4096)
                if member.filename.endswith(".pkl") or _is_pickle(head) or _is_object_array(head):
                    return True
    except (*_BROKEN, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return False  # no archive after all, or one that torch and NumPy cannot read either
    return False
