"""Writes requirements/<service>.txt, what one image installs: the closure of the service's extras at the versions of constraints.txt.

`make fmt` runs it, a test compares. Works offline, from the metadata of what is installed in the environment it runs in, which has all extras.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "requirements"
HEAD = "# What the image of {service} installs: extras {extras} of pyproject.toml at the versions of constraints.txt. Made by `make fmt`.\n"
# The extras of pyproject.toml behind each image. The projector's image also runs `voxrelay topics`, `database` and `keys`.
EXTRAS = {
    "gateway": ("kafka", "tracing", "gateway", "storage"),
    "denoise": ("kafka", "tracing", "denoise"),
    "denoise-gpu": ("kafka", "tracing", "denoise"),
    "diarize": ("kafka", "tracing"),
    "transcribe": ("kafka", "tracing", "transcribe"),
    "transcribe-faster-whisper": ("kafka", "tracing", "faster-whisper"),
    "transcribe-faster-whisper-gpu": ("kafka", "tracing", "faster-whisper"),
    "classify": ("kafka", "tracing", "classify"),
    "synth": ("kafka", "tracing", "synth"),
    "projector": ("kafka", "tracing", "storage"),
}
# What an image for GPUs has besides, from a file of its own, and in place of what.
OF_GPU = {"denoise-gpu": ("onnxruntime-gpu.txt", {"onnxruntime"}), "transcribe-faster-whisper-gpu": ("ctranslate2-gpu.txt", set[str]())}
# Images run on Linux with the Python of deploy/Dockerfile, whatever machine this runs on.
IMAGE_ENVIRONMENT = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64", "python_version": "3.11"}


def pinned_versions(file: str = "constraints.txt") -> dict[str, str]:
    """Canonical name to version, as a file has them."""
    lines = (FOLDER / file).read_text().splitlines()
    return {canonicalize_name(name): version for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", "\n".join(lines), re.MULTILINE)}


def closure(wanted: list[Requirement]) -> set[str]:
    """Canonical names of everything these requirements bring along. Raises PackageNotFoundError for one that is not installed here."""
    found: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in wanted]
    while waiting:
        requirement, of_extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate(IMAGE_ENVIRONMENT | {"extra": of_extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            waiting += [(Requirement(line), extra) for line in distribution(name).requires or ()]
    return {name for name, _ in found}


def requirements_of(service: str) -> str:
    """The file's text."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS[service] for line in project["optional-dependencies"][extra])]
    versions = pinned_versions()
    names = closure([Requirement(line) for line in lines])
    if service in OF_GPU:
        file, replaced = OF_GPU[service]
        of_gpu = pinned_versions(file)
        names = names - replaced | of_gpu.keys()
        versions |= of_gpu
    missing = [name for name in sorted(names) if name not in versions]
    if missing:
        raise SystemExit(f"requirements/constraints.txt does not pin {', '.join(missing)}: add them.")
    return HEAD.format(service=service, extras=", ".join(EXTRAS[service])) + "".join(f"{name}=={versions[name]}\n" for name in sorted(names))


def main() -> None:
    for service in EXTRAS:
        (FOLDER / f"{service}.txt").write_text(requirements_of(service))


if __name__ == "__main__":
    sys.exit(main())
