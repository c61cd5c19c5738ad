"""``voxrelay evaluate``: engines over recordings with references, through the live stages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import evaluation  # noqa: F401  # before anything brings NumPy
from evaluation.items import DataUnusable, silences
from evaluation.manifest import read_items
from evaluation.path import StageStuck
from evaluation.report import Report
from evaluation.run import Progress as Reporter
from evaluation.run import chosen, evaluate
from evaluation.systems import session_options, system, unprocessed
from evaluation.tasks import TASKS, task_named
from evaluation.tracking import library, log_report
from voxrelay.cli.console import print_table
from voxrelay.engines import EngineUnusable

OUT = Path("evaluation") / "out"
PROGRESS_EVERY = 25  # recordings, where nobody watches a bar


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="voxrelay evaluate", description=__doc__)
    parser.add_argument("--task", required=True, choices=sorted(TASKS))
    parser.add_argument("--engine", action="append", required=True, dest="engines", metavar="NAME", help="an engine, a model, or several joined by +")
    parser.add_argument("--data", type=Path, required=True, help="a manifest (.jsonl) or a folder")
    parser.add_argument("--out", type=Path, default=None, help="folder for results.json, report.md and the plots; evaluation/out/TASK without it")
    parser.add_argument("--session", action="append", default=[], metavar="NAME=VALUE", help="what every session asks for: noise_suppression=1")
    parser.add_argument("--silence-minutes", type=float, default=0.0, help="for transcribe: silence and noise made here, so long each")
    parser.add_argument("--group", action="append", default=[], help="only recordings of this group; repeat it")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="of each group the first N recordings alone")
    parser.add_argument("--no-baseline", action="store_true", help="leave the unprocessed audio out")
    parser.add_argument("--mlflow", default="", metavar="ADDRESS", help="log to this MLflow server or store, too")
    return parser.parse_args()


def run(arguments: argparse.Namespace, report_progress: Reporter) -> Report:
    """Raises ``DataUnusable``, ``EngineUnusable``, ``StageStuck``."""
    task = task_named(arguments.task)
    items = read_items(arguments.data) + (silences(arguments.silence_minutes) if arguments.silence_minutes > 0 else [])
    items = [item for item in chosen(task, items) if not arguments.group or item.group in arguments.group]
    if arguments.most:
        seen: dict[str, int] = {}
        for item in list(items):
            seen[item.group] = seen.get(item.group, 0) + 1
            if seen[item.group] > arguments.most:
                items.remove(item)
    if not items:
        raise DataUnusable("No recording is left: check --group.")
    session = session_options(arguments.session)
    systems = [system(name, session) for name in arguments.engines]
    if task.baseline is not None and not arguments.no_baseline and "passthrough" not in arguments.engines:
        systems.append(unprocessed(task.baseline, systems[0]))
    return Report(task, evaluate(task, items, systems, report_progress), arguments.data.name, session)


def print_report(report: Report) -> None:
    for heads, rows in (report.table(), report.group_table(), report.comparison_table()):
        if rows:
            table = Table(*heads, box=None)
            for row in rows:
                table.add_row(*row)
            print_table(table)
            sys.stdout.write("\n")
    for note in report.task.notes():
        print(note, file=sys.stderr)


@contextmanager
def _progress(console: Console) -> Iterator[Reporter]:
    """A bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        yield (
            lambda name, done, total: (
                print(f"{name}: {done} of {total} recordings", file=sys.stderr, flush=True) if done % PROGRESS_EVERY == 0 or done == total else None
            )
        )
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=None)
        yield lambda name, done, total: progress.update(bar, description=name, completed=done, total=total)


def main(argv: Sequence[str] | None = None) -> None:
    if argv is not None:
        sys.argv[1:] = list(argv)
    arguments = _arguments()
    try:
        mlflow = library() if arguments.mlflow else None
        with _progress(Console(stderr=True)) as report_progress:
            report = run(arguments, report_progress)
        print_report(report)
        written = report.write(arguments.out or OUT / arguments.task)
        if mlflow is not None:
            log_report(report, arguments.mlflow, written, mlflow)
        print(f"Written: {', '.join(map(str, written))}", file=sys.stderr)
    except (DataUnusable, EngineUnusable, StageStuck, OSError) as error:
        print(f"voxrelay: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
