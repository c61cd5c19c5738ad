"""Models in one folder, checked by SHA-256. Nothing is ever downloaded but by ``pull`` and ``add``."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from voxrelay.engines import EngineUnusable
from voxrelay.models.catalogue import CATALOGUE, ModelEntry, ModelFile, problem_of
from voxrelay.models.downloads import PIECE_BYTES, PullFailed
from voxrelay.models.pickles import holds_pickle
from voxrelay.models.sources import Hub, fetch, kind_of

__all__ = ["ModelRegistry", "PullFailed", "bundled_names"]

FileProgress = Callable[[str, int, int], None]  # the file's path, bytes so far, bytes in all (0: not known)
ADDED, CHECKED, PARTS, LOCK = ".added.json", ".checked.json", ".parts", ".lock"


class ModelRegistry:
    """Reads and writes ``folder``. Several processes may use it at once: files appear whole or not at all."""

    def __init__(self, folder: Path, hub: Hub | None = None) -> None:
        self._folder, self._hub = folder, hub or Hub()

    # --- what there is -----------------------------------------------------------------------------------------------------

    def entries(self) -> list[ModelEntry]:
        """The catalogue, then what was added here, by name."""
        known = {entry.name for entry in CATALOGUE}
        added = [entry for path in sorted(self._folder.glob(f"*/{ADDED}")) if (entry := _read_added(path)) is not None and entry.name not in known]
        return [*CATALOGUE, *added]

    def entry(self, name: str) -> ModelEntry:
        """Raises ``EngineUnusable`` for a name nobody knows."""
        found = next((entry for entry in self.entries() if entry.name == name), None)
        if found is None:
            raise EngineUnusable(f"There is no model '{name}': 'voxrelay models list' names them.")
        return found

    def path(self, name: str) -> Path:
        """The checked file, or the folder of a model with several. Raises ``EngineUnusable`` when it is not there or not what it should be."""
        wanted = self.entry(name)
        if not wanted.files:
            raise EngineUnusable(f"The model '{name}' has no files: it comes with the engine '{wanted.engine}'.")
        if not self.is_installed(name):
            raise EngineUnusable(f"The model '{name}' is not in {self._folder}: run 'voxrelay models pull {name}'.")
        if not self.verify(name):
            raise EngineUnusable(f"'{name}' in {self._folder} is not what the catalogue names: run 'voxrelay models pull {name}' to fetch it anew.")
        return self._path(wanted, wanted.files[0]) if len(wanted.files) == 1 else self._folder / name

    def digest(self, name: str) -> str:
        """SHA-256 that stands for the whole model, hex; empty for one without files."""
        return self.entry(name).digest

    def weights(self, name: str, engine: str) -> tuple[Path, str]:
        """``path`` and ``digest`` of a model of that engine. Raises ``EngineUnusable`` also for a model of another one."""
        if (found := self.entry(name)).engine != engine:
            raise EngineUnusable(f"'{name}' is a model of the engine '{found.engine}', and the settings name '{engine}'.")
        return self.path(name), found.digest

    def is_installed(self, name: str) -> bool:
        """Whether all files are here, checked or not. A model without files always is."""
        wanted = self.entry(name)
        return all(self._path(wanted, file).is_file() for file in wanted.files)

    def has_checksums(self, name: str) -> bool:
        """Whether all files, read anew, have their digests; ``verify`` trusts a file it once checked."""
        wanted = self.entry(name)
        return self.is_installed(name) and all(sha256_of(self._path(wanted, file)) == file.sha256 for file in wanted.files)

    def verify(self, name: str) -> bool:
        """Whether all files are here and have their digests. A file that was checked once is known by size and time of change."""
        wanted = self.entry(name)
        checked = self._checked(wanted)
        now: dict[str, list[str | int]] = {}
        for file in wanted.files:
            path = self._path(wanted, file)
            if not path.is_file():
                return False
            now[file.path] = _mark(path, file.sha256)
            if checked.get(file.path) != now[file.path] and sha256_of(path) != file.sha256:
                return False
        if now != checked:
            self._remember(wanted, now)
        return True

    # --- what changes it ---------------------------------------------------------------------------------------------------

    def pull(self, name: str, progress: FileProgress | None = None, *, is_licence_accepted: bool = False) -> None:
        """Fetch what is missing or was changed, check it, and put it in place. Raises ``PullFailed``; what was there before then stays as it was."""
        wanted = self.entry(name)
        if self.has_checksums(name):
            return
        if wanted.must_accept_licence and not is_licence_accepted:
            raise PullFailed(f"'{name}' is under the {wanted.licence} ({wanted.licence_url}): read it, then pull with --accept-licence.")
        with self._storing(wanted):
            self._take(wanted, self._fetched(wanted, progress))

    def add(self, wanted: ModelEntry, progress: FileProgress | None = None) -> ModelEntry:
        """Make a model of one's own known and fetch it. Checksums that are not given are pinned to what comes. Raises ``PullFailed``."""
        problem = problem_of(wanted)
        if problem:
            raise PullFailed(problem)
        if any(entry.name == wanted.name for entry in CATALOGUE):
            raise PullFailed(f"'{wanted.name}' is in the catalogue: take another name.")
        if kind_of(wanted.source) == "folder" and not wanted.files:
            wanted = replace(wanted, files=_files_in(Path(wanted.source.partition(":")[2])))
        if not wanted.files and wanted.source != "engine":
            raise PullFailed("Name the model's files with --file: only a folder tells them itself.")
        with self._storing(wanted):
            parts = self._fetched(wanted, progress)
            pinned = zip(wanted.files, parts, strict=True)
            files = tuple(replace(file, sha256=sha256_of(part), size_bytes=part.stat().st_size) for file, part in pinned)
            wanted = replace(wanted, files=files)
            self._take(wanted, parts)
            _write_whole(self._folder / wanted.name / ADDED, json.dumps(asdict(wanted), indent=1))
        return wanted

    def add_made(self, made: ModelEntry, folder: Path) -> ModelEntry:
        """Register what was made of another model here: its files, with their checksums, lie in ``folder``. Raises ``PullFailed``."""
        problem = problem_of(made)
        if problem:
            raise PullFailed(problem)
        with self._storing(made):
            parts = []
            for file in made.files:
                part = self._folder / made.name / PARTS / f"{file.path}.part"
                part.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / file.path, part)
                self._check(made, file, part)
                parts.append(part)
            self._take(made, parts)
            _write_whole(self._folder / made.name / ADDED, json.dumps(asdict(made), indent=1))
        return made

    def remove(self, name: str) -> None:
        """Its files, and what was added of it. Raises ``EngineUnusable`` for an unknown name."""
        shutil.rmtree(self._folder / self.entry(name).name, ignore_errors=True)

    # --- files -------------------------------------------------------------------------------------------------------------

    def _path(self, wanted: ModelEntry, file: ModelFile) -> Path:
        return self._folder / wanted.name / file.path

    @contextmanager
    def _storing(self, wanted: ModelEntry) -> Iterator[None]:
        """One process at a time stores a model. Raises ``PullFailed`` where another does or the folder cannot be written."""
        try:
            (self._folder / wanted.name).mkdir(parents=True, exist_ok=True)
            with (self._folder / wanted.name / LOCK).open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise PullFailed(f"Another process is fetching '{wanted.name}': wait for it.") from None
                yield
        except OSError as error:
            raise PullFailed(f"'{wanted.name}' could not be stored in {self._folder}: {error.strerror or error}.") from error

    def _fetched(self, wanted: ModelEntry, progress: FileProgress | None) -> list[Path]:
        """The files of the model, each checked, in a place of their own; those that are in place and right are taken from there."""
        parts = []
        for file in wanted.files:
            target, part = self._path(wanted, file), self._folder / wanted.name / PARTS / f"{file.path}.part"
            if file.sha256 and target.is_file() and sha256_of(target) == file.sha256:
                parts.append(target)
                continue
            report = (lambda done, total, path=file.path: progress(path, done, total)) if progress is not None else None
            fetch(wanted, file, part, self._hub, report)
            self._check(wanted, file, part)
            parts.append(part)
        return parts

    @staticmethod
    def _check(wanted: ModelEntry, file: ModelFile, part: Path) -> None:
        what = f"{file.path} of '{wanted.name}'"
        if file.sha256 and sha256_of(part) != file.sha256:
            part.unlink()
            raise PullFailed(f"{what} came with another checksum than it should have; it was not kept. Try again, or report it.")
        if not file.may_be_pickle and holds_pickle(part):
            part.unlink()
            raise PullFailed(f"{what} is a Python pickle, which could run anything; it was not kept. Ask for safetensors or ONNX.")

    def _take(self, wanted: ModelEntry, parts: list[Path]) -> None:
        for file, part in zip(wanted.files, parts, strict=True):
            target = self._path(wanted, file)
            if part != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, target)
        shutil.rmtree(self._folder / wanted.name / PARTS, ignore_errors=True)
        self._remember(wanted, {file.path: _mark(self._path(wanted, file), file.sha256) for file in wanted.files})

    def _checked(self, wanted: ModelEntry) -> dict[str, list[str | int]]:
        try:
            found = json.loads((self._folder / wanted.name / CHECKED).read_text())
        except (OSError, ValueError):
            return {}  # never checked, or by an interrupted run: check now
        return found if isinstance(found, dict) else {}

    def _remember(self, wanted: ModelEntry, marks: dict[str, list[str | int]]) -> None:
        try:
            _write_whole(self._folder / wanted.name / CHECKED, json.dumps(marks))
        except OSError:
            return  # a read-only folder is fine: the check is made again at the next start


def bundled_names() -> list[str]:
    """The models that the default engines need."""
    return [found.name for found in CATALOGUE if found.is_bundled]


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _mark(path: Path, sha256: str) -> list[str | int]:
    status = path.stat()
    return [sha256, status.st_size, status.st_mtime_ns]


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text)
    os.replace(fresh, path)


def _files_in(folder: Path) -> tuple[ModelFile, ...]:
    if folder.is_file():
        return (ModelFile(folder.name, ""),)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return tuple(ModelFile(path.relative_to(folder).as_posix(), "") for path in found)


def _read_added(path: Path) -> ModelEntry | None:
    """An entry written by ``add``; None for a file that is damaged or was moved: its model then counts as unknown."""
    try:
        saved = json.loads(path.read_text())
        files = tuple(ModelFile(file["path"], file["sha256"], file["size_bytes"]) for file in saved["files"])
        entry = ModelEntry(**{**saved, "files": files, "languages": tuple(saved["languages"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if problem_of(entry) or entry.name != path.parent.name else entry
