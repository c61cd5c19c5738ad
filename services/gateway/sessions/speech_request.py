"""One text on its way to speech, as the session object is for what is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.gateway.access.caller import Caller
from services.gateway.sessions.session import Home
from services.gateway.sessions.spans import SessionSpan
from voxrelay.errors import Refused
from voxrelay.events import Event, SynthesisProduced, SynthesisRefused


class SpeechRequest:
    """One text on its way to speech; ``pieces`` gives the audio while it is made."""

    def __init__(self, hub: Home, session_id: str, caller: Caller, *, has_place: bool) -> None:
        self._hub, self.id, self.caller, self.has_place = hub, session_id, caller, has_place
        self._pieces: asyncio.Queue[SynthesisProduced | SynthesisRefused | None] = asyncio.Queue()
        self._last = 0
        self.span: SessionSpan | None = None

    def push(self, event: Event) -> None:
        if self.span is not None:
            self.span.received(event)
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
                    async with asyncio.timeout(self._hub.settings.stage_timeout_s):  # wait_for may swallow a cancellation that meets a piece
                        piece = await self._pieces.get()
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
