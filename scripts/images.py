"""Plays deploy/Dockerfile without Docker: every COPY and pip line of the building stages in fresh folders, then each image's command.

    python scripts/images.py [IMAGE ...]      # the seven services; the images for GPUs and of Whisper, gigabytes, only where they are named
    python scripts/images.py transcribe-faster-whisper --models FOLDER --model NAME       # with these weights instead of those of the model hub

What it shows: the pinned set of every image resolves and installs alone, without a compiler; the weights come and are the right ones; the
service starts from these packages only, in an empty folder, and answers the image's own health check; SIGTERM ends it with status 0. What it
cannot show: the layers, the user and the read-only root of a real image. Needs Python 3.11 and the package index, 2 GB in the scratch folder.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dockerfile
from local_services.processes import free_port
from local_services.stack import SERVICES

REPOSITORY = Path(__file__).resolve().parent.parent
MAPPED = ("/opt/voxrelay", "/wheels", "/models", "/source", "/data")  # folders of an image, which lie under one folder of ours here
ALIVE_WITHIN_S = 120.0
ENDED_WITHIN_S = 60.0
INDEX_VARIABLES = ("PIP_INDEX", "PIP_EXTRA", "PIP_TRUSTED", "SSL_", "HTTP", "http")
SOME_KEY = "vr_" + "0" * 43


class Failed(Exception):
    """A step of an image did not work; the message has the step and its output."""


class Images:
    """The stages that were played, each in a folder of its own under ``root``."""

    def __init__(self, root: Path, models: Path | None = None, model: str = "") -> None:
        """``models`` stands in for the weights of every image, as the registry lays them out; ``model`` is what transcribe takes of them."""
        self._root, self._models, self._model = root, models, model
        self._file = dockerfile.read()
        self._tools = root / "tools"
        self._run([sys.executable, "-m", "venv", str(self._tools)], {})

    def play(self, name: str) -> Path:
        """The folder of a building stage; a stage starts as a copy of the one it is made from."""
        folder = self._root / name
        if folder.exists():
            return folder
        stage = self._file.stages[name]
        source = folder / "source"
        if stage.base in self._file.stages:
            shutil.copytree(self.play(stage.base), folder, symlinks=True)
        source.mkdir(parents=True, exist_ok=True)
        for instruction in stage.instructions:
            if instruction.keyword == "COPY" and not instruction.flags:
                self._copy(shlex.split(instruction.rest), source)
            elif instruction.keyword == "RUN":
                mounted = {mount["target"]: self.play(mount["from"]) for mount in self._mounts(instruction)}
                self._shell(name, instruction.rest, folder, mounted)
        return folder

    def run(self, service: str) -> float:
        """Starts the image's command, waits for its health check, ends it. Returns the seconds to the first healthy answer."""
        folder = self.play(f"{service}-build")
        models = self._models or self.play(self._file.weights_of(service) or "weights") / "models"
        data = self._root / f"{service}-data"
        data.mkdir()
        port = free_port()
        own = {
            "PATH": f"{folder}/opt/voxrelay/bin:/usr/bin:/bin",
            "VOXRELAY_DATA": str(data),
            "VOXRELAY_MODELS": str(models),
            "VOXRELAY_TRANSCRIBE_MODEL": self._model,
            "VOXRELAY_METRICS_PORT": str(port),
            "VOXRELAY_GRPC_PORT": str(free_port()),
            "VOXRELAY_GATEWAY_GRPC_PORT": str(free_port()),
            "VOXRELAY_GATEWAY_PORT": str(port),
            "VOXRELAY_ALIVE_PORT": str(port),
            "VOXRELAY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",  # nobody there: alive, and not ready
            "VOXRELAY_TRACES_ENDPOINT": f"http://127.0.0.1:{free_port()}",  # nobody there either; the libraries of traces are loaded
            "VOXRELAY_API_KEY": SOME_KEY,
        }
        environment = {name: value for name, value in self._file.environment(service).items() if name != "PATH"} | own
        if service in ("gateway", "projector"):
            for command in (["database", "migrate"], ["keys", "first"]):
                self._run(["voxrelay", *command], environment, data)
        command = shlex.split(self._file.setting(service, "CMD").strip("[]").replace(",", " "))
        log = data / "log"
        started = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen([f"{folder}/opt/voxrelay/bin/python", *command[1:]], env=environment, cwd=data, stdout=output, stderr=output)
        try:
            while not self._is_alive(environment):
                if process.poll() is not None or time.monotonic() - started > ALIVE_WITHIN_S:
                    raise Failed(f"{service} does not answer its health check:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
            seconds = time.monotonic() - started
            process.send_signal(signal.SIGTERM)
            status = process.wait(ENDED_WITHIN_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status != 0:
            raise Failed(f"{service} ended with {status} after SIGTERM:\n{log.read_text()[-3000:]}")
        return seconds

    def megabytes(self, service: str) -> float:
        """What the packages of an image take."""
        folder = self.play(f"{service}-build") / "opt"
        return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 1e6

    def drop(self, service: str) -> None:
        shutil.rmtree(self._root / f"{service}-build")

    def _is_alive(self, environment: dict[str, str]) -> bool:
        return subprocess.run([sys.executable, REPOSITORY / "deploy/alive.py"], env=environment, check=False).returncode == 0

    def _mounts(self, instruction: dockerfile.Instruction) -> list[dict[str, str]]:
        return [dict(part.split("=", 1) for part in flag.removeprefix("--mount=").split(",")) for flag in instruction.flags if "--mount=" in flag]

    def _copy(self, words: list[str], source: Path) -> None:
        *names, target = words
        for name in names:
            place = source / target / Path(name).name if target.endswith(("/", ".")) else source / target
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(REPOSITORY / name, place)

    def _shell(self, name: str, command: str, folder: Path, mounted: dict[str, Path]) -> None:
        environment = {**self._file.environment(name), "PATH": f"{self._tools}/bin:/usr/bin:/bin"}
        for place in MAPPED:
            here = f"{mounted.get(place, folder)}{place}"
            command = command.replace(place, here)
            environment = {variable: value.replace(place, here) for variable, value in environment.items()}
        self._run(["/bin/sh", "-ec", command], environment, folder / "source")

    def _run(self, command: list[str], environment: dict[str, str], folder: Path | None = None) -> None:
        index = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_INDEX", "PIP_EXTRA", "PIP_TRUSTED", "SSL_", "HTTP", "http"))
        }
        home = {"HOME": os.environ.get("HOME", "/tmp")}  # noqa: S108  # pip reads its index from there
        program = shutil.which(command[0], path=environment.get("PATH")) or command[0]
        done = subprocess.run([program, *command[1:]], env=home | index | environment, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{shlex.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")


def main() -> int:
    if sys.version_info[:2] != (3, 11):
        print("The images have Python 3.11: run this with it.", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=list(SERVICES), metavar="IMAGE")
    parser.add_argument("--models", type=Path, help="folder of weights instead of those the Dockerfile fetches")
    parser.add_argument("--model", default="", help="which of them transcribe is to take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxrelay-images-") as scratch:
        try:
            images = Images(Path(scratch), arguments.models, arguments.model)
            print(f"{'image':30}{'packages MB':>12}{'healthy s':>12}")
            for service in arguments.images:
                seconds = images.run(service)
                print(f"{service:30}{images.megabytes(service):12.0f}{seconds:12.1f}", flush=True)
                if service != "projector":  # the weights' stage is made from it
                    images.drop(service)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
