"""The one place that decides who comes in: every protocol asks it first, every session takes a place in it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from services.gateway.access import tokens
from services.gateway.access.caller import ANYBODY, Caller
from services.gateway.access.credentials import presented
from services.gateway.access.recent import Recent
from services.gateway.access.tokens import Claims
from voxrelay.clock import steady_time
from voxrelay.errors import Refused, Unavailable
from voxrelay.storage.access import AccessStore, Key, User
from voxrelay.storage.limits import MINUTE_S, PLACE_S
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

THREADS = 4
RENEW_EVERY_S = PLACE_S / 3
TIDY_EVERY = 6  # renewals
OUTAGE_PAUSE_S = 1.0  # after the database failed nobody waits for it for so long
MOST_CREDENTIAL_CHARACTERS = 4096
LOGIN_TOKEN_S = 3600
LOOK_AGAIN_S = 0.5  # forged tokens cost the database at most a query each so often
LOGINS_PER_MINUTE = 10  # for one user name
LOGINS_PER_ADDRESS = 30
MOST_WAITING_LOGINS = 16

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Place:
    """What a session has used, and how much audio it may have."""

    caller: Caller
    most_s: float
    audio_seconds: float = 0.0


class Gate:
    """Used on the event loop. Without any key everybody is let in; the gateway then listens on loopback only.

    Keys are looked up in the store and remembered for some seconds. Where it does not answer, nobody is let in (NOT_READY). Without a
    store there are no keys.
    """

    def __init__(
        self,
        store: AccessStore | None = None,
        *,
        are_keys_always_needed: bool = False,
        clock: Callable[[], float] = steady_time,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Dates that others read, too (of keys, tokens, minutes of quota), go by ``wall``, what is remembered here and for how long by ``clock``."""
        self._store, self._are_keys_always_needed, self._clock, self._wall = store, are_keys_always_needed, clock, wall
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="access")
        self._login_thread = ThreadPoolExecutor(1, thread_name_prefix="login")  # scrypt is meant to be slow: never in front of a key
        self._waiting_logins = 0
        self._gateway = secrets.token_hex(8)
        self._has_keys: Recent[tuple[bool]] = Recent(clock)
        self._keys: Recent[tuple[Key | None]] = Recent(clock)
        self._users: Recent[tuple[User | None]] = Recent(clock)
        self._signing: Recent[dict[str, str]] = Recent(clock)
        self._known_secrets: dict[str, str] = {}
        self._local_secret = {"local": secrets.token_urlsafe(32)}
        self._spent: dict[str, int] = {}  # the minute in which a subject had all its requests
        self._places: dict[str, _Place] = {}
        self._renewing = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by key
        self._outage_until = self._look_again_at = 0.0
        self.are_keys_needed = are_keys_always_needed  # as it was seen last

    # --- who comes in --------------------------------------------------------------------------------------------------------

    async def admit(self, connection: HTTPConnection) -> Caller:
        """Who this request or WebSocket comes from; it counts as one request. Raises ``Refused`` UNAUTHORIZED, RATE_LIMITED, NOT_READY."""
        return await self.admit_credential(presented(connection))

    async def admit_credential(self, credential: str) -> Caller:
        """The same for a key or token that the protocol itself found."""
        if not await self.look_whether_keys_are_needed():
            return ANYBODY
        if not credential or len(credential) > MOST_CREDENTIAL_CHARACTERS:
            raise Refused("UNAUTHORIZED", "A key is needed here; send 'Authorization: Token KEY' or the query parameter api_key.")
        caller = await (self._caller_of_token(credential) if tokens.looks_like_token(credential) else self._caller_of_key(credential))
        await self._count_request(caller.owner, caller.plan.requests_per_minute, "This key has had its {limit} requests of this minute")
        return caller

    async def look_whether_keys_are_needed(self) -> bool:
        """Whether anybody must show a key. Raises ``Refused`` NOT_READY."""
        if self._store is not None and not self._are_keys_always_needed:
            store = self._store
            (self.are_keys_needed,) = await self._has_keys.get("", lambda: self._ask(lambda: (store.has_keys(),)))
        return self.are_keys_needed

    async def _caller_of_key(self, credential: str) -> Caller:
        store = self._needed_store()
        digest = hashlib.sha256(credential.encode(errors="surrogatepass")).digest()
        (key,) = await self._keys.get(digest, lambda: self._ask(lambda: (store.key_of(credential),)))
        if key is None:
            raise Refused("UNAUTHORIZED", "This key is not known here; send 'Authorization: Token KEY' or the query parameter api_key.")
        return self._caller(key)

    async def _caller_of_token(self, token: str) -> Caller:
        store = self._needed_store()
        claims = tokens.read(token, await self._secrets_of(token))
        if claims is None or claims.ends_at <= self._wall():
            raise Refused("UNAUTHORIZED", "This token is not ours or has expired; ask for a new one.")
        (key,) = await self._keys.get(claims.owner, lambda: self._ask(lambda: (store.key(claims.owner),)))
        if claims.user:
            (user,) = await self._users.get(claims.user, lambda: self._ask(lambda: (store.user(claims.user),)))
            if user is None or user.key_id != claims.owner:
                raise Refused("UNAUTHORIZED", "The user of this token is no more; log in again.")
        if key is None:
            raise Refused("UNAUTHORIZED", "The key behind this token is no more; ask for a new one.")
        return self._caller(key, claims)

    def _caller(self, key: Key, claims: Claims | None = None) -> Caller:
        state = key.state(self._wall())
        if state != "usable":
            raise Refused("UNAUTHORIZED", f"This key is {state}; ask for a new one.")
        try:
            plan = key.allowed
        except KeyError:
            raise Refused("FORBIDDEN", f"This version does not know the plan '{key.plan}' of this key.") from None
        return Caller(key.key_id, plan, key.is_admin, claims.user if claims else "", claims.ends_at if claims else 0.0)

    async def _count_request(self, subject: str, limit: int, sentence: str) -> None:
        """Raises ``Refused`` RATE_LIMITED with the seconds until the next minute."""
        if not limit:
            return
        store, now = self._needed_store(), self._wall()
        minute = int(now // MINUTE_S)
        if self._spent.get(subject) != minute:
            if await self._ask(lambda: store.limits.count_request(subject)) <= limit:
                return
            if len(self._spent) >= THREADS * 1000:
                self._spent.clear()
            self._spent[subject] = minute
        wait_s = max(1, math.ceil((minute + 1) * MINUTE_S - now))
        raise Refused("RATE_LIMITED", f"{sentence.format(limit=limit)}; go on in {wait_s} s.", retry_after_s=wait_s)

    # --- tokens --------------------------------------------------------------------------------------------------------------

    async def grant(self, caller: Caller, ttl_s: int) -> str:
        """A token that lets its bearer in as this caller for ``ttl_s`` seconds: what a browser gets instead of a key.

        One made with a token ends with that token at the latest. Raises ``Refused`` NOT_READY.
        """
        ends_at = self._wall() + ttl_s
        if caller.token_ends_at:
            ends_at = min(ends_at, caller.token_ends_at)
        return tokens.sign(Claims(caller.owner, caller.user, ends_at), await self._signing_secrets())

    async def log_in(self, name: str, password: str, address: str) -> tuple[str, int]:
        """A token for a user, and for how many seconds it is good. Raises ``Refused`` UNAUTHORIZED, RATE_LIMITED, NOT_READY."""
        wrong = Refused("UNAUTHORIZED", "The user name or the password is wrong.")
        store = self._store
        if store is None:
            raise wrong
        await self._count_request(f"login from {_short_hash(address)}", LOGINS_PER_ADDRESS, "At most {limit} attempts to log in a minute")
        await self._count_request(f"login of {_short_hash(name)}", LOGINS_PER_MINUTE, "At most {limit} attempts to log in a minute")
        if self._waiting_logins >= MOST_WAITING_LOGINS:
            raise Refused("RATE_LIMITED", "Too many log in at this moment; try again in 2 s.", retry_after_s=2)
        self._waiting_logins += 1
        try:
            user = await self._ask(lambda: store.log_in(name, password), self._login_thread)
            key = await self._ask(lambda: store.key(user.key_id)) if user is not None else None
        finally:
            self._waiting_logins -= 1
        if user is None or key is None:
            raise wrong
        caller = self._caller(key, Claims(key.key_id, user.name, 0.0))
        return await self.grant(caller, LOGIN_TOKEN_S), LOGIN_TOKEN_S

    async def seal(self, purpose: str, claims: Mapping[str, Any], ttl_s: float) -> str:
        """Claims that come back unforged and not too late. Raises ``Refused`` NOT_READY."""
        return tokens.seal(purpose, claims, self._wall() + ttl_s, await self._signing_secrets())

    async def unseal(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """The claims sealed for this purpose; None for what is not ours or too old. Raises ``Refused`` NOT_READY."""
        return tokens.unseal(purpose, sealed, await self._secrets_of(sealed))

    async def _secrets_of(self, token: str) -> dict[str, str]:
        """The secrets, looked up again where this token was signed with one that was not known a moment ago."""
        known = await self._signing_secrets()
        if tokens.secret_id_of(token) not in known and self._clock() >= self._look_again_at:
            self._look_again_at = self._clock() + LOOK_AGAIN_S
            self._signing.forget("")
            known = await self._signing_secrets()
        return known

    async def _signing_secrets(self) -> dict[str, str]:
        store = self._store
        if store is None:
            return self._local_secret
        try:
            self._known_secrets = await self._signing.get("", lambda: self._ask(store.signing_secrets))
        except Refused:
            if not self._known_secrets:
                raise  # what was known lately will do for a session that goes on; whoever comes in is looked up all the same
        return self._known_secrets

    # --- places --------------------------------------------------------------------------------------------------------------

    async def take_place(self, caller: Caller, session_id: str) -> None:
        """A session of this caller begins. Raises ``Refused`` SESSION_LIMIT, QUOTA_EXCEEDED, NOT_READY."""
        plan = caller.plan
        if not caller.owner or not (plan.concurrent_sessions or plan.minutes_per_month):
            return
        limits = self._needed_store().limits
        async with self._turns[caller.owner]:  # behind the sessions of this key that are leaving: who ends one may begin the next at once
            most_s = await self._ask(lambda: limits.take_place(caller.owner, plan, session_id, self._gateway))
        self._places[session_id] = _Place(caller, most_s)

    def hear(self, session_id: str, audio_seconds: float) -> None:
        """The session has had so much audio. Raises ``Refused`` QUOTA_EXCEEDED when that is more than its plan had left at its beginning."""
        place = self._places.get(session_id)
        if place is None:
            return
        place.audio_seconds = audio_seconds
        if audio_seconds > place.most_s:
            raise Refused("QUOTA_EXCEEDED", "The minutes of this month are used up; what was said so far is kept. A larger plan has more.")

    async def leave_place(self, caller: Caller, session_id: str, audio_seconds: float = 0.0) -> None:
        """It has ended, after so much audio: the last of it was published without being heard here."""
        place, store = self._places.pop(session_id, None), self._store
        if place is None or store is None:
            return
        async with self._turns[caller.owner], self._renewing:  # a renewal on its way would take the place again
            try:
                await self._ask(lambda: store.limits.leave_place(session_id, self._gateway, max(place.audio_seconds, audio_seconds)))
            except Refused:
                log.warning("A place could not be given back; it lapses by itself.", extra=fields(session=session_id, owner=caller.owner))

    async def keep_places(self) -> None:
        """Renews the places of the sessions that live, until it is cancelled."""
        beats = 0
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            beats += 1
            try:
                await self.look_whether_keys_are_needed()
                await self.renew_places()
                if self._store is not None and self.are_keys_needed and beats % TIDY_EVERY == 0:
                    await self._ask(self._store.limits.tidy)
            except Refused:
                log.warning("Places could not be renewed; the database does not answer.")

    async def renew_places(self) -> None:
        """Once, at once. Raises ``Refused`` NOT_READY."""
        async with self._renewing:
            heard, store = {session_id: place.audio_seconds for session_id, place in self._places.items()}, self._store
            if heard and store is not None:
                await self._ask(lambda: store.limits.renew_places(self._gateway, heard))

    async def close(self) -> None:
        """Gives all places back; nothing is asked after this."""
        for session_id, place in list(self._places.items()):
            await self.leave_place(place.caller, session_id)
        self._threads.shutdown()
        self._login_thread.shutdown()
        if self._store is not None:
            self._store.close()

    # --- the database ----------------------------------------------------------------------------------------------------------

    def _needed_store(self) -> AccessStore:
        if self._store is None:
            raise Refused("NOT_READY", "Keys cannot be checked here: there is no database.")
        return self._store

    async def _ask(self, question: Callable[[], Answer], threads: ThreadPoolExecutor | None = None) -> Answer:
        unavailable = Refused("NOT_READY", "Keys cannot be checked at the moment, as the database does not answer; try again in a moment.")
        if self._clock() < self._outage_until:
            raise unavailable
        try:
            return await asyncio.get_running_loop().run_in_executor(threads or self._threads, question)
        except Unavailable as error:
            self._outage_until = self._clock() + OUTAGE_PAUSE_S
            log.warning("The database of the keys does not answer.", extra=fields(reason=str(error)))
            raise unavailable from error


def _short_hash(text: str) -> str:
    """Names and addresses are not kept as they are, and are bounded."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
