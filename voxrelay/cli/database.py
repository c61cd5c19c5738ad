"""``voxrelay database``: the schema's version."""

from __future__ import annotations

import typer
from sqlalchemy.engine import make_url

from voxrelay.cli.console import Failure, err, print_json
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage import migrations

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


def _url() -> str:
    platform = load_settings(PlatformSettings)
    if not platform.database_url:
        platform.data.mkdir(parents=True, exist_ok=True)
    return platform.resolved_database_url


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


@app.command()
def migrate(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """Bring the database of VOXRELAY_DATABASE_URL (or the data folder) to this version. Safe to repeat and to run side by side."""
    url = _url()
    before, after = migrations.migrate(url)
    if as_json:
        print_json({"database": _shown(url), "before": before, "after": after})
    else:
        did = f"brought from version {before or 'none'} to {after}" if before != after else f"at version {after} already"
        err.print(f"{_shown(url)}: {did}.")


@app.command()
def current(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """The database's version and the one this Voxrelay needs. Exit status 1 where they differ."""
    url = _url()
    found, needed = migrations.current(url), migrations.newest()
    if as_json:
        print_json({"database": _shown(url), "version": found, "needed": needed})
    elif found == needed:
        err.print(f"{_shown(url)} is at version {found}, as needed.")
    if found != needed:
        raise Failure(f"the database is at version '{found or 'none'}', this Voxrelay needs '{needed}': run 'voxrelay database migrate'.")
