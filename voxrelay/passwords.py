"""Passwords as scrypt hashes of the standard library (RFC 7914), with their cost beside them so that it may grow."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

COST, BLOCK, PARALLEL = 2**14, 8, 5  # 16 MB and about 0.2 s
MEMORY_BYTES = 64 * 1024 * 1024


def hashed(password: str) -> str:
    """``scrypt$cost$block$parallel$salt$hash``, the last two in base64; another salt each time."""
    salt = os.urandom(16)
    parts = (base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt, COST, BLOCK, PARALLEL)))
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), *parts))


def matches(password: str, stored: str) -> bool:
    """Whether ``stored`` is of this password; takes as long for a wrong one. An empty ``stored`` matches nothing and takes as long, too."""
    _, cost, block, parallel, salt, digest = (stored or NOBODY).split("$")
    found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, base64.b64decode(digest)) and bool(stored)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=MEMORY_BYTES, dklen=32)


NOBODY = "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(32)).decode()))
