"""The page of licences names everything that is installed or fetched, and says what the packages say."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from voxrelay.models.catalogue import CATALOGUE, ModelEntry

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
SPELLINGS = {"MIT License": "MIT", "3-Clause BSD License": "BSD-3-Clause"}


def _dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(group for extra, group in project["optional-dependencies"].items() if extra != "dev")]
    names = {re.split(r"[^A-Za-z0-9_.-]", requirement)[0] for group in groups for requirement in group}
    return sorted(names - {project["name"]})


def _row(library: str) -> list[str]:
    found = re.search(rf"^\| {re.escape(library)}(?:, with [^|]*)? \|(.*)\|$", PAGE, re.MULTILINE)
    assert found is not None, f"docs/licences.md does not name {library}"
    return [cell.strip() for cell in found[1].split("|")]


@pytest.mark.parametrize("library", _dependencies())
def test_every_library_is_named_with_the_licence_its_package_names(library: str) -> None:
    _, licence, _ = _row(library)
    try:
        about = metadata(library)
    except PackageNotFoundError:
        return  # named, and not here to be asked
    named = about["License-Expression"] or about["License"]
    if named and "\n" not in named:
        assert SPELLINGS.get(named, named) in licence


@pytest.mark.parametrize("weights", CATALOGUE, ids=lambda weights: weights.name)
def test_all_weights_are_named_with_their_licence(weights: ModelEntry) -> None:
    assert any(f"`{weights.name}`" in line and f"| {weights.licence} |" in line for line in PAGE.splitlines())
