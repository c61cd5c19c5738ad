"""``voxrelay listen``: stream a file or the microphone as live audio and show what comes back while it comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from voxrelay.cli.console import Failure, err, print_final, print_json
from voxrelay.cli.serve import platform
from voxrelay.cli.sources import Source, file_source, microphone_source

SHOWN_CHARACTERS = 60


def listen(
    url: str = typer.Argument("", help="ws:// or http:// address of a platform; without it one is started for the time."),
    file: Path = typer.Option(None, "--file", "-f", help="Stream this audio file; without it the microphone."),
    speed: float = typer.Option(1.0, min=0.1, max=100.0, help="1 is real time."),
    language: str = typer.Option("", help="BCP 47 tag; detected when absent."),
    vocabulary: str = typer.Option("", help="Terms to boost, comma-separated."),
    speakers: int = typer.Option(0, min=0, max=50, help="How many people speak, if known."),
    api_key: str = typer.Option("", envvar="VOXRELAY_API_KEY", help="Key of the platform, if it wants one."),
    as_json: bool = typer.Option(False, "--json", help="Every message as it comes, one JSON object a line."),
    data: Path = typer.Option(Path(".data"), help="Folder of the platform that is started here."),
) -> None:
    """Stream audio live and print who said what, when and how."""
    source = file_source(file) if file is not None else microphone_source()
    parameters = {"language": language, "custom_vocabulary": vocabulary, "num_speakers": str(speakers) if speakers else ""}
    query = urlencode({name: value for name, value in parameters.items() if value})
    with platform(url, data) as address:
        websocket_url = address.replace("http", "ws", 1) + "/ws/v1/transcribe" + (f"?{query}" if query else "")
        try:
            asyncio.run(_stream(websocket_url, source, speed, api_key, as_json))
        except (OSError, TimeoutError) as error:
            raise Failure(f"The platform at {address} does not answer: {error}.") from None


async def _stream(url: str, source: Source, speed: float, api_key: str, as_json: bool) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    headers = {"Authorization": f"Token {api_key}"} if api_key else {}
    try:
        connection = await connect(url, additional_headers=headers, compression=None, max_size=2**24)
    except InvalidStatus as refusal:
        raise Failure(f"The platform refused the connection: {refusal.response.body.decode(errors='replace') or refusal}.") from None
    columns = (SpinnerColumn(), BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn())
    async with connection:
        config = {"encoding": "linear16", "sample_rate": source.sample_rate_hz}
        await connection.send(json.dumps({"type": "configure", "config": config}))
        with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
            task = progress.add_task("listening", total=source.duration_s or None)
            sending = asyncio.create_task(_send(connection, source, speed, progress, task))
            try:
                await _receive(connection, progress, task, as_json)
            finally:
                sending.cancel()


async def _send(connection: Any, source: Source, speed: float, progress: Progress, task: Any) -> None:
    started = time.monotonic()
    sent_s = 0.0
    async for chunk in _in_background(source):
        delay_s = started + sent_s / speed - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        await connection.send(chunk)
        sent_s += len(chunk) / 2 / source.sample_rate_hz
        progress.update(task, completed=sent_s)
    await connection.send(json.dumps({"type": "close_stream"}))


async def _in_background(source: Source) -> AsyncIterator[bytes]:
    """Decoding and waiting for the microphone would hold the loop."""
    chunks = iter(source.chunks)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


async def _receive(connection: Any, progress: Progress, task: Any, as_json: bool) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        async for text in connection:
            message = json.loads(text)
            if as_json:
                print_json(message)
            elif message["type"] == "interim":
                progress.update(task, description="… " + message["transcript"][-SHOWN_CHARACTERS:])
            elif message["type"] == "final":
                progress.update(task, description="listening")
                print_final(message)
            if message["type"] == "error":
                raise Failure(f"{message['error']['message']} ({message['error']['code']})")
            if message["type"] == "closed":
                if not as_json:
                    err.print(f"[dim]{message['audio_seconds']:.1f} s of audio.[/dim]")
                return
    except ConnectionClosed as closing:
        raise Failure(f"The platform closed the connection: {closing}.") from None
    raise Failure("The platform closed the connection before everything was said; finished results are kept there.")
