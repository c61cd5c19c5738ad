"""``voxrelay transcribe``: files through the bulk lane, as fast as the engines go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from voxrelay.cli.console import Failure, err, out, print_final, print_json
from voxrelay.cli.serve import platform

PIECE_BYTES = 64 * 1024


def transcribe(
    files: list[Path] = typer.Argument(..., help="Audio or video files: wav, flac, mp3, m4a, ogg, webm, mp4, mkv."),
    url: str = typer.Option("", help="Address of a platform; without it one is started for the time."),
    language: str = typer.Option("", help="BCP 47 tag; detected when absent."),
    vocabulary: str = typer.Option("", help="Terms to boost, comma-separated."),
    speakers: int = typer.Option(0, min=0, max=50, help="How many people speak, if known."),
    api_key: str = typer.Option("", envvar="VOXRELAY_API_KEY", help="Key of the platform, if it wants one."),
    as_json: bool = typer.Option(False, "--json", help="The whole result, one JSON object a file and line."),
    data: Path = typer.Option(Path(".data"), help="Folder of the platform that is started here."),
) -> None:
    """Transcribe files: cleaned, diarized, transcribed and classified, faster than real time."""
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise Failure(f"There is no file {', '.join(missing)}.", 2)
    parameters = {"language": language, "custom_vocabulary": vocabulary, "num_speakers": str(speakers) if speakers else ""}
    headers = {"Authorization": f"Token {api_key}"} if api_key else {}
    failed = False
    with platform(url, data) as address, httpx.Client(base_url=address, headers=headers, timeout=None) as client:  # noqa: S113  # an hour of audio takes its time; Ctrl-C ends it
        for path in files:
            answer = _process(client, path, {name: value for name, value in parameters.items() if value})
            if answer.status_code != 200:
                failed = True
                err.print(f"{path}: {_reason(answer)}", style="red")
            elif as_json:
                print_json({"file": str(path), **answer.json()})
            else:
                _print(path, answer.json(), len(files) > 1)
    if failed:
        raise typer.Exit(1)


def _process(client: httpx.Client, path: Path, parameters: dict[str, str]) -> httpx.Response:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"sending {path.name}", total=path.stat().st_size)

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
                    progress.advance(task, len(piece))
            progress.update(task, description=f"processing {path.name}")

        try:
            return client.post("/api/process", params=parameters, content=pieces(), headers={"Content-Type": "application/octet-stream"})
        except httpx.HTTPError as error:
            raise Failure(f"The platform at {client.base_url} does not answer: {error}.") from None


def _reason(answer: httpx.Response) -> str:
    try:
        error: dict[str, Any] = answer.json()["error"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"refused with status {answer.status_code}"
    return f"{error['message']} ({error['code']})"


def _print(path: Path, result: dict[str, Any], is_one_of_many: bool) -> None:
    if is_one_of_many:
        out.print(f"\n{path}", style="bold")
    for utterance in result["utterances"]:
        print_final(utterance)
    err.print(f"[dim]{result['audio_seconds']:.1f} s of audio, session {result['session_id']}.[/dim]")
