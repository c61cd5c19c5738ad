"""Puts the commands together and turns the errors a person can act on into one line and an exit status.

Exit status: 0 done, 1 it failed (the line says why), 2 wrong usage or settings, 3 nothing found, 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import typer

from voxrelay.cli import (
    access,
    backup,
    database,
    deletion,
    doctor,
    evaluate,
    listen,
    models,
    replay,
    serve,
    sessions,
    speak,
    topics,
    transcribe,
    usage,
)
from voxrelay.cli.console import Failure
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Refused, Unavailable

app = typer.Typer(
    name="voxrelay",
    help="An open, self-hosted speech platform: audio in; words, speakers and attributes out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(transcribe.transcribe)
app.command()(listen.listen)
app.command()(speak.speak)
app.command()(usage.usage)
app.command()(replay.replay)
app.command()(evaluate.evaluate)
app.command()(doctor.doctor)
app.command()(deletion.delete)
app.command()(backup.backup)
app.command()(backup.restore)
app.add_typer(sessions.app, name="sessions")
app.add_typer(deletion.app, name="retention")
app.add_typer(access.keys, name="keys")
app.add_typer(access.users, name="users")
app.add_typer(topics.app, name="topics")
app.add_typer(models.app, name="models")
app.add_typer(database.app, name="database")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(version("voxrelay"))
        raise typer.Exit


@app.callback()
def options(
    is_version_wanted: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
) -> None:
    """Settings come from VOXRELAY_… variables; 'voxrelay COMMAND --help' explains each command."""


def main() -> None:
    try:
        app()
    except (Failure, Unavailable, EngineUnusable) as error:
        print(f"voxrelay: {error}", file=sys.stderr)
        raise SystemExit(getattr(error, "status", 1)) from None
    except Refused as error:
        print(f"voxrelay: {error.message} ({error.code})", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
