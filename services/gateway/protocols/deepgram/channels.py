"""The sessions behind one socket: one, or one for each channel of the audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from services.gateway.access.caller import Caller
from services.gateway.sessions.hub import SessionHub
from services.gateway.sessions.session import LiveSession
from voxrelay.events import EndReason, SessionConfig


async def open_all(hub: SessionHub, edge: str, caller: Caller, count: int, traceparent: str) -> list[LiveSession]:
    """All of them or none. Raises ``Refused`` as ``hub.open`` does."""
    opened: list[LiveSession] = []
    try:
        while len(opened) < count:
            opened.append(await hub.open(edge, caller, traceparent=traceparent))
    except BaseException:
        await leave_all(opened, "failed")
        raise
    return opened


async def close_all(sessions: Sequence[LiveSession], reason: EndReason) -> None:
    for session in sessions:
        await session.close(reason)


async def leave_all(sessions: Sequence[LiveSession], reason: EndReason) -> None:
    """Whatever happens to one of them, the others are left too."""
    try:
        await close_all(sessions, reason)
    finally:
        for session in sessions:
            session.leave()


class Channels:
    """What the intake feeds: interleaved audio, split so that each session hears one channel."""

    def __init__(self, sessions: Sequence[LiveSession]) -> None:
        self._sessions = sessions
        self._rest = b""

    @property
    def config(self) -> SessionConfig:
        return self._sessions[0].config

    @property
    def has_begun(self) -> bool:
        return all(session.has_begun for session in self._sessions)

    async def begin(self, config: SessionConfig) -> None:
        for session in self._sessions:
            await session.begin(replace(config, channels=1))

    @property
    def has_room(self) -> bool:
        return all(session.has_room for session in self._sessions)

    def take_audio(self, pcm_s16le: bytes) -> None:
        """As ``send_audio``, where there is room."""
        for session, heard in zip(self._sessions, self._apart(pcm_s16le), strict=True):
            session.take_audio(heard)

    async def send_audio(self, pcm_s16le: bytes) -> None:
        """Raises ``Refused`` as ``LiveSession.send_audio`` does."""
        for session, heard in zip(self._sessions, self._apart(pcm_s16le), strict=True):
            await session.send_audio(heard)

    def _apart(self, pcm_s16le: bytes) -> Iterator[bytes]:
        """What each session hears of it; an unfinished frame waits for the rest."""
        data = self._rest + pcm_s16le
        frame_bytes = 2 * len(self._sessions)
        whole = len(data) // frame_bytes * frame_bytes
        self._rest = data[whole:]
        frames = np.frombuffer(data[:whole], dtype="<i2").reshape(-1, len(self._sessions))
        return (frames[:, channel].tobytes() for channel in range(len(self._sessions)))
