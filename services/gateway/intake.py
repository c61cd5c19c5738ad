"""From a client's bytes to a session's samples, whatever the encoding turns out to be: shared by every live protocol."""

from __future__ import annotations

import asyncio
import string
import threading
from dataclasses import replace
from typing import Protocol

from services.gateway.audio.decode import PACKET_ENCODINGS, PROBE_BYTES, RAW_ENCODINGS, ContainerDecoder, RawDecoder, raw_decoder, sniff
from services.gateway.audio.packets import PacketDecoder
from services.gateway.audio.wave_head import MOST_HEAD_BYTES, Incomplete, WaveDecoder, WaveHead, read_head
from services.gateway.requests.parameters import Asked
from voxrelay.errors import Refused
from voxrelay.events import SessionConfig

WAIT_S = 0.01
DECODED_PIECES = 64  # of a container, waiting for the log; more makes its decoder wait, and then the client
PRINTABLE = frozenset(string.printable.encode())
TEXT_PROBE_BYTES = 32
UNMISTAKABLE = ("webm", "ogg", "flac", "wav", "mp4")  # four magic bytes: no speech begins with them by accident


class Listening(Protocol):
    """What audio is for: a ``LiveSession``, or several behind one socket."""

    @property
    def config(self) -> SessionConfig:
        """As it began."""
        ...

    @property
    def has_begun(self) -> bool: ...
    async def begin(self, config: SessionConfig) -> None: ...
    async def send_audio(self, pcm_s16le: bytes) -> None: ...
    @property
    def has_room(self) -> bool:
        """Whether ``take_audio`` may be called."""
        ...

    def take_audio(self, pcm_s16le: bytes) -> None:
        """As ``send_audio``, without waiting."""
        ...


class Intake:
    """Begins the session with the first audio and feeds it. Used on the event loop by one task.

    The channels of a container are mixed to one, unless ``channels`` says how many it must have; then they come interleaved.
    """

    def __init__(self, session: Listening, asked: Asked, max_audio_s: float, channels: int = 1) -> None:
        self._session, self.asked, self._max_audio_s, self._channels = session, asked, max_audio_s, channels
        self._head = b""
        self._raw: RawDecoder | None = None
        self._container: ContainerDecoder | None = None
        self._decoded: asyncio.Queue[tuple[int, bytes] | Refused | None] = asyncio.Queue()
        self._room = threading.Semaphore(DECODED_PIECES)
        self._forwarding: asyncio.Task[None] | None = None
        self._is_finished = False

    @property
    def is_settled(self) -> bool:
        """Whether audio has come, so that encoding, rate and channels can no longer change."""
        return bool(self._head) or self._raw is not None or self._container is not None

    def take(self, data: bytes) -> bool:
        """As ``feed``, at once; False, with nothing done, where it would have to wait or nothing has settled what the audio is."""
        if self._raw is None or not data or not self._session.has_room:
            return False
        self._session.take_audio(self._raw.feed(data))
        return True

    async def feed(self, data: bytes) -> None:
        """Raises ``Refused`` when the bytes are no audio of the announced kind."""
        if not data:
            return
        if self._raw is None and self._container is None:
            self._head += data
            if len(self._head) < PROBE_BYTES and self.asked.encoding not in PACKET_ENCODINGS:
                return
            try:
                wave = read_head(self._head)
            except Incomplete:
                if len(self._head) < MOST_HEAD_BYTES:
                    return
                wave = None
            data, self._head = self._head, b""
            await self._settle(data, wave)
        if self._raw is not None:
            await self._session.send_audio(self._raw.feed(data))
        elif self._container is not None:
            self._raise_failure()
            while not self._container.try_feed(data):
                await asyncio.sleep(WAIT_S)
                self._raise_failure()

    async def finish(self) -> None:
        """No more input: what the decoder still holds goes to the session. Raises ``Refused`` as ``feed`` does."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._head:  # fewer bytes than a probe wants are all there is
            data, self._head = self._head, b""
            await self._settle(data)
            if self._raw is not None:
                await self._session.send_audio(self._raw.feed(data))
            elif self._container is not None:
                self._container.try_feed(data)
        if isinstance(self._raw, WaveDecoder):
            self._raw.finish()
        if self._container is not None and self._forwarding is not None:
            while not self._container.try_finish():
                self._raise_failure()
                await asyncio.sleep(WAIT_S)
            await self._forwarding

    def abandon(self) -> None:
        """Stop decoding at once."""
        if self._container is not None:
            self._container.abandon()
            self._room.release(2)  # its thread may wait for room, once with audio and once with the end of it
        if self._forwarding is not None:
            self._forwarding.cancel()

    async def _settle(self, head: bytes, wave: WaveHead | None = None) -> None:
        """Decide from the first bytes what this is, and begin the session if the rate is known by that."""
        if wave is not None and self._channels in (1, wave.channels):
            self._raw = WaveDecoder(wave, is_mixed=self._channels == 1)
            await self._go_on_at(wave.rate_hz)
            return
        encoding, found = self.asked.encoding, sniff(head)
        is_raw_meant = self.asked.is_encoding_given or self._session.has_begun  # raw audio that goes on after a broken connection begins anyhow
        is_raw = encoding in RAW_ENCODINGS and (is_raw_meant or not found) and found not in UNMISTAKABLE
        if is_raw:
            if len(head) >= TEXT_PROBE_BYTES and PRINTABLE.issuperset(head):
                raise Refused("INVALID_AUDIO_FORMAT", f"This is text, not {encoding} audio; send audio in binary messages.")
            self._raw = raw_decoder(encoding)
            if not self._session.has_begun:
                await self._session.begin(self.asked.config)
            return
        if encoding in PACKET_ENCODINGS and not found:
            packets = self._raw = PacketDecoder(encoding, self.asked.config.sample_rate_hz, self.asked.config.channels)
            if not self._session.has_begun:
                await self._session.begin(replace(self.asked.config, sample_rate_hz=packets.rate_hz))
            return
        if not found:
            raise Refused("INVALID_AUDIO_FORMAT", "The first bytes are no known container; set 'encoding' for raw audio.")
        loop = asyncio.get_running_loop()

        def pass_on(item: tuple[int, bytes] | Refused | None) -> None:
            self._room.acquire()
            loop.call_soon_threadsafe(self._decoded.put_nowait, item)

        self._container = ContainerDecoder(self._max_audio_s, lambda rate, pcm: pass_on((rate, pcm)), pass_on, self._channels)
        self._forwarding = asyncio.create_task(self._forward(self._container))

    async def _forward(self, container: ContainerDecoder) -> None:
        """Decoded audio to the session, which begins once the container has told its rate."""
        while True:
            item = await self._decoded.get()
            self._room.release()
            if item is None:
                return
            if isinstance(item, Refused):
                raise item
            rate_hz, pcm = item
            await self._go_on_at(rate_hz)
            await self._session.send_audio(pcm)
            container.taken()

    async def _go_on_at(self, rate_hz: int) -> None:
        """Begin the session at the rate the audio says it has; one that goes on after a broken connection must have begun so."""
        if not self._session.has_begun:
            await self._session.begin(replace(self.asked.config, sample_rate_hz=rate_hz, channels=self._channels))
        elif rate_hz != self._session.config.sample_rate_hz:
            raise Refused("INVALID_AUDIO_FORMAT", f"A resumed session goes on with {self._session.config.sample_rate_hz} Hz, as it began.")

    def _raise_failure(self) -> None:
        if self._forwarding is not None and self._forwarding.done():
            self._forwarding.result()
