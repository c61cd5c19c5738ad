"""``voxrelay speak``: text to a file or to the pipe, written while it is made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import BinaryIO

import httpx
import typer

from voxrelay.cli.console import Failure, err
from voxrelay.cli.serve import platform


def speak(
    text: str = typer.Argument(..., help="What to say; '-' reads standard input. 'Speaker 1: …' lines are spoken by different voices."),
    output: Path = typer.Option(Path("speech.wav"), "--output", "-o", help="File to write; '-' is standard output."),
    voice: str = typer.Option("", help="Name of a voice; several, comma-separated, for several speakers."),
    speed: float = typer.Option(1.0, min=0.25, max=4.0, help="1 is the voice's own."),
    audio_format: str = typer.Option("wav", "--format", help="wav, pcm, flac, mp3 or opus."),
    url: str = typer.Option("", help="Address of a platform; without it one is started for the time."),
    api_key: str = typer.Option("", envvar="VOXRELAY_API_KEY", help="Key of the platform, if it wants one."),
    data: Path = typer.Option(Path(".data"), help="Folder of the platform that is started here."),
) -> None:
    """Turn text into speech."""
    body = {"text": sys.stdin.read() if text == "-" else text, "voice": voice, "speed": speed, "format": audio_format}
    headers = {"Authorization": f"Token {api_key}"} if api_key else {}
    with platform(url, data) as address:
        try:
            with httpx.stream("POST", f"{address}/v1/speak", json=body, headers=headers, timeout=120.0) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise Failure(_reason(answer))
                written = _write(answer, sys.stdout.buffer) if str(output) == "-" else _write_file(answer, output)
        except httpx.HTTPError as error:
            raise Failure(f"The platform at {address} does not answer: {error}.") from None
    err.print(f"[dim]{written} bytes of {audio_format}{'' if str(output) == '-' else f' in {output}'}.[/dim]")


def _write_file(answer: httpx.Response, output: Path) -> int:
    with output.open("wb") as file:
        return _write(answer, file)


def _write(answer: httpx.Response, target: BinaryIO) -> int:
    written = 0
    for piece in answer.iter_bytes():
        written += target.write(piece)
        target.flush()
    return written


def _reason(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"refused with status {answer.status_code}"
    return f"{error['message']} ({error['code']})"
