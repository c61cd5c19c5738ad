"""Commands, targets and variables that pages name are there: an operator copies them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import settings_page
from typer.main import get_command

from voxrelay.cli.app import app

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?:^|[\s(]|-- |bin/)voxrelay ([a-z][^#|;)&>']*)")
OTHERS = ("helm ", "docker build", "kubectl create", "kubectl --namespace speech create")  # they name things voxrelay


def code_in(page: Path) -> Iterator[str]:
    """What stands in fences and between backticks, a line each; a line that ends in a backslash goes on."""
    for fenced, spanned in CODE.findall(page.read_text()):
        yield from (fenced or spanned).replace("\\\n", " ").splitlines()


def calls_in(page: Path) -> Iterator[list[str]]:
    for line in code_in(page):
        if not line.strip().startswith(OTHERS):
            yield from (call.split() for call in CALL.findall(line))


@cache
def _application() -> Any:
    return get_command(app)


def options_of(call: list[str]) -> set[str]:
    """Of the command that the call begins with. Raises ``AssertionError`` where there is none."""
    command = _application()
    for word in call:
        if not hasattr(command, "commands"):
            break
        assert word in command.commands, f"there is no command 'voxrelay {' '.join(call)}'"
        command = command.commands[word]
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_are_there_with_their_options(page: Path) -> None:
    for call in calls_in(page):
        named = {word.partition("=")[0] for word in call if word.startswith("--")}
        assert named <= options_of(call), f"voxrelay {' '.join(call)}"


def test_make_has_every_target_that_is_named() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in code_in(page):
            assert set(re.findall(r"(?:^|\s)make ([a-z-]+)", line)) <= targets, f"{page.name}: {line}"


def test_every_variable_is_a_setting_or_read_by_a_script() -> None:
    known = set(re.findall(r"`(VOXRELAY_[A-Z0-9_]+)`", settings_page.page()))
    for folder in ("scripts", "voxrelay", "services", "tests", "benchmarks", "evaluation"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and file.suffix in ("", ".py"):
                known |= set(re.findall(r"VOXRELAY_[A-Z0-9_]+", file.read_text(errors="replace")))
    for page in PAGES:
        named = {name for line in code_in(page) for name in re.findall(r"VOXRELAY_[A-Z0-9_]*[A-Z0-9]", line)}
        assert {name for name in named if not any(there == name or there.startswith(f"{name}_") for there in known)} == set(), page.name
