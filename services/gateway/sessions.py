"""The one session object that every protocol translates to, and the hub that holds them.

Everything here runs on one event loop; the log's threads reach it through ``call_soon_threadsafe`` alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from services.gateway import trail
from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.admission import Admission
from services.gateway.assembly import Assembly
from services.gateway.outbox import Outbox
from services.gateway.results import ResultReader
from services.gateway.settings import GatewaySettings
from services.gateway.updates import Closed, Failed, Final, Interim, Numbered, Update
from voxrelay import codec
from voxrelay.bus.api import Bus
from voxrelay.bus.partitioner import partition_of
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import (
    AudioReceived,
    EndReason,
    Event,
    FinalizeRequested,
    Lane,
    Payload,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    SessionResumed,
    SynthesisProduced,
    SynthesisRefused,
    SynthesisRequested,
)
from voxrelay.telemetry import AUDIO_SECONDS, FINAL_SECONDS, FIRST_RESULT_SECONDS, GATEWAY_SESSIONS, PUBLISH_SECONDS, RESUMED
from voxrelay.topology import AUDIO_RECEIVED, SYNTHESIS_REQUESTED, Topic

log = logging.getLogger(__name__)

MIN_CHUNK_S = 0.02
MAX_CHUNK_S = 1.0
TICK_S = 0.05
RETRY_S = 0.01
AHEAD_S = 2.0  # audio a live client may be ahead of real time
RESUME_WITHIN_S = 40.0
MOST_FILE_RESULTS = 1_000_000
PRODUCER = "gateway"
SEQUENCES_A_PROCESS = 1 << 32  # records one gateway process may send for a session before another takes it over
TOLD_KEPT = 64  # numbered updates kept at least, and for TOLD_KEPT_S, in case the client has to be told again
TOLD_KEPT_S = 120.0


def new_traceparent() -> str:
    """A fresh W3C trace: version, trace id, parent id, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class _Channel:
    """The way of one session onto the log: sequence, stamps, acknowledgements."""

    def __init__(self, hub: SessionHub, session_id: str, topic: Topic, lane: Lane, traceparent: str) -> None:
        self._hub, self.session_id, self._topic, self._name, self.traceparent = hub, session_id, topic, topic.name(lane), traceparent
        self.lane = lane
        self.last_sent_at = hub.clock()
        self._sequence = 0
        self._sent_bytes = 0  # written by the loop alone
        self._acknowledged_bytes = 0  # written by the producer's thread alone
        self.failure: Exception | None = None

    @property
    def unacknowledged_bytes(self) -> int:
        return self._sent_bytes - self._acknowledged_bytes

    @property
    def last_sequence(self) -> int:
        return self._sequence

    def go_on_after(self, last_sequence: int) -> None:
        """Whatever another process still sends for this session has a lower sequence than anything from here."""
        self._sequence = (last_sequence // SEQUENCES_A_PROCESS + 1) * SEQUENCES_A_PROCESS

    async def settle(self) -> None:
        """Wait until the log has everything that was sent. Raises ``Refused`` when it took it no more."""
        while self.unacknowledged_bytes and self.failure is None:
            await asyncio.sleep(RETRY_S)
        if self.failure is not None:
            raise Refused("LOG_UNAVAILABLE", "The event log does not take audio; open a new session in a moment.") from self.failure

    async def send(self, payload: Payload) -> None:
        """Waits while too much is on its way. Raises ``Refused`` when the log took it no more."""
        while self.unacknowledged_bytes > self._hub.settings.max_unacknowledged_bytes and self.failure is None:
            await asyncio.sleep(RETRY_S)
        now = self._hub.clock()
        sequence = self._sequence + 1
        event = Event(self.session_id, payload, PRODUCER, sequence, f"{self.session_id}/{PRODUCER}/{sequence}", now, now, self.traceparent)
        key, value, headers = codec.encode(event, self._topic.encoding)
        size = len(value)

        def delivered(error: Exception | None) -> None:
            self._acknowledged_bytes += size
            PUBLISH_SECONDS.observe(self._hub.clock() - now)
            if error is not None:
                self.failure = error

        while True:
            if self.failure is not None:
                raise Refused("LOG_UNAVAILABLE", "The event log does not take audio; open a new session in a moment.") from self.failure
            try:
                self._hub.producer.send(self._name, key, value, headers, on_delivered=delivered)
                break
            except Unavailable:
                await asyncio.sleep(RETRY_S)
        self._sequence, self.last_sent_at = sequence, now
        self._sent_bytes += size


class Visitor(Protocol):
    """A connection that a resumable session has at present."""

    async def give_way(self) -> None:
        """Another connection takes the session over: stop reading and writing, and return when that is done."""
        ...


class LiveSession:
    """One call. A protocol sends audio and control in, and reads ``updates`` out, at the same time."""

    def __init__(self, hub: SessionHub, channel: _Channel, edge: str, caller: Caller, *, is_patient: bool = False) -> None:
        self._hub, self._channel, self.edge, self.caller, self._is_patient = hub, channel, edge, caller, is_patient
        self.id = channel.session_id
        self.config = SessionConfig()
        self._assembly: Assembly | None = None  # until the session has begun
        # A file's results are taken as they come, and all at once at its end; their number is bounded by its length.
        self._outbox = Outbox(hub.settings.max_unsent_messages if channel.lane == "live" else MOST_FILE_RESULTS)
        self._held = bytearray()
        self._frames_sent = 0
        self._finalizes = 0
        self._opened_at = self._begun_at = hub.clock()
        self._closing_since: float | None = None
        self._has_result = self._is_answered = False
        self._catching_up: list[Event] | None = None  # results that come in while the log is read for earlier ones
        self._visitor: Visitor | None = None
        self._parked_since: float | None = None
        self._client_has = 0
        self._told: deque[tuple[float, Numbered]] = deque()

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
    def is_closing(self) -> bool:
        return self._closing_since is not None

    @property
    def has_begun(self) -> bool:
        return self._assembly is not None

    async def begin(self, config: SessionConfig) -> None:
        """Publish the opening. Once, before any audio: what the audio is must be known by then. Raises ``Refused`` for what the plan has not."""
        config = self.config = self._owned(config)
        self._begun_at = self._hub.clock()
        self._assembly = Assembly(config, self._hub.settings.join_wait_s, is_patient=self._is_patient)
        await self._channel.send(SessionOpened(config, self._opened_at))

    def _owned(self, config: SessionConfig) -> SessionConfig:
        plan = self.caller.plan
        if plan.vocabulary_terms and len(config.custom_vocabulary) > plan.vocabulary_terms:
            raise Refused("QUOTA_EXCEEDED", f"The plan '{plan.name}' has {plan.vocabulary_terms} vocabulary terms a session.")
        if plan.models and config.model and config.model not in plan.models:
            raise Refused("FORBIDDEN", f"The plan '{plan.name}' has the models {', '.join(plan.models)}.")
        return replace(config, owner=self.caller.owner)

    async def send_audio(self, pcm_s16le: bytes) -> None:
        """Interleaved samples at the session's rate and channels, any length; an unfinished frame waits for the rest.

        Raises ``Refused`` QUOTA_EXCEEDED when the caller's minutes are used up by this.
        """
        self._held += pcm_s16le
        frame_bytes = 2 * self.config.channels
        least = int(MIN_CHUNK_S * self.config.sample_rate_hz) * frame_bytes
        if len(self._held) >= least:
            await self._flush()
            self._hub.gate.hear(self.id, self.audio_seconds)

    async def _flush(self) -> None:
        frame_bytes = 2 * self.config.channels
        most = int(MAX_CHUNK_S * self.config.sample_rate_hz) * frame_bytes
        while len(self._held) >= frame_bytes:
            size = min(most, len(self._held) // frame_bytes * frame_bytes)
            chunk = bytes(self._held[:size])
            del self._held[:size]
            await self._channel.send(AudioReceived(self._frames_sent, chunk))
            self._frames_sent += size // frame_bytes
            AUDIO_SECONDS.labels(self.edge).inc(size / frame_bytes / self.config.sample_rate_hz)

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
                if update.sequence <= self._client_has and not isinstance(update, Closed):
                    continue  # told by another process, which did not wait as long for it
                self._remember(update)
            yield update
            if isinstance(update, Closed | Failed):
                return

    # --- a client that comes back ---

    async def welcome(self, visitor: Visitor, last_sequence: int = 0) -> None:
        """This connection has the session now; what follows ``last_sequence`` is told again. One that had it before gives way.

        Raises ``Refused`` NOT_RESUMABLE when the updates after ``last_sequence`` are not at hand any more.
        """
        if self._visitor is not None:
            await self._visitor.give_way()
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

    async def was_replaced(self, bus: Bus, partition: int) -> bool:
        """Whether another process has spoken for this session since this one last did: its client has been there in the meantime."""
        tail = trail.AudioTrail(bus, self.id, partition, self.config.channels)
        try:
            await asyncio.to_thread(tail.read_from, self._channel.last_sent_at)
        except Unavailable as error:
            raise Refused("NOT_READY", "The log does not give the session's records at the moment; try again.") from error
        finally:
            await asyncio.to_thread(tail.close)
        return tail.last_sequence > self._channel.last_sequence

    async def make_way(self) -> None:
        """Leave without ending the session, which is another process's."""
        if self._visitor is not None:
            await self._visitor.give_way()
        self.leave()

    async def follow(self, bus: Bus, partition: int, opened_at: float, is_read: Callable[[], bool]) -> None:
        """Become the session that another process had, from what the log knows. Raises ``Refused`` NOT_RESUMABLE, ``Unavailable``."""
        self._catching_up, self._opened_at, self._begun_at, self._is_answered = [], opened_at, opened_at, True
        while not is_read():
            await asyncio.sleep(RETRY_S)
        earlier = await asyncio.to_thread(trail.results, bus, self.id, partition, opened_at)
        config = trail.config_of(earlier)
        if config is None:
            raise Refused("NOT_RESUMABLE", "The log holds no opening of this session any more; open a new one.")
        self.config, self._finalizes = config, trail.finalizes_of(earlier)
        self._assembly = Assembly(config, self._hub.settings.join_wait_s)
        audio = trail.AudioTrail(bus, self.id, partition, config.channels)
        try:
            await self._take_voice(audio, opened_at)
        finally:
            await asyncio.to_thread(audio.close)
        self._frames_sent = audio.frames
        if audio.ended is not None:
            if audio.ended != "closed":
                raise Refused("NOT_RESUMABLE", "This session has ended; its results are kept under its id.")
            self._closing_since = self._hub.clock()
        late, self._catching_up = self._catching_up, None
        for event in (*earlier, *late):
            for update in self._assembly.push(event, self._hub.clock()):
                if isinstance(update, Numbered):
                    self._told.append((self._hub.clock(), update))
        self._visitor = _Nobody()

    async def _take_voice(self, audio: trail.AudioTrail, opened_at: float) -> None:
        """From the fence on only this process is heard for the session; ``audio`` then knows exactly what was heard before."""
        settings = self._hub.settings
        await asyncio.to_thread(audio.read_from, max(opened_at, self._hub.clock() - settings.idle_s - settings.resume_s))
        if not audio.last_sequence:
            await asyncio.to_thread(audio.read_from, opened_at)
        if audio.ended is None:
            self._channel.go_on_after(audio.last_sequence)
            await self._channel.send(SessionResumed(audio.resumptions + 1))
            await self._channel.settle()
            await asyncio.to_thread(audio.read_on)

    def fail(self, code: str, message: str) -> None:
        """End the updates with this error."""
        self._outbox.put(Failed(code, message))

    def leave(self) -> None:
        """Nobody reads the updates any more."""
        self._outbox.end()
        self._hub.drop(self.id)

    # --- the hub's side ---

    def push(self, event: Event) -> None:
        if self._catching_up is not None:
            self._catching_up.append(event)
            return
        if self._assembly is None:
            return
        now = self._hub.clock()
        if self._closing_since is not None:
            self._closing_since = now
        self._is_answered = True
        if event.received_at and self._keeps_real_time(now):
            self._hub.admission.came(event.producer, now - event.received_at, now)
        for update in self._assembly.push(event, now):
            self._measure(update, event, now)
            self._outbox.put(update)

    def tick(self, now: float) -> None:
        if self._parked_since is not None and (self._outbox.is_overrun or now - self._parked_since > self._hub.settings.resume_s):
            self._hub.end_unvisited(self)
            return
        if self._assembly is None or self._catching_up is not None:
            return
        for update in self._assembly.due(now):
            self._outbox.put(update)
        if self._channel.failure is not None:
            self._outbox.put(Failed("LOG_UNAVAILABLE", "The event log does not take audio; open a new session in a moment."))
        elif self._closing_since is not None and now - self._closing_since > self._hub.settings.stage_timeout_s:
            missing = ", ".join(self._assembly.missing) or "the results"
            self._outbox.put(Failed("STAGE_TIMEOUT", f"No answer from {missing}; what it finishes later is kept under the session's id."))

    def waits_s(self, now: float) -> float:
        """How long something of this session has been due: the echo of its opening, or the words of an utterance that is over."""
        if self._assembly is None or self._catching_up is not None or not self._keeps_real_time(now):
            return 0.0
        return self._assembly.waits_s(now) if self._is_answered else now - self._begun_at

    def _keeps_real_time(self, now: float) -> bool:
        """A file that is sent as fast as it reads, or work in the bulk lane, says nothing of the pace of live sessions."""
        return self._channel.lane == "live" and self.audio_seconds <= now - self._begun_at + AHEAD_S

    def _measure(self, update: Update, event: Event, now: float) -> None:
        if not self._has_result and isinstance(update, Interim | Final):
            self._has_result = True
            FIRST_RESULT_SECONDS.labels(self.edge).observe(now - self._opened_at)
        if isinstance(update, Final) and event.received_at:
            FINAL_SECONDS.labels(self.edge).observe(max(0.0, now - event.received_at))


class _Nobody:
    async def give_way(self) -> None:
        """Nobody has to go."""


class SpeechRequest:
    """One text on its way to speech; ``pieces`` gives the audio while it is made."""

    def __init__(self, hub: SessionHub, session_id: str, caller: Caller, *, has_place: bool) -> None:
        self._hub, self.id, self.caller, self.has_place = hub, session_id, caller, has_place
        self._pieces: asyncio.Queue[SynthesisProduced | SynthesisRefused | None] = asyncio.Queue()
        self._last = 0

    def push(self, event: Event) -> None:
        if isinstance(event.payload, SynthesisProduced | SynthesisRefused) and event.sequence > self._last:
            self._last = event.sequence
            self._pieces.put_nowait(event.payload)

    def tick(self, now: float) -> None:
        """Nothing falls due by itself."""

    async def pieces(self) -> AsyncIterator[SynthesisProduced]:
        """In order; ends after the last, or with ``leave``. Raises ``Refused`` when synth refuses or does not answer in time."""
        try:
            while True:
                try:
                    piece = await asyncio.wait_for(self._pieces.get(), self._hub.settings.stage_timeout_s)
                except TimeoutError:
                    raise Refused("STAGE_TIMEOUT", "No answer from synth; try again in a moment.") from None
                if piece is None:
                    return
                if isinstance(piece, SynthesisRefused):
                    raise Refused(piece.code, piece.message)
                yield piece
                if piece.is_last:
                    return
        finally:
            self._hub.drop(self.id)

    def leave(self) -> None:
        """Nobody wants the rest any more."""
        self._pieces.put_nowait(None)
        self._hub.drop(self.id)


class SessionHub:
    """Opens sessions, routes results to them, ticks them. One for the gateway; lives on the loop that calls ``start``."""

    def __init__(self, bus: Bus, settings: GatewaySettings, gate: Gate, clock: Callable[[], float] = time.time) -> None:
        self._bus, self.settings, self.gate, self.clock = bus, settings, gate, clock
        self.admission = Admission(settings.max_lag_s)
        self._taken_over: dict[str, asyncio.Future[LiveSession]] = {}  # while the log is read for them
        self._leaving: set[asyncio.Task[None]] = set()
        self.producer = bus.producer(linger_ms=settings.linger_ms)
        self._sessions: dict[str, LiveSession | SpeechRequest] = {}
        self._reader = ResultReader(bus, self._sessions.__contains__, self._partitions_in_use, self._deliver)
        self._partitions = 0
        self.is_draining = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader.start()
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """After this no session lives here; those still open are ended on the log first, unless their clients may go on elsewhere."""
        for session in list(self._sessions.values()):
            if isinstance(session, LiveSession) and not (session.is_parked and self._bus.outlives_process):
                await session.close("vanished")
        self._ticking.cancel()
        await asyncio.to_thread(self._reader.close)
        await asyncio.to_thread(self.producer.close)
        await asyncio.gather(*self._leaving)

    def check(self) -> None:
        """For /ready."""
        self._reader.check()
        if self.is_draining:
            raise Unavailable("The gateway is ending; it takes no new sessions.")

    @property
    def is_ready(self) -> bool:
        return bool(self._reader.ready and self._partitions)

    @property
    def failed(self) -> bool:
        return self._reader.failed.is_set()

    @property
    def open_sessions(self) -> int:
        return sum(isinstance(session, LiveSession) for session in self._sessions.values())

    async def open(self, edge: str, caller: Caller, lane: Lane = "live", traceparent: str = "", *, is_patient: bool | None = None) -> LiveSession:
        """A session that has an id and has not begun. ``is_patient``: finals are held until it is complete; a bulk session's are, if nothing is said.

        Raises ``Refused`` when the gateway is full, ending, late, or owns no partition yet, and when the caller's plan has no room.
        """
        if lane == "live":
            self.admission.check(self.clock())
        session_id = await self._admit(caller)
        channel = _Channel(self, session_id, AUDIO_RECEIVED, lane, traceparent or new_traceparent())
        session = self._sessions[session_id] = LiveSession(
            self, channel, edge, caller, is_patient=lane == "bulk" if is_patient is None else is_patient
        )
        GATEWAY_SESSIONS.labels(edge).inc()
        return session

    async def resume(self, edge: str, caller: Caller, session_id: str, opened_at: float) -> LiveSession:
        """The session of this id, which this process or another one had; ``welcome`` comes next.

        Raises ``Refused`` NOT_RESUMABLE when it has ended or the log knows nothing of it, and as ``open`` does.
        """
        if session_id in self._taken_over:  # a client that came back again while the log was read for it
            return await asyncio.shield(self._taken_over[session_id])
        taking = self._taken_over[session_id] = asyncio.ensure_future(self._take_over(edge, caller, session_id, opened_at))
        taking.add_done_callback(lambda done: (self._taken_over.pop(session_id), done.cancelled() or done.exception()))
        return await asyncio.shield(taking)

    async def _take_over(self, edge: str, caller: Caller, session_id: str, opened_at: float) -> LiveSession:
        here = self._sessions.get(session_id)
        if isinstance(here, LiveSession):
            if not self._bus.outlives_process or not await here.was_replaced(self._bus, self._partition_of(session_id)):
                return here
            await here.make_way()
        self._check_room()
        await self._take_place(caller, session_id)
        channel = _Channel(self, session_id, AUDIO_RECEIVED, "live", new_traceparent())
        session = self._sessions[session_id] = LiveSession(self, channel, edge, caller, is_patient=False)
        GATEWAY_SESSIONS.labels(edge).inc()
        partition = self._partition_of(session_id)
        try:
            async with asyncio.timeout(RESUME_WITHIN_S):
                await session.follow(self._bus, partition, opened_at, lambda: partition in self._reader.reading)
        except (TimeoutError, Unavailable):
            self.drop(session_id)
            raise Refused("NOT_READY", "The log does not give the session's records at the moment; try again.") from None
        except BaseException:
            self.drop(session_id)
            raise
        RESUMED.labels(edge).inc()
        return session

    def _partition_of(self, session_id: str) -> int:
        return partition_of(session_id.encode(), self._partitions)

    def end_unvisited(self, session: LiveSession) -> None:
        """Its client did not come back: the session ends on the log; what was said is finished and kept."""
        ending = asyncio.ensure_future(session.close("vanished"))
        self._leaving.add(ending)
        ending.add_done_callback(self._leaving.discard)
        session.leave()

    async def speak(self, caller: Caller, request: SynthesisRequested, within: LiveSession | None = None) -> SpeechRequest:
        """One text on its way to speech, filed under the caller. Raises ``Refused`` as ``open`` does.

        ``within`` an open session it takes no further place, and a gateway that is ending lets it finish.
        """
        if within is None:
            session_id, traceparent = await self._admit(caller), new_traceparent()
        elif self.is_ready:
            session_id, traceparent = self._mint(), within.traceparent
        else:
            raise Refused("NOT_READY", "This gateway gives up its partitions at this moment; connect again.")
        speech = self._sessions[session_id] = SpeechRequest(self, session_id, caller, has_place=within is None)
        try:
            await _Channel(self, session_id, SYNTHESIS_REQUESTED, "live", traceparent).send(replace(request, owner=caller.owner))
        except BaseException:
            self.drop(session_id)
            raise
        return speech

    def drop(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if isinstance(session, LiveSession):
            GATEWAY_SESSIONS.labels(session.edge).dec()
        if isinstance(session, LiveSession) or (session is not None and session.has_place):
            leaving = asyncio.ensure_future(self.gate.leave_place(session.caller, session_id))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _admit(self, caller: Caller) -> str:
        """The id of a session that has its place, in a partition that this gateway still reads."""
        self._check_room()
        session_id = self._mint()
        await self._take_place(caller, session_id)
        if partition_of(session_id.encode(), self._partitions) not in self._reader.ready:
            await self.gate.leave_place(caller, session_id)
            raise Refused("NOT_READY", "This gateway gives up this session's partition at this moment; try again.")
        return session_id

    async def _take_place(self, caller: Caller, session_id: str) -> None:
        """The gate may take its time: whether there is room here is looked at again."""
        await self.gate.take_place(caller, session_id)
        try:
            self._check_room()
        except Refused:
            await self.gate.leave_place(caller, session_id)
            raise

    def _check_room(self) -> None:
        if self.is_draining:
            raise Refused("SHUTTING_DOWN", "This gateway is ending; connect again.")
        if len(self._sessions) >= self.settings.max_sessions:
            raise Refused("TOO_MANY_SESSIONS", "This gateway has all the sessions it can hold; try again in a moment.")
        if not self.is_ready:
            raise Refused("NOT_READY", "This gateway is still starting; try again in a moment.")

    def _mint(self) -> str:
        """An id whose partition this gateway reads."""
        ready = self._reader.ready
        while True:
            session_id = uuid.uuid4().hex
            if partition_of(session_id.encode(), self._partitions) in ready:
                return session_id

    def _partitions_in_use(self) -> set[int]:
        return {partition_of(session_id.encode(), self._partitions) for session_id in list(self._sessions)} if self._partitions else set()

    def _deliver(self, events: Sequence[Event]) -> None:
        self._loop.call_soon_threadsafe(self._push, events)

    def _push(self, events: Sequence[Event]) -> None:
        for event in events:
            session = self._sessions.get(event.session_id)
            if session is not None:
                session.push(event)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._partitions and self._reader.ready:
                self._partitions = await asyncio.to_thread(self._bus.partitions, AUDIO_RECEIVED.name("live"))
            now = self.clock()
            live = list(self._sessions.values())
            for session in live:
                session.tick(now)
            self.admission.waits(max((session.waits_s(now) for session in live if isinstance(session, LiveSession)), default=0.0))
