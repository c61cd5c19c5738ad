"""``voxrelay serve``: everything in one process; and the same as a child, for commands that need a platform for a moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from voxrelay.cli.console import Failure, err

START_WITHIN_S = 120.0


def serve(
    port: int = typer.Option(8080, help="WebSocket and REST; 0 takes a free one."),
    grpc_port: int = typer.Option(50051, help="gRPC; 0 takes a free one."),
    host: str = typer.Option("127.0.0.1", help="Address to listen on. Beyond loopback only with keys ('voxrelay keys create')."),
    data: Path = typer.Option(Path(".data"), help="Folder for the database and the audio."),
) -> None:
    """Run the whole platform in one process: no broker, no Docker. Ctrl-C ends it cleanly."""
    arguments = ["--port", str(port), "--grpc-port", str(grpc_port), "--host", host, "--data", str(data)]
    os.execv(sys.executable, [sys.executable, "-m", "services", *arguments])  # noqa: S606  # this very interpreter, before the engines' libraries are there


@contextmanager
def platform(url: str, data: Path) -> Iterator[str]:
    """The given platform's address, or that of one started for the time of the block."""
    if url:
        yield url.replace("ws://", "http://").replace("wss://", "https://").rstrip("/")
        return
    command = [sys.executable, "-m", "services", "--port", "0", "--grpc-port", "0", "--data", str(data), "--announce", "json"]
    with err.status("Starting the platform (once, for this command; 'voxrelay serve' keeps one running) …"):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "VOXRELAY_LOG_LEVEL": "error"})
        line = child.stdout.readline() if child.stdout else ""
    if not line:
        raise Failure(f"The platform did not start (status {child.wait()}); its message stands above.")
    try:
        yield str(json.loads(line)["url"])
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(START_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
