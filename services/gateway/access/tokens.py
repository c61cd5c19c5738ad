"""Tokens: signed, short-lived, without rights of their own. They name a key, and what that key may do is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Claims:
    """``owner`` is the key's id, ``user`` who logged in (empty for a grant of a key itself), ``ends_at`` seconds since the epoch."""

    owner: str
    user: str
    ends_at: float


def looks_like_token(credential: str) -> bool:
    """Three parts with dots between; keys have none."""
    return credential.count(".") == 2


def sign(claims: Claims, secrets: Mapping[str, str]) -> str:
    """With the first of the secrets, whose id goes into the header."""
    return _encode({"sub": claims.owner, "exp": int(claims.ends_at)} | ({"user": claims.user} if claims.user else {}), secrets)


def read(token: str, secrets: Mapping[str, str]) -> Claims | None:
    """What it says, or None where it is not ours, was changed, has ended, or was sealed for a purpose."""
    claims = _decode(token, secrets, ("exp", "sub"))
    return Claims(str(claims["sub"]), str(claims.get("user", "")), float(claims["exp"])) if claims else None


def seal(purpose: str, claims: Mapping[str, Any], ends_at: float, secrets: Mapping[str, str]) -> str:
    """Claims that let nobody in."""
    return _encode({**claims, "aud": purpose, "exp": int(ends_at)}, secrets)


def unseal(purpose: str, sealed: str, secrets: Mapping[str, str]) -> dict[str, Any] | None:
    return _decode(sealed, secrets, ("exp", "aud"), purpose)


def secret_id_of(token: str) -> str:
    """Which secret it says it was signed with; empty for what is no token."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.InvalidTokenError:
        return ""


def _encode(payload: dict[str, Any], secrets: Mapping[str, str]) -> str:
    secret_id = next(iter(secrets))
    return jwt.encode(payload, secrets[secret_id], algorithm=ALGORITHM, headers={"kid": secret_id})


def _decode(token: str, secrets: Mapping[str, str], required: tuple[str, ...], audience: str | None = None) -> dict[str, Any] | None:
    try:
        secret = secrets[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, secret, algorithms=[ALGORITHM], audience=audience, options={"require": list(required)})
    except (jwt.InvalidTokenError, KeyError, TypeError):
        return None
