"""What is remembered between two calls of the script: one JSON file per root, readable by its owner only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local_services.processes import ServiceError, is_running

STATE_NAME = "services.json"


@dataclass
class ServiceRecord:
    """One service: the process that runs it (or ran it last), its port and what it was set up with.

    `settings` holds names and secrets that must stay the same over restarts.
    """

    port: int | None = None
    pid: int | None = None
    start_time_ticks: int | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def is_running(self) -> bool:
        """Whether the recorded process still is that process."""
        return is_running(self.pid, self.start_time_ticks)


class State:
    """The records of one root. Any thread may call `save`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records: dict[str, ServiceRecord] = {}
        self._saving = threading.Lock()
        path = root / STATE_NAME
        if path.exists():
            try:
                document = json.loads(path.read_text())
                self.records = {name: ServiceRecord(**record) for name, record in document["services"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ServiceError(f"{path} cannot be read ({error}). End what it started by hand, then delete {root}.") from error

    @property
    def exists(self) -> bool:
        """Whether this root was ever started."""
        return (self.root / STATE_NAME).exists()

    def record(self, name: str) -> ServiceRecord:
        """The record of one service, a fresh one where there is none."""
        return self.records.setdefault(name, ServiceRecord())

    def log_path(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.root / "logs" / f"{name}.log"

    def save(self) -> None:
        """Writes the file in one step, mode 600, because it holds secrets."""
        with self._saving:
            document = {"services": {name: asdict(record) for name, record in sorted(self.records.items())}}
            partial = self.root / f"{STATE_NAME}.partial"
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
            partial.replace(self.root / STATE_NAME)

    def remove_if_unused(self) -> None:
        """Removes this script's own files, and the root when nothing else is in it."""
        if self.records:
            self.save()
            return
        for log in (self.root / "logs").glob("*.log"):
            log.unlink()
        with contextlib.suppress(OSError):  # something that is not ours lies there: it stays
            (self.root / "logs").rmdir()
        for name in (STATE_NAME, "lock"):
            (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.root.rmdir()


@contextlib.contextmanager
def locked_state(root: Path) -> Iterator[State]:
    """The state of a root, with every other call of this script for the same root waiting.

    Raises ServiceError for a folder that holds other things: what lies in a root may be removed by `stop --wipe`.
    """
    if root.exists() and not (root / "lock").exists() and any(root.iterdir()):
        raise ServiceError(f"{root} is not empty and was not made by this script; give an empty folder with --root.")
    with exclusively(root / "lock"):
        yield State(root)


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Holds a file lock; another process that wants it waits."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it may have removed the file (stop --wipe); then this lock keeps nobody out.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return
