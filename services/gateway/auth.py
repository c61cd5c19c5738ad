"""Who may come in: API keys, stored as SHA-256, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac

from voxrelay.errors import Refused


class Keys:
    """Without any configured key everybody is let in; the gateway then listens on loopback only."""

    def __init__(self, sha256_hex: tuple[str, ...]) -> None:
        self._hashes = [bytes.fromhex(text) for text in sha256_hex]

    @property
    def are_needed(self) -> bool:
        return bool(self._hashes)

    def check(self, authorization: str | None, api_key: str | None) -> str:
        """The key's id (the first digits of its hash), empty where none is needed. ``Authorization: Bearer|Token KEY`` or ``api_key``.

        Raises ``Refused`` UNAUTHORIZED.
        """
        if not self._hashes:
            return ""
        scheme, _, value = (authorization or "").partition(" ")
        key = value.strip() if scheme.lower() in ("bearer", "token") and value else api_key
        digest = hashlib.sha256((key or "").encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._hashes]  # all of them, always
        if not any(matches):
            raise Refused("UNAUTHORIZED", "This key is not known here; send 'Authorization: Token KEY' or the query parameter api_key.")
        return digest.hex()[:12]
