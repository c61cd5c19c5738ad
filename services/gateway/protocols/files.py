"""POST /api/process: one file through the bulk lane; the answer is the joined result."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import IO, Any

from fastapi import APIRouter, Request
from python_multipart.multipart import MultipartParser, parse_options_header

from services.gateway import parameters
from services.gateway.auth import Keys
from services.gateway.decode import decoded, sniff
from services.gateway.models import ErrorAnswer, ProcessAnswer
from services.gateway.parameters import Asked
from services.gateway.sessions import LiveSession, SessionHub
from services.gateway.updates import Closed, Failed, Final
from voxrelay.errors import Refused
from voxrelay.shapes import utterance_json

EDGE = "files"
SPOOL_BYTES = 8 * 1024 * 1024  # larger files wait on disk
RAW_PARAMETERS = ("encoding", "sample_rate", "channels")
VANISH_LOOK_S = 1.0


class _Upload:
    """The file's bytes on their way to the spool, from a raw body or from the first file of a multipart form."""

    def __init__(self, spool: IO[bytes], limit: int) -> None:
        self._spool, self._limit = spool, limit
        self.size = 0
        self._is_file = self._has_had_file = False
        self._header_name = self._header_value = b""

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise Refused("FILE_TOO_LARGE", f"Files of at most {self._limit // (1024 * 1024)} MB are taken; send it in parts.")
        self._spool.write(data)

    def parser(self, boundary: bytes) -> MultipartParser:
        """Writes the first part that has a file name; the other parts are passed over."""

        def header_field(data: bytes, start: int, end: int) -> None:
            self._header_name += data[start:end]

        def header_value(data: bytes, start: int, end: int) -> None:
            self._header_value += data[start:end]

        def header_end() -> None:
            if self._header_name.lower() == b"content-disposition":
                _, options = parse_options_header(self._header_value)
                self._is_file = b"filename" in options and not self._has_had_file
            self._header_name = self._header_value = b""

        def part_data(data: bytes, start: int, end: int) -> None:
            if self._is_file:
                self._has_had_file = True
                self.write(data[start:end])

        def part_end() -> None:
            self._is_file = False

        callbacks: Any = {
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": header_end,
            "on_part_data": part_data,
            "on_part_end": part_end,
        }
        return MultipartParser(boundary, callbacks)


async def receive(request: Request, spool: IO[bytes], limit: int) -> int:
    """Bytes of the file now in the spool. Raises ``Refused`` FILE_TOO_LARGE before more than the limit is kept, INVALID_MESSAGE for a broken form."""
    announced = int(request.headers.get("content-length", "0") or "0")
    upload = _Upload(spool, limit)
    if announced > limit + 1024 * 1024:
        raise Refused("FILE_TOO_LARGE", f"Files of at most {limit // (1024 * 1024)} MB are taken; send it in parts.")
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    parser = upload.parser(options.get(b"boundary", b"")) if content_type == b"multipart/form-data" else None
    async for piece in request.stream():
        try:
            if parser is not None:
                parser.write(piece)
            else:
                upload.write(piece)
        except Refused:
            raise
        except Exception as error:
            raise Refused("INVALID_MESSAGE", "The multipart form is broken; send the file as field 'file' or as the whole body.") from error
    spool.seek(0)
    return upload.size


def pieces_of(spool: IO[bytes], max_audio_s: float) -> Iterator[tuple[int, bytes]]:
    """Rate and mono pcm_s16le of what the bytes say it is. Raises ``Refused``."""
    head = spool.read(16)
    spool.seek(0)
    if not sniff(head) and head[:4] != b"RIFF" and head.strip().isascii() and head.decode("ascii", "replace").isprintable():
        raise Refused("INVALID_AUDIO_FORMAT", "This is text, not audio; send wav, flac, mp3, m4a, ogg, webm, mp4 or mkv.")
    yield from decoded(spool, max_audio_s)  # type: ignore[arg-type]  # a spooled file is a binary file


async def _in_thread(pieces: Iterator[tuple[int, bytes]]) -> AsyncIterator[tuple[int, bytes]]:
    """Decoding holds no event loop; a hundred pieces a hop."""

    def some() -> list[tuple[int, bytes]]:
        taken = []
        for piece in pieces:
            taken.append(piece)
            if len(taken) == 100:
                break
        return taken

    while taken := await asyncio.to_thread(some):
        for piece in taken:
            yield piece


async def _watch(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(VANISH_LOOK_S)


class FileRun:
    """One file as one session."""

    def __init__(self, hub: SessionHub, session: LiveSession, asked: Asked) -> None:
        self._hub, self._session, self._asked = hub, session, asked

    async def run(self, spool: IO[bytes], request: Request) -> dict[str, Any]:
        """The answer's JSON. Raises ``Refused``; finished results are kept under the session's id even then."""
        sending = asyncio.create_task(self._send(spool))
        collecting = asyncio.create_task(self._collect())
        watching = asyncio.create_task(_watch(request))
        try:
            await asyncio.wait((sending, collecting, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not sending.done():
                raise Refused("INTERNAL", "The client went away.")
            await sending
            return await collecting
        finally:
            for task in (sending, collecting, watching):
                task.cancel()
            await asyncio.gather(sending, collecting, watching, return_exceptions=True)
            await self._session.close("vanished")
            self._session.leave()

    async def _send(self, spool: IO[bytes]) -> None:

        async for rate_hz, pcm in _in_thread(pieces_of(spool, self._hub.settings.max_audio_s)):
            if not self._session.has_begun:
                await self._session.begin(replace(self._asked.config, sample_rate_hz=rate_hz, channels=1, interim_results=False))
            await self._session.send_audio(pcm)
        await self._session.close()

    async def _collect(self) -> dict[str, Any]:
        utterances = []
        audio_seconds = 0.0
        async for update in self._session.updates():
            if isinstance(update, Final):
                utterances.append(utterance_json(update.utterance))
            elif isinstance(update, Failed):
                raise Refused(update.code, update.message)
            elif isinstance(update, Closed):
                audio_seconds = update.audio_seconds
        return {"session_id": self._session.id, "audio_seconds": round(audio_seconds, 3), "utterances": utterances}


def router(hub: SessionHub, keys: Keys) -> APIRouter:
    routes = APIRouter()
    failures: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 401, 413, 415, 501, 503, 504)}

    @routes.post(
        "/api/process",
        response_model=ProcessAnswer,
        responses=failures,
        tags=["files"],
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "The file as the whole body, or as a multipart form's first file. Its bytes decide what it is.",
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "multipart/form-data": {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}},
                },
            },
            "parameters": [
                {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
                for name in ("api_key", *parameters.NAMES)
                if name not in RAW_PARAMETERS
            ],
        },
    )
    async def process(request: Request) -> dict[str, Any]:
        """Clean, diarize, transcribe and classify one file (wav, flac, mp3, m4a/aac, ogg/opus, webm, mp4, mkv); answers with the result."""
        query = dict(request.query_params)
        owner = keys.check(request.headers.get("authorization"), query.pop("api_key", None))
        for name in RAW_PARAMETERS:
            if name in query:
                raise Refused("INVALID_PARAMETER", f"'{name}' is for live audio; a file says by itself what it is.")

        asked = parameters.apply(Asked(), query, hub.settings)
        asked = replace(asked, config=replace(asked.config, owner=owner))
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            if not await receive(request, spool, hub.settings.max_file_bytes):
                raise Refused("EMPTY_AUDIO", "The file is empty.")
            session = hub.open(EDGE, "bulk", request.headers.get("traceparent", ""))
            return await FileRun(hub, session, asked).run(spool, request)

    return routes
