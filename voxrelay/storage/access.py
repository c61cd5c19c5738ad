"""Keys, users and signing secrets, in the platform's own database. Written by the command line and read by the gateways.

Thread-safe. Every call raises ``Unavailable`` when the database does not answer. Times are seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Executable, RowMapping, or_, select
from sqlalchemy.exc import IntegrityError

from voxrelay import passwords
from voxrelay.plans import PLANS, Plan
from voxrelay.storage import database
from voxrelay.storage.database import answering
from voxrelay.storage.limits import Limits

PREFIX = "vr_"
SECRET_BYTES = 32
FIRST_ID = "first"  # of a secret: whoever makes it first has made it for all

_keys, _secrets, _users, _signing = database.api_keys, database.key_secrets, database.users, database.signing_secrets


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; the key itself is not kept. None for a limit means the plan's own."""

    key_id: str
    name: str
    plan: str
    created_at: float
    is_admin: bool = False
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    concurrent_sessions: int | None = None
    expires_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> str:
        """usable, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "usable"

    @property
    def allowed(self) -> Plan:
        """The plan with this key's own numbers in it. Raises ``KeyError`` for a plan that this version does not know."""
        plan = PLANS[self.plan]
        return replace(
            plan,
            requests_per_minute=plan.requests_per_minute if self.requests_per_minute is None else self.requests_per_minute,
            concurrent_sessions=plan.concurrent_sessions if self.concurrent_sessions is None else self.concurrent_sessions,
            models=self.models or plan.models,
        )


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who logs in; what they do is done with the key, on its plan."""

    name: str
    key_id: str
    created_at: float


class AccessStore:
    """``clock`` gives the wall clock. ``limits`` counts what of the plans is used."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self._reader, self._writer, self._clock = database.connect(url, is_read_only=True), database.connect(url), clock
        self.limits = Limits(self._writer, clock)

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    # --- keys ------------------------------------------------------------------------------------------------------------

    def has_keys(self) -> bool:
        """Whether any key was ever created; one that was revoked counts, so that revoking the last one opens no door."""
        return bool(self._rows(select(_keys.c.key_id).limit(1)))

    def keys(self) -> list[Key]:
        """In the order they were created."""
        return [_key(row) for row in self._rows(select(_keys).order_by(_keys.c.created_at, _keys.c.key_id))]

    def key(self, key_id: str) -> Key | None:
        rows = self._rows(select(_keys).where(_keys.c.key_id == key_id))
        return _key(rows[0]) if rows else None

    def key_of(self, secret: str) -> Key | None:
        """Whose secret this is; it may be revoked or expired. Looked up by its hash, which is then compared in constant time."""
        digest = _sha256(secret)
        of_secret = select(_keys, _secrets.c.sha256, _secrets.c.expires_at.label("secret_ends_at")).join(_keys, _keys.c.key_id == _secrets.c.key_id)
        for row in self._rows(of_secret.where(_secrets.c.sha256 == digest)):
            if hmac.compare_digest(row["sha256"], digest) and (row["secret_ends_at"] is None or row["secret_ends_at"] > self._clock()):
                return _key(row)
        return None

    def create_key(
        self,
        name: str,
        plan: str,
        *,
        is_admin: bool = False,
        models: Sequence[str] = (),
        requests_per_minute: int | None = None,
        concurrent_sessions: int | None = None,
        expires_at: float | None = None,
        secret: str | None = None,
    ) -> tuple[Key, str]:
        """The key and its secret (a new one where none is given), which nobody can find out afterwards.

        Raises ``KeyError`` for a plan that there is not.
        """
        key = Key(
            key_id=f"key_{secrets.token_hex(6)}",
            name=name,
            plan=PLANS[plan].name,
            created_at=self._clock(),
            is_admin=is_admin,
            models=tuple(models),
            requests_per_minute=requests_per_minute,
            concurrent_sessions=concurrent_sessions,
            expires_at=expires_at,
        )
        secret = secret or _new_secret()
        row = {column.name: getattr(key, column.name) for column in _keys.columns} | {"models": list(key.models)}
        self._write(_keys.insert().values(row), _secrets.insert().values(sha256=_sha256(secret), key_id=key.key_id))
        return key, secret

    def revoke(self, key_id: str) -> bool:
        """From now on it opens nothing, nor do the tokens made with it; False when there is no such key."""
        revoked = _keys.update().where(_keys.c.key_id == key_id, _keys.c.revoked_at.is_(None)).values(revoked_at=self._clock())
        self._write(revoked)
        return self.key(key_id) is not None

    def rotate(self, key_id: str, overlap_s: float = 0.0) -> str | None:
        """A new secret for the same key; the old ones end after ``overlap_s``. None when there is no such key."""
        if self.key(key_id) is None:
            return None
        ends_at, secret = self._clock() + overlap_s, _new_secret()
        is_longer = or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > ends_at)
        self._write(
            _secrets.update().where(_secrets.c.key_id == key_id, is_longer).values(expires_at=ends_at),
            _secrets.insert().values(sha256=_sha256(secret), key_id=key_id),
        )
        return secret

    # --- users -----------------------------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """By name."""
        return [_user(row) for row in self._rows(select(_users).order_by(_users.c.name))]

    def user(self, name: str) -> User | None:
        rows = self._rows(select(_users).where(_users.c.name == name))
        return _user(rows[0]) if rows else None

    def create_user(self, name: str, password: str, key_id: str) -> bool:
        """False when there is somebody of this name."""
        row = {"name": name, "password": passwords.hashed(password), "key_id": key_id, "created_at": self._clock()}
        with suppress(IntegrityError):
            self._write(_users.insert().values(row))
            return True
        return False

    def remove_user(self, name: str) -> bool:
        """Their tokens end with them; False when there is nobody of this name."""
        is_there = self.user(name) is not None
        self._write(_users.delete().where(_users.c.name == name))
        return is_there

    def log_in(self, name: str, password: str) -> User | None:
        """The user, or None for a wrong name or password: both take as long."""
        rows = self._rows(select(_users).where(_users.c.name == name))
        return _user(rows[0]) if passwords.matches(password, rows[0]["password"] if rows else "") else None

    # --- what tokens are signed with ----------------------------------------------------------------------------------------

    def signing_secrets(self) -> dict[str, str]:
        """By id, the one to sign with first; all of them verify. The first call ever makes one, the same for all who call at once."""
        query = select(_signing).order_by(_signing.c.created_at.desc(), _signing.c.secret_id)
        found = self._rows(query)
        if not found:
            first = {"secret_id": FIRST_ID, "secret": secrets.token_urlsafe(SECRET_BYTES), "created_at": self._clock()}
            with answering(), self._writer.begin() as connection:
                database.upsert(connection, _signing, [first], updates=())
            found = self._rows(query)
        return {row["secret_id"]: row["secret"] for row in found}

    def rotate_signing(self, keep: int = 1) -> None:
        """A new secret to sign with; of the old ones the newest ``keep`` still verify, the tokens of the others end."""
        old = select(_signing.c.secret_id).order_by(_signing.c.created_at.desc(), _signing.c.secret_id).limit(keep)
        row = {"secret_id": secrets.token_hex(4), "secret": secrets.token_urlsafe(SECRET_BYTES), "created_at": self._clock()}
        with answering(), self._writer.begin() as connection:
            kept = [secret_id for (secret_id,) in connection.execute(old)]
            connection.execute(_signing.delete().where(_signing.c.secret_id.not_in(kept)))
            connection.execute(_signing.insert().values(row))

    # --- the database ----------------------------------------------------------------------------------------------------

    def _rows(self, query: Any) -> list[RowMapping]:
        with answering(), self._reader.connect() as connection:
            return list(connection.execute(query).mappings())

    def _write(self, *statements: Executable) -> None:
        with answering(), self._writer.begin() as connection:
            for statement in statements:
                connection.execute(statement)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _key(row: RowMapping) -> Key:
    values: Any = {column.name: row[column.name] for column in _keys.columns}
    return Key(**{**values, "models": tuple(values["models"]), "is_admin": bool(values["is_admin"])})


def _user(row: RowMapping) -> User:
    return User(row["name"], row["key_id"], row["created_at"])
