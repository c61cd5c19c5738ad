"""PostgreSQL: Debian's server on a data folder of its own, passwords on loopback, nothing but TCP."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from local_services.obtaining import Report, postgres_programs, process_environment
from local_services.processes import ServiceError, launch, log_tail, start_time_ticks
from local_services.state import ServiceRecord

SERVER_USER = "postgres"
ROLE = DATABASE = "voxrelay"
ACCESS_RULES = "# Written by scripts/services: passwords, from this machine only.\nhost all all 127.0.0.1/32 scram-sha-256\n"


class Postgres:
    """One server with the role and the database `voxrelay`. The role may create databases, one for each test.

    The server refuses to run as root, so root runs it as the user `postgres`.
    """

    name = "postgres"
    # A fast shutdown. SIGTERM would wait until the last client has gone by itself.
    stop_signal = signal.SIGINT
    start_limit_s = 60.0
    has_fixed_ports = False

    def __init__(self, root: Path, record: ServiceRecord, log_path: Path) -> None:
        self._root = root
        self._record = record
        self._log_path = log_path
        self._user = SERVER_USER if os.geteuid() == 0 else None

    def obtain(self, report: Report) -> None:
        """Finds the server's programs, or installs them as root. Raises ServiceError."""
        postgres_programs(report, self._data_version())

    def prepare(self, report: Report) -> None:
        """Makes the data folder with role and database where it is new."""
        settings = self._record.settings
        settings.setdefault("password", secrets.token_hex(16))
        if "folder" not in settings:
            settings["folder"] = str(self._choose_folder())
        data = self._data()
        if data.exists():
            self._remove_stale_process_file(data)
            return
        programs = postgres_programs(report)
        # Made beside its place and renamed when complete, so that an interrupted start leaves nothing half made.
        partial = data.with_name("data.partial")
        if partial.exists():
            shutil.rmtree(partial)
        self._run(
            programs / "initdb",
            *("-D", str(partial), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
        )
        access = partial / "pg_hba.conf"
        access.write_text(ACCESS_RULES)
        # pg_signal_backend: a database is not dropped, WITH (FORCE) neither, while autovacuum is in it, unless by who may signal its process.
        statements = (
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{settings['password']}' IN ROLE pg_signal_backend\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        )
        # Single-user mode needs no running server and no password of the superuser, who cannot log in at all.
        self._run(programs / "postgres", "--single", "-F", "-D", str(partial), "postgres", typed=statements)
        partial.rename(data)

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the server and returns at once."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._record.port),
            "unix_socket_directories": "",
            # Survives a killed server, not a power cut; test data needs no more, and it is several times as fast.
            "fsync": "off",
            "full_page_writes": "off",
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        programs = postgres_programs(lambda _: None, self._data_version())
        command: list[str | Path] = [programs / "postgres", "-D", self._data(), *arguments]
        return launch(command, self._log_path, process_environment(), self._data().parent, self._user)

    def answers(self) -> bool:
        """Whether the server takes connections."""
        programs = postgres_programs(lambda _: None, self._data_version())
        command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._record.port), "-t", "2"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0

    def environment(self) -> dict[str, str]:
        """What a program needs to reach it."""
        password = self._record.settings.get("password", "")
        return {"VOXRELAY_DATABASE_URL": f"postgresql+psycopg://{ROLE}:{password}@127.0.0.1:{self._record.port}/{DATABASE}"}

    def data_folders(self) -> list[Path]:
        """What `stop --wipe` removes."""
        folder = self._record.settings.get("folder")
        return [Path(folder)] if folder else []

    def _data(self) -> Path:
        return Path(self._record.settings["folder"]) / "data"

    def _data_version(self) -> str | None:
        if "folder" not in self._record.settings:
            return None
        version = self._data() / "PG_VERSION"
        return version.read_text().strip() if version.exists() else None

    def _choose_folder(self) -> Path:
        """A folder the server's user can reach: in the root, or in /var/tmp where the root lies in a private folder."""
        folder = self._root / self.name
        if self._user is None:
            folder.mkdir(mode=0o700, exist_ok=True)
            return folder
        try:
            account = pwd.getpwnam(SERVER_USER)
        except KeyError as error:
            raise ServiceError(
                f"PostgreSQL does not run as root and there is no user {SERVER_USER!r}; "
                "install Debian's postgresql package, which makes it, or call this script as an ordinary user."
            ) from error
        reachable = subprocess.run(["test", "-x", str(self._root)], user=SERVER_USER, group=SERVER_USER, extra_groups=[], check=False)
        if reachable.returncode == 0:
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="voxrelay-postgres-", dir="/var/tmp"))
        os.chown(folder, account.pw_uid, account.pw_gid)
        return folder

    def _remove_stale_process_file(self, data: Path) -> None:
        """A killed server leaves its pid behind, and the next one refuses to start while that pid is taken.

        It is taken for a while where nobody collects the dead process, as with some first processes of a container.
        """
        process_file = data / "postmaster.pid"
        if not process_file.exists():
            return
        pid = int(process_file.read_text().split()[0])
        # Somebody may have started a server on this folder by hand: that one is left alone, and this start fails.
        if start_time_ticks(pid) is None or Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
            process_file.unlink()

    def _run(self, program: Path, *arguments: str, typed: str = "") -> None:
        with self._log_path.open("ab") as log:
            finished = subprocess.run(
                [str(program), *arguments],
                input=typed.encode(),
                stdout=log,
                stderr=log,
                cwd=self._record.settings["folder"],
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                check=False,
            )
        if finished.returncode != 0:
            raise ServiceError(
                f"{program.name} ended with {finished.returncode}:\n{log_tail(self._log_path)}\n"
                "Drop what it made with: scripts/services stop --only postgres --wipe"
            )
