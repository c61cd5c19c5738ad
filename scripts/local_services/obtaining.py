"""Getting the programs: jars from Maven, the S3 gateway from the Go module proxy, the rest from Debian's packages.

What is fetched or built lies in the user's cache folder under a name that changes with its version, is put there in
one step when it is complete, and is shared by all roots.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local_services.processes import ServiceError, log_tail
from local_services.state import exclusively

KAFKA_VERSION = "4.1.1"
GATEWAY_VERSION = "v1.8.0"
KAFKA_POM = Path(__file__).resolve().parent.parent / "kafka-pom.xml"

Report = Callable[[str], None]
_package_installation = threading.Lock()


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/voxrelay`, or `~/.cache/voxrelay`. A relative XDG_CACHE_HOME does not count, as its standard says."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    parent = Path(configured) if os.path.isabs(configured) else Path.home() / ".cache"
    return parent / "voxrelay"


def process_environment(**more: str) -> dict[str, str]:
    """This process's environment with HOME set, which Maven and Go need and a bare container may lack."""
    return {"HOME": str(Path.home()), **os.environ, **more}


def required_program(name: str, remedy: str) -> str:
    """The full path of a program; raises ServiceError saying what to install where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise ServiceError(f"The program {name!r} was not found. {remedy}")
    return found


def kafka_jars(report: Report) -> Path:
    """The folder with Kafka's jars, fetched with Maven where the cache has none."""
    digest = hashlib.sha256(KAFKA_POM.read_bytes()).hexdigest()[:8]
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}-{digest}"
    if folder.exists():
        return folder
    maven = required_program("mvn", "Kafka's jars come through Maven: install it (Debian: apt-get install maven).")
    with exclusively(cache_folder() / "kafka.lock"):
        if folder.exists():
            return folder
        report("fetching jars with Maven (first time only, about 20 s, 54 MB)")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="kafka-partial-") as partial:
            jars = Path(partial) / "jars"
            run_step(
                [maven, "-q", "-B", "-f", KAFKA_POM, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
                folder=Path(partial),
                log_path=cache_folder() / "kafka-fetch.log",
                environment=process_environment(),
                remedy="Check that Maven reaches its repository (network, proxy, ~/.m2/settings.xml), then run it again.",
            )
            count = len(list(jars.glob("*.jar")))
            jars.rename(folder)
        report(f"fetched {count} jars in {time.monotonic() - started:.1f} s")
    return folder


def s3_gateway(report: Report) -> Path:
    """The VersityGW program, built with Go where the cache has none."""
    program = cache_folder() / f"versitygw-{GATEWAY_VERSION}"
    if program.exists():
        return program
    go = required_program("go", "The S3 gateway is built with Go 1.25 or later: install it, and put it on PATH.")
    with exclusively(cache_folder() / "versitygw.lock"):
        if program.exists():
            return program
        report("building the S3 gateway with Go (first time only, about 100 s on two cores)")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="versitygw-partial-") as partial:
            run_step(
                [go, "install", f"github.com/versity/versitygw/cmd/versitygw@{GATEWAY_VERSION}"],
                folder=Path(partial),
                log_path=cache_folder() / "versitygw-build.log",
                # Without cgo, as its own image is built: no C compiler needed.
                environment=process_environment(GOBIN=partial, CGO_ENABLED="0"),
                remedy="Check that Go (1.25 or later) reaches its module proxy (go env GOPROXY), then run it again.",
            )
            (Path(partial) / "versitygw").rename(program)
        report(f"built the S3 gateway in {time.monotonic() - started:.1f} s")
    return program


def postgres_programs(report: Report, major_version: str | None = None) -> Path:
    """The folder with `initdb` and `postgres`: Debian's newest, or the given major version; installed where root may."""
    found = _installed_postgres(major_version)
    if found is None and major_version is not None:
        raise ServiceError(
            f"The data folder was made by PostgreSQL {major_version}, which is no longer installed. "
            "Install it, or drop the data with: scripts/services stop --only postgres --wipe"
        )
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install_packages(["postgresql"], report)
        found = _installed_postgres(None)
    if found is None:
        raise ServiceError(
            "PostgreSQL's server programs were not found. Install them (Debian: sudo apt-get install postgresql), "
            "or put the folder that holds initdb on PATH."
        )
    return found


def _installed_postgres(major_version: str | None) -> Path | None:
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    folders.sort(key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0, reverse=True)
    if major_version is not None:
        folders = [folder for folder in folders if folder.parent.name == major_version]
    if folders:
        return folders[0]
    # Elsewhere than on Debian there is one version, and the server itself refuses data of another.
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def prometheus_programs(report: Report) -> Path:
    """The folder with `prometheus` and `promtool`: those on PATH, or Debian's package, unpacked in the cache without installing anything."""
    on_path = shutil.which("prometheus"), shutil.which("promtool")
    if all(on_path):
        return Path(str(on_path[0])).resolve().parent
    required_program("apt-get", "Prometheus is unpacked from Debian's package: put prometheus and promtool on PATH.")
    with exclusively(cache_folder() / "prometheus.lock"):
        unpacked = sorted(cache_folder().glob("prometheus-*/usr/bin/promtool"))
        if unpacked:
            return unpacked[-1].parent
        report("fetching Debian's package of Prometheus (first time only, 19 MB)")
        log_path = cache_folder() / "prometheus-fetch.log"
        remedy = "As root, run: apt-get update. Or put prometheus and promtool on PATH."
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="partial-prometheus-") as partial:
            if os.geteuid() == 0 and _has_no_lists():
                run_step(["apt-get", "update"], Path(partial), log_path, process_environment(), remedy)
            run_step(["apt-get", "download", "prometheus"], Path(partial), log_path, process_environment(), remedy)
            package = next(Path(partial).glob("prometheus_*.deb"))
            version = package.name.split("_")[1].replace("%2b", "+")
            run_step(["dpkg-deb", "-x", package, Path(partial) / "files"], Path(partial), log_path, process_environment(), remedy)
            folder = cache_folder() / f"prometheus-{version}"
            (Path(partial) / "files").rename(folder)
    return folder / "usr" / "bin"


def _has_no_lists() -> bool:
    """Whether apt knows of no packages yet, as in a fresh container."""
    return not any(Path("/var/lib/apt/lists").glob("*_Packages*"))


def install_packages(names: Sequence[str], report: Report) -> None:
    """Installs Debian packages as root. Raises ServiceError when apt refuses."""
    with _package_installation:
        report(f"installing {', '.join(names)} with apt-get")
        started = time.monotonic()
        log_path = cache_folder() / f"install-{names[0]}.log"
        environment = process_environment(DEBIAN_FRONTEND="noninteractive")
        remedy = f"As root, run: apt-get update && apt-get install {' '.join(names)}"
        wait_for_lock = ["-o", "DPkg::Lock::Timeout=300"]
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *names]):
            run_step(["apt-get", *wait_for_lock, *arguments], Path("/"), log_path, environment, remedy)
        report(f"installed {', '.join(names)} in {time.monotonic() - started:.1f} s")


def run_step(command: Sequence[str | Path], folder: Path, log_path: Path, environment: Mapping[str, str], remedy: str) -> None:
    """Runs one command to its end, its output in a log of its own. Raises ServiceError with the end of the log and the remedy when it fails."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        finished = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            check=False,
        )
    if finished.returncode != 0:
        line = " ".join(str(part) for part in command)
        raise ServiceError(f"{line}\nended with {finished.returncode}:\n{log_tail(log_path)}\n{remedy}")
