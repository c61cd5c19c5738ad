"""The one place that decides who comes in: every protocol asks it first, every session takes a place in it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt
from starlette.requests import HTTPConnection

from services.gateway.access.caller import ANYBODY, Caller, Plan
from services.gateway.access.credentials import presented
from voxrelay.errors import Refused

ENTERPRISE = Plan("enterprise")
ALGORITHM = "HS256"


class Gate:
    """Used on the event loop. Without any key everybody is let in; the gateway then listens on loopback only."""

    def __init__(self, sha256_hex: tuple[str, ...] = ()) -> None:
        self._secret = secrets.token_bytes(32)
        self._hashes = [bytes.fromhex(text) for text in sha256_hex]

    def _caller_of_token(self, token: str) -> Caller:
        try:
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
        except jwt.InvalidTokenError:
            raise Refused("UNAUTHORIZED", "This token is not ours or has expired; ask for a new one.") from None
        return Caller(claims["sub"], ENTERPRISE)

    @property
    def are_keys_needed(self) -> bool:
        return bool(self._hashes)

    async def admit(self, connection: HTTPConnection) -> Caller:
        """Who this request or WebSocket comes from; it counts as one request. Raises ``Refused`` UNAUTHORIZED, RATE_LIMITED."""
        return await self.admit_credential(presented(connection))

    async def admit_credential(self, credential: str) -> Caller:
        """The same for a key or token that the protocol itself found. Constant time in the number of digits that match."""
        if not self._hashes:
            return ANYBODY
        if credential.count(".") == 2:
            return self._caller_of_token(credential)
        digest = hashlib.sha256(credential.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._hashes]  # all of them, always
        if not any(matches):
            raise Refused("UNAUTHORIZED", "This key is not known here; send 'Authorization: Token KEY' or the query parameter api_key.")
        return Caller(digest.hex()[:12], ENTERPRISE)

    async def grant(self, caller: Caller, ttl_s: int) -> str:
        """A token that lets its bearer in as this caller for ``ttl_s`` seconds: what a browser gets instead of a key."""
        return jwt.encode({"sub": caller.owner, "exp": int(time.time()) + ttl_s}, self._secret, algorithm=ALGORITHM)

    async def seal(self, purpose: str, claims: Mapping[str, Any], ttl_s: float) -> str:
        """Claims that come back unforged and not too late."""
        return jwt.encode({**claims, "aud": purpose, "exp": int(time.time() + ttl_s)}, self._secret, algorithm=ALGORITHM)

    async def unseal(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """The claims sealed for this purpose; None for what is not ours or too old."""
        try:
            return jwt.decode(sealed, self._secret, algorithms=[ALGORITHM], audience=purpose, options={"require": ["exp", "aud"]})
        except jwt.InvalidTokenError:
            return None

    async def take_place(self, caller: Caller, session_id: str) -> None:
        """A session of this caller begins. Raises ``Refused`` SESSION_LIMIT, QUOTA_EXCEEDED."""

    async def leave_place(self, caller: Caller, session_id: str) -> None:
        """It has ended."""
