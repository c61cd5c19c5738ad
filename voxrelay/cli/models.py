"""``voxrelay models``: the weights of the engines."""

from __future__ import annotations

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from voxrelay.cli.console import Failure, err, out, print_json
from voxrelay.models.catalogue import CATALOGUE
from voxrelay.models.registry import ModelRegistry, PullFailed, bundled_names
from voxrelay.settings import PlatformSettings, load_settings

app = typer.Typer(help="Model weights: what there is, what is here.", no_args_is_help=True)


def _registry() -> ModelRegistry:
    return ModelRegistry(load_settings(PlatformSettings).models)


@app.command("list")
def list_models(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """The catalogue, and which of it is on this machine."""
    registry = _registry()
    rows = [
        {
            "name": e.name,
            "task": e.task,
            "size_bytes": e.size_bytes,
            "licence": e.licence,
            "source": e.source,
            "is_installed": registry.is_installed(e.name),
        }
        for e in CATALOGUE
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "task", "MB", "licence", "here", "source", box=None)
    for row in rows:
        here = "yes" if row["is_installed"] else "no"
        table.add_row(str(row["name"]), str(row["task"]), f"{int(str(row['size_bytes'])) / 1e6:.1f}", str(row["licence"]), here, str(row["source"]))
    out.print(table)


@app.command()
def pull(
    names: list[str] = typer.Argument(None, help="Names from the catalogue."),
    bundled: bool = typer.Option(False, "--bundled", help="Everything the default engines need."),
) -> None:
    """Fetch weights from their source and check them. What is here already is left alone."""
    wanted = [*(names or ()), *(bundled_names() if bundled else ())]
    if not wanted:
        raise Failure("Name the weights to pull, or --bundled.", 2)
    registry = _registry()
    with Progress(
        TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        for name in wanted:
            task = progress.add_task(f"fetching {name}", total=None)
            try:
                registry.pull(name, lambda done, total, task=task: progress.update(task, completed=done, total=total))  # type: ignore[misc]  # bound at once
            except PullFailed as failure:
                raise Failure(str(failure)) from None
            err.print(f"[dim]{name} is in place.[/dim]")


@app.command()
def verify() -> None:
    """Check every file that is here against the catalogue. Exit status 1 if one differs."""
    registry = _registry()
    wrong = [e.name for e in CATALOGUE if registry.is_installed(e.name) and not registry.verify(e.name)]
    if wrong:
        raise Failure(f"{', '.join(wrong)} differ from the catalogue: pull them again.")
    err.print("[dim]Everything that is here is as the catalogue says.[/dim]")
