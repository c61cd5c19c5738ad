"""Opens sessions, takes them over, routes results to them and ends them: one hub a gateway, on one event loop."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.gateway.access.caller import Caller
from services.gateway.access.gate import Gate
from services.gateway.sessions.admission import Admission
from services.gateway.sessions.channel import Channel
from services.gateway.sessions.results import ResultReader
from services.gateway.sessions.session import LiveSession
from services.gateway.sessions.shared_reading import SharedReading
from services.gateway.sessions.spans import SessionSpan
from services.gateway.sessions.speech_request import SpeechRequest
from services.gateway.settings import GatewaySettings
from voxrelay.bus.api import Bus
from voxrelay.bus.partitioner import partition_of
from voxrelay.clock import steady_time
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import Event, Lane, SynthesisRequested
from voxrelay.telemetry import GATEWAY_ROOM, GATEWAY_SESSIONS, RESUMED
from voxrelay.topology import AUDIO_RECEIVED, SYNTHESIS_REQUESTED, Topic

TICK_S = 0.05
TICKS_A_LOOK = 10  # so often it is asked whether the platform keeps pace
REPORT_S = 0.005  # how often it is asked what the log took: a thread that waits for it would take the interpreter from the loop each time
MANY_SESSIONS = 150  # from here on the loop goes round every ROUND_S, and reads what has come meanwhile in one go: waking costs more than a chunk
ROUND_S = 0.005
PASSES = 4  # of the loop in a round, for what goes through several tasks
RESUME_WITHIN_S = 40.0


class SessionHub:
    """Opens sessions, routes results to them, ticks them. One for the gateway; lives on the loop that calls ``start``."""

    def __init__(self, bus: Bus, settings: GatewaySettings, gate: Gate, clock: Callable[[], float] = steady_time) -> None:
        self._bus, self.settings, self.gate, self.clock = bus, settings, gate, clock
        self.admission = Admission(settings.max_lag_s, settings.max_busy)
        self.told_files: dict[str, float] = {}
        self._reading = SharedReading(bus)
        GATEWAY_ROOM.set(settings.max_sessions)
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
        self._reporting = asyncio.create_task(self._report())

    async def close(self) -> None:
        """After this no session lives here; those still open are ended on the log first, unless their clients may go on elsewhere."""
        for session in list(self._sessions.values()):
            if isinstance(session, LiveSession) and not (session.is_parked and self._bus.outlives_process):
                await session.close("vanished")
        self._ticking.cancel()
        self._reporting.cancel()
        await asyncio.to_thread(self._reader.close)
        await asyncio.to_thread(self.producer.close)
        await asyncio.gather(*self._leaving)
        await asyncio.to_thread(self._reading.close)

    def check(self) -> None:
        """For /ready."""
        self._reader.check()
        if not self.is_ready:
            raise Unavailable("The gateway does not know its topics yet.")
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
            self.admission.enter(self.clock(), sum(isinstance(session, LiveSession) and session.is_live for session in self._sessions.values()))
        session_id = await self._admit(caller)
        span = SessionSpan("session", edge, session_id, lane, traceparent)
        channel = self._channel(session_id, AUDIO_RECEIVED, lane, span.traceparent)
        session = self._sessions[session_id] = LiveSession(
            self, channel, edge, caller, is_patient=lane == "bulk" if is_patient is None else is_patient
        )
        session.span = span
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
            if not self._bus.outlives_process or not await here.was_replaced(self._reading, self._partition_of(session_id)):
                return here
            await here.make_way()
        self._check_room()
        await self._take_place(caller, session_id)
        span = SessionSpan("resumed session", edge, session_id, "live", "")
        channel = self._channel(session_id, AUDIO_RECEIVED, "live", span.traceparent)
        session = self._sessions[session_id] = LiveSession(self, channel, edge, caller, is_patient=False)
        session.span = span
        GATEWAY_SESSIONS.labels(edge).inc()
        partition = self._partition_of(session_id)
        self._reader.look_soon()
        try:
            async with asyncio.timeout(RESUME_WITHIN_S):
                await session.follow(self._reading, partition, opened_at, lambda: partition in self._reader.reading)
        except (TimeoutError, Unavailable):
            self.drop(session_id)
            raise Refused("NOT_READY", "The log does not give the session's records at the moment; try again.") from None
        except BaseException:
            self.drop(session_id)
            raise
        RESUMED.labels(edge).inc()
        return session

    def _channel(self, session_id: str, topic: Topic, lane: Lane, traceparent: str) -> Channel:
        return Channel(self.producer, self.clock, self.settings.max_unacknowledged_bytes, session_id, topic, lane, traceparent)

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
            session_id, traceparent = await self._admit(caller), ""
        elif self.is_ready:
            session_id, traceparent = self._mint(), within.traceparent
        else:
            raise Refused("NOT_READY", "This gateway gives up its partitions at this moment; connect again.")
        speech = self._sessions[session_id] = SpeechRequest(self, session_id, caller, has_place=within is None)
        speech.span = SessionSpan("speech", "speech", session_id, "live", traceparent)
        try:
            await self._channel(session_id, SYNTHESIS_REQUESTED, "live", speech.span.traceparent).send(replace(request, owner=caller.owner))
        except BaseException:
            self.drop(session_id)
            raise
        return speech

    def drop(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None and session.span is not None:
            session.span.end()
        audio_seconds = 0.0
        if isinstance(session, LiveSession):
            GATEWAY_SESSIONS.labels(session.edge).dec()
            audio_seconds = session.audio_seconds
        if isinstance(session, LiveSession) or (session is not None and session.has_place):
            leaving = asyncio.ensure_future(self.gate.leave_place(session.caller, session_id, audio_seconds))
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

    async def _report(self) -> None:
        while True:
            self.producer.report()
            if len(self._sessions) < MANY_SESSIONS:
                await asyncio.sleep(REPORT_S)
                continue
            ends_at = time.monotonic() + ROUND_S
            for _ in range(PASSES):
                await asyncio.sleep(0)
            _rest_until(ends_at)

    async def _tick(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(TICK_S)
            if not self._partitions and self._reader.ready:
                self._partitions = await asyncio.to_thread(self._bus.partitions, AUDIO_RECEIVED.name("live"))
            now = self.clock()
            live = list(self._sessions.values())
            for session in live:
                session.tick(now)
            if number % TICKS_A_LOOK == 0:
                waits = [session.waits_s(now) for session in live if isinstance(session, LiveSession) and session.is_live]
                self.admission.waits(waits, now)


def _rest_until(ends_at: float) -> None:
    """The loop stands still: what comes meanwhile is found in one go, and the other threads have the interpreter."""
    time.sleep(max(0.0, ends_at - time.monotonic()))
