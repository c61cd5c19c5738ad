"""``voxrelay listen``: stream a file or the microphone as live audio and show what comes back while it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from voxrelay.cli.console import Failure, beside_progress, err, print_final, print_json
from voxrelay.cli.live import LiveCall, Refusal
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
    """Stream audio live and print who said what, when and how. A connection that breaks is taken up again; nothing is lost by it."""
    source = file_source(file) if file is not None else microphone_source()
    parameters = {"language": language, "custom_vocabulary": vocabulary, "num_speakers": str(speakers) if speakers else ""}
    with platform(url, data) as address:
        try:
            asyncio.run(_stream(address.replace("http", "ws", 1), source, {n: v for n, v in parameters.items() if v}, speed, api_key, as_json))
        except (OSError, TimeoutError) as error:
            raise Failure(f"The platform at {address} does not answer: {error}.") from None


async def _stream(url: str, source: Source, parameters: Mapping[str, str], speed: float, api_key: str, as_json: bool) -> None:
    headers = {"Authorization": f"Token {api_key}"} if api_key else {}
    call = LiveCall(url, source.sample_rate_hz, parameters=parameters, headers=headers)
    columns = (SpinnerColumn(), BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
        task = progress.add_task("listening", total=source.duration_s or None)
        feeding = asyncio.create_task(_feed(call, source, speed, progress, task))
        try:
            async for message in call.messages():
                _show(message, progress, task, as_json)
        except Refusal as refusal:
            raise Failure(f"The platform refused the connection: {refusal}.") from None
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
        if not feeding.cancelled():
            feeding.result()  # what was wrong with the file or the microphone


async def _feed(call: LiveCall, source: Source, speed: float, progress: Progress, task: Any) -> None:
    started = time.monotonic()
    fed_s = 0.0
    try:
        async for chunk in _in_background(source):
            delay_s = started + fed_s / speed - time.monotonic()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            await call.feed(chunk)
            fed_s += len(chunk) / 2 / source.sample_rate_hz
            progress.update(task, completed=fed_s)
    finally:
        call.finish()


async def _in_background(source: Source) -> AsyncIterator[bytes]:
    """Decoding and waiting for the microphone would hold the loop."""
    chunks = iter(source.chunks)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


def _show(message: dict[str, Any], progress: Progress, task: Any, as_json: bool) -> None:
    if as_json:
        print_json(message)
    elif message["type"] == "interim":
        progress.update(task, description="… " + message["transcript"][-SHOWN_CHARACTERS:])
    elif message["type"] == "final":
        progress.update(task, description="listening")
        print_final(message, beside_progress())
    elif message["type"] == "closed":
        err.print(f"[dim]{message['audio_seconds']:.1f} s of audio.[/dim]")
    if message["type"] == "error":
        raise Failure(f"{message['error']['message']} ({message['error']['code']})")
