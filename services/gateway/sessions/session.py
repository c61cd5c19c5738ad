"""The one session object that every protocol translates to.

Everything here runs on one event loop; the log's threads reach it through ``call_soon_threadsafe`` alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from math import inf
from typing import Protocol

from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.sessions import trail
from services.gateway.sessions.admission import Admission
from services.gateway.sessions.assembly import Assembly
from services.gateway.sessions.channel import RETRY_S, Channel
from services.gateway.sessions.outbox import Outbox
from services.gateway.sessions.shared_reading import CLOCKS_DIFFER_S, SharedReading
from services.gateway.sessions.spans import SessionSpan
from services.gateway.sessions.updates import Closed, Failed, Final, Interim, Numbered, Update
from services.gateway.settings import GatewaySettings
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import (
    EndReason,
    Event,
    FinalizeRequested,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    SessionResumed,
)
from voxrelay.telemetry import AUDIO_SECONDS, FINAL_SECONDS, FIRST_RESULT_SECONDS, SPEECH_END_SECONDS

MIN_CHUNK_S = 0.02
MIN_FILE_CHUNK_S = 0.8  # a decoder's frames are so short that every stage would have many times the events
MAX_CHUNK_S = 1.0
AHEAD_S = 2.0  # audio a live client may be ahead of real time
MOST_FILE_RESULTS = 1_000_000
TOLD_KEPT = 64  # numbered updates kept at least, and for TOLD_KEPT_S, in case the client has to be told again
TOLD_KEPT_S = 120.0


class Home(Protocol):
    """What a session needs of the hub it lives in."""

    settings: GatewaySettings
    clock: Callable[[], float]
    gate: Gate
    admission: Admission
    told_files: dict[str, float]  # by stage, when it last told any file's session anything

    def drop(self, session_id: str) -> None:
        """It has left."""
        ...

    def end_unvisited(self, session: LiveSession) -> None:
        """Its client did not come back: the session ends on the log; what was said is finished and kept."""
        ...


class Visitor(Protocol):
    """A connection that a resumable session has at present."""

    async def give_way(self) -> None:
        """Another connection takes the session over: stop reading and writing, and return when that is done."""
        ...


class LiveSession:
    """One call. A protocol sends audio and control in, and reads ``updates`` out, at the same time."""

    def __init__(self, hub: Home, channel: Channel, edge: str, caller: Caller, *, is_patient: bool = False) -> None:
        self._hub, self._channel, self.edge, self.caller, self._is_patient = hub, channel, edge, caller, is_patient
        self.id = channel.session_id
        self.config = SessionConfig()
        self._assembly: Assembly | None = None  # until the session has begun
        # A file's results are taken as they come, and all at once at its end; their number is bounded by its length.
        self._outbox = Outbox(hub.settings.max_unsent_messages if channel.lane == "live" else MOST_FILE_RESULTS)
        self._audio_seconds_heard = AUDIO_SECONDS.labels(edge)
        self._held = bytearray()
        self._set_sizes(self.config)
        self._frames_sent = 0
        self._finalizes = 0
        self._opened_at = self._begun_at = hub.clock()
        self._closing_since: float | None = None
        self._has_result = self._is_answered = False
        self._catching_up: list[Event] | None = None  # results that come in while the log is read for earlier ones
        self._visitor: Visitor | None = None
        self._parked_since: float | None = None
        self._has_left = False
        self._client_has = 0
        self._told: deque[tuple[float, Numbered]] = deque()
        self.span: SessionSpan | None = None

    @property
    def opened_at(self) -> float:
        """Seconds since the epoch."""
        return self._opened_at

    @property
    def frames_received(self) -> int:
        """Frames of the session's own rate that are on the log or on their way there."""
        return self._frames_sent

    @property
    def traceparent(self) -> str:
        return self._channel.traceparent

    @property
    def audio_seconds(self) -> float:
        return self._frames_sent / self.config.sample_rate_hz

    @property
    def is_live(self) -> bool:
        """Not a file in the bulk lane."""
        return self._channel.lane == "live"

    @property
    def is_closing(self) -> bool:
        return self._closing_since is not None

    @property
    def has_begun(self) -> bool:
        return self._assembly is not None

    async def begin(self, config: SessionConfig) -> None:
        """Publish the opening. Once, before any audio: what the audio is must be known by then. Raises ``Refused`` for what the plan has not."""
        config = self.config = self._owned(config)
        self._set_sizes(config)
        self._begun_at = self._hub.clock()
        self._assembly = Assembly(config, self._hub.settings.join_wait_s, is_patient=self._is_patient)
        await self._channel.send(SessionOpened(config, self._opened_at))

    def _set_sizes(self, config: SessionConfig) -> None:
        """Rate and channels do not change any more once audio comes."""
        self._frame_bytes = 2 * config.channels
        least_s = MIN_CHUNK_S if self._channel.lane == "live" else MIN_FILE_CHUNK_S
        self._least_bytes, self._most_bytes = (int(length_s * config.sample_rate_hz) * self._frame_bytes for length_s in (least_s, MAX_CHUNK_S))

    def _owned(self, config: SessionConfig) -> SessionConfig:
        plan = self.caller.plan
        if plan.vocabulary_terms and len(config.custom_vocabulary) > plan.vocabulary_terms:
            raise Refused("QUOTA_EXCEEDED", f"The plan '{plan.name}' has {plan.vocabulary_terms} vocabulary terms a session.")
        if plan.models and config.model and config.model not in plan.models:
            raise Refused("FORBIDDEN", f"The plan '{plan.name}' has the models {', '.join(plan.models)}.")
        return replace(config, owner=self.caller.owner)

    @property
    def has_room(self) -> bool:
        """Whether ``take_audio`` may be called: it has begun and is not closing, and the log keeps pace."""
        return self._assembly is not None and self._closing_since is None and self._channel.has_room and len(self._held) < self._most_bytes

    def take_audio(self, pcm_s16le: bytes) -> None:
        """As ``send_audio`` where there is room, without waiting."""
        is_a_chunk = self._least_bytes <= len(pcm_s16le) <= self._most_bytes and not len(pcm_s16le) % self._frame_bytes
        if self._held or not is_a_chunk or not self._put(pcm_s16le):
            self._held += pcm_s16le
            if len(self._held) < self._least_bytes:
                return
            self._publish()
        self._hub.gate.hear(self.id, self.audio_seconds)

    async def send_audio(self, pcm_s16le: bytes) -> None:
        """Interleaved samples at the session's rate and channels, any length; an unfinished frame waits for the rest.

        Raises ``Refused`` QUOTA_EXCEEDED when the caller's minutes are used up by this.
        """
        self._held += pcm_s16le
        if len(self._held) >= self._least_bytes:
            await self._flush()
            self._hub.gate.hear(self.id, self.audio_seconds)

    async def _flush(self) -> None:
        while not self._publish():
            await asyncio.sleep(RETRY_S)

    def _publish(self) -> bool:
        """What is held, but for an unfinished frame. False when the log does not take all of it at the moment: the rest stays held."""
        while size := min(self._most_bytes, len(self._held) // self._frame_bytes * self._frame_bytes):
            if not self._put(bytes(self._held[:size])):
                return False
            del self._held[:size]
        return True

    def _put(self, whole_frames: bytes) -> bool:
        if not self._channel.put_audio(self._frames_sent, whole_frames):
            return False
        frames = len(whole_frames) // self._frame_bytes
        self._frames_sent += frames
        self._audio_seconds_heard.inc(frames / self.config.sample_rate_hz)
        return True

    async def finalize(self) -> int:
        """What was said so far becomes final; ``Finalized`` with the returned ordinal follows."""
        await self._flush()
        self._finalizes += 1
        await self._channel.send(FinalizeRequested(self._finalizes))
        return self._finalizes

    async def configure(self, config: SessionConfig) -> None:
        """In force for the audio after it. Rate, channels and stages stay as they were opened. Raises ``Refused`` for what the plan has not."""
        config = self._owned(config)
        await self._flush()
        self.config = config
        await self._channel.send(SessionConfigured(config))

    async def close(self, reason: EndReason = "closed") -> None:
        """No more audio comes. What was said so far is still finished, and ``Closed`` is the last update."""
        if self._closing_since is None:
            self._closing_since = self._hub.clock()
            if self._assembly is None:
                self._outbox.put(Closed(0.0, 1))
                return
            await self._flush()
            await self._channel.send(SessionEnded(reason, self.audio_seconds))

    async def updates(self) -> AsyncIterator[Update]:
        """Ends after ``Closed`` or ``Failed``."""
        while (update := await self._outbox.get()) is not None:
            if isinstance(update, Numbered) and self._visitor is not None:
                self._remember(update)
                if update.sequence <= self._client_has and not isinstance(update, Closed):
                    continue  # told by another process, which did not wait as long for it
            yield update
            if isinstance(update, Closed | Failed):
                return

    # --- a client that comes back ---

    async def welcome(self, visitor: Visitor, last_sequence: int = 0) -> None:
        """This connection has the session now; what follows ``last_sequence`` is told again. One that had it before gives way.

        Raises ``Refused`` NOT_RESUMABLE when the session is over, or the updates after ``last_sequence`` are not at hand any more.
        """
        if self._visitor is not None:
            await self._free()
            if self._has_left:
                raise Refused("NOT_RESUMABLE", "This session has ended; its results are kept under its id.")
            oldest = self._told[0][1].sequence if self._told else 1
            if last_sequence < oldest - 1:
                raise Refused("NOT_RESUMABLE", f"Only messages from {oldest} on can be told again; the session's results are kept under its id.")
            self._held.clear()  # what was not sent yet, the client sends again
            missed = [update for _, update in self._told if update.sequence > last_sequence]
            for _ in missed:
                self._told.pop()
            self._outbox.put_back(missed)
            self._client_has = last_sequence
        self._visitor, self._parked_since = visitor, None

    async def _free(self) -> None:
        """Nobody has the session after this, and it waits for whoever takes it. Of several that want it at once, each gives way to the next."""
        while (before := self._visitor) is not None and before is not _NOBODY:
            await before.give_way()
            if self._visitor is before:
                self._visitor = _NOBODY
                self.park()

    def park(self) -> None:
        """The connection broke: the session waits for its client, and ends when that does not come back in time."""
        self._parked_since = self._hub.clock()

    @property
    def is_parked(self) -> bool:
        return self._parked_since is not None

    def _remember(self, update: Numbered) -> None:
        now = self._hub.clock()
        self._told.append((now, update))
        while len(self._told) > TOLD_KEPT and now - self._told[0][0] > TOLD_KEPT_S:
            self._told.popleft()

    async def was_replaced(self, reading: SharedReading, partition: int) -> bool:
        """Whether another process has spoken for this session since this one last did: its client has been there in the meantime."""
        tail = trail.AudioTrail(reading, self.id, partition)
        try:
            await tail.read_from(self._channel.last_sent_at)
        except Unavailable as error:
            raise Refused("NOT_READY", "The log does not give the session's records at the moment; try again.") from error
        return tail.last_sequence > self._channel.last_sequence

    async def make_way(self) -> None:
        """Leave without ending the session, which is another process's."""
        if self._visitor is not None:
            await self._visitor.give_way()
        self.leave()

    async def follow(self, reading: SharedReading, partition: int, opened_at: float, is_read: Callable[[], bool]) -> None:
        """Become the session that another process had, from what the log knows. Raises ``Refused`` NOT_RESUMABLE, ``Unavailable``.

        ``opened_at`` is by the other's clock. Where it cannot be so by this one, the two are apart: the log is searched from where both
        would have it, and the session's lifetime begins anew.
        """
        now, settings = self._hub.clock(), self._hub.settings
        earliest = now - settings.session_lifetime_s - settings.resume_s
        is_of_the_future = opened_at > now + CLOCKS_DIFFER_S
        since = earliest if is_of_the_future else opened_at
        self._opened_at = self._begun_at = now if is_of_the_future or opened_at < earliest else opened_at
        self._catching_up, self._is_answered = [], True
        while not is_read():
            await asyncio.sleep(RETRY_S)
        audio = trail.AudioTrail(reading, self.id, partition)
        earlier, _ = await asyncio.gather(trail.results(reading, self.id, partition, since), self._hear(audio, since))
        config = trail.config_of(earlier)
        if config is None:
            raise Refused("NOT_RESUMABLE", "The log holds no opening of this session any more; open a new one.")
        self.config, self._finalizes = config, trail.finalizes_of(earlier)
        self._set_sizes(config)
        self._assembly = Assembly(config, self._hub.settings.join_wait_s)
        await self._take_voice(audio)
        self._frames_sent = audio.frames(config.channels)
        if audio.ended is not None:
            if audio.ended != "closed":
                raise Refused("NOT_RESUMABLE", "This session has ended; its results are kept under its id.")
            self._closing_since = self._hub.clock()
        late, self._catching_up = self._catching_up, None
        for event in (*earlier, *late):
            for update in self._assembly.push(event, self._hub.clock()):
                if isinstance(update, Numbered):
                    self._told.append((self._hub.clock(), update))
        self._visitor = _NOBODY
        self.park()

    async def _hear(self, audio: trail.AudioTrail, since: float) -> None:
        """The end of the session's audio, as far as the log has it now."""
        settings = self._hub.settings
        await audio.read_from(max(since, self._hub.clock() - settings.idle_s - settings.resume_s))
        if not audio.last_sequence:
            await audio.read_from(since)

    async def _take_voice(self, audio: trail.AudioTrail) -> None:
        """From the fence on only this process is heard for the session; ``audio`` then knows exactly what was heard before."""
        if audio.ended is None:
            self._channel.go_on_after(audio.last_sequence)
            await self._channel.send(SessionResumed(audio.resumptions + 1))
            await self._channel.settle()
            await audio.read_on()

    def fail(self, code: str, message: str) -> None:
        """End the updates with this error."""
        self._outbox.put(Failed(code, message))

    def leave(self) -> None:
        """Nobody reads the updates any more."""
        self._has_left = True
        if self._visitor is not None:
            self._visitor = _NOBODY  # the two lead to each other, and would wait for the collector of cycles
        self._outbox.end()
        self._hub.drop(self.id)

    # --- the hub's side ---

    def push(self, event: Event) -> None:
        if self._catching_up is not None:
            self._catching_up.append(event)
            return
        if self._assembly is None:
            return
        if self.span is not None:
            self.span.received(event)
        now = self._hub.clock()
        if self._closing_since is not None:
            self._closing_since = now
        self._is_answered = True
        if self._channel.lane == "bulk":
            self._hub.told_files[event.producer] = now
        if event.received_at and self._keeps_real_time(now):
            self._hub.admission.came(event.producer, now - event.received_at, now, event.busy)
        for update in self._assembly.push(event, now):
            self._measure(update, event, now)
            self._outbox.put(update)

    def tick(self, now: float) -> None:
        if self._parked_since is not None and (self._outbox.is_overrun or now - self._parked_since > self._hub.settings.resume_s):
            self._hub.end_unvisited(self)
            return
        if self._assembly is None or self._catching_up is not None:
            return
        if not self._assembly.is_idle:
            for update in self._assembly.due(now):
                self._outbox.put(update)
        if self._channel.failure is not None:
            self._outbox.put(Failed("LOG_UNAVAILABLE", "The event log does not take audio; open a new session in a moment."))
        elif self._closing_since is not None and now - self._closing_since > self._hub.settings.stage_timeout_s and not self._is_queued(now):
            missing = ", ".join(self._assembly.missing) or "the results"
            self._outbox.put(Failed("STAGE_TIMEOUT", f"No answer from {missing}; what it finishes later is kept under the session's id."))

    def _is_queued(self, now: float) -> bool:
        """Whether this is a file, and all it waits for is at work on other files: its turn comes."""
        if self._assembly is None or self._channel.lane == "live" or now - self._begun_at > self._hub.settings.session_lifetime_s:
            return False
        missing, told = self._assembly.missing, self._hub.told_files
        return bool(missing) and all(now - told.get(stage, -inf) <= self._hub.settings.stage_timeout_s for stage in missing)

    def waits_s(self, now: float) -> float:
        """How long something of this session has been due: the echo of its opening, or the words of an utterance that is over."""
        if self._assembly is None or self._catching_up is not None:
            return 0.0
        wait_s = self._assembly.waits_s(now) if self._is_answered else now - self._begun_at
        return wait_s if wait_s and self._keeps_real_time(now) else 0.0

    def _keeps_real_time(self, now: float) -> bool:
        """A file that is sent as fast as it reads, or work in the bulk lane, says nothing of the pace of live sessions."""
        return self._channel.lane == "live" and self.audio_seconds <= now - self._begun_at + AHEAD_S

    def _measure(self, update: Update, event: Event, now: float) -> None:
        if not self._has_result and isinstance(update, Interim | Final):
            self._has_result = True
            FIRST_RESULT_SECONDS.labels(self.edge).observe(now - self._opened_at)
        if isinstance(update, Final) and event.received_at:
            FINAL_SECONDS.labels(self.edge).observe(max(0.0, now - event.received_at))
            if self._closing_since is None and self._keeps_real_time(now):  # then what came in since the end of speech is how long it is ago
                SPEECH_END_SECONDS.labels(self.edge).observe(max(0.0, self.audio_seconds - update.utterance.end_s))


class _Nobody:
    async def give_way(self) -> None:
        """Nobody has to go."""


_NOBODY = _Nobody()
