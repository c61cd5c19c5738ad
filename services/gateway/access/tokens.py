"""Tokens: signed, short-lived, without rights of their own. They name a key, and what that key may do is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    secret_id = next(iter(secrets))
    payload = {"sub": claims.owner, "exp": int(claims.ends_at)} | ({"user": claims.user} if claims.user else {})
    return jwt.encode(payload, secrets[secret_id], algorithm=ALGORITHM, headers={"kid": secret_id})


def read(token: str, secrets: Mapping[str, str]) -> Claims | None:
    """What it says, or None where it is not ours, was changed, or has ended."""
    try:
        secret = secrets[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
        return Claims(str(claims["sub"]), str(claims.get("user", "")), float(claims["exp"]))
    except (jwt.InvalidTokenError, KeyError, TypeError):
        return None
