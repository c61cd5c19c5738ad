"""deploy/Dockerfile and docker-compose.yml keep what docs/operations/images.md promises of every image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import requirements_files
import yaml
from local_services.processes import free_port
from local_services.stack import SERVICES

from voxrelay.probe import Probe

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = dockerfile.read()
TARGETS = (*SERVICES, "denoise-gpu", "transcribe-faster-whisper", "transcribe-faster-whisper-gpu")


@pytest.fixture
def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    return found


def test_every_stage_starts_from_a_fixed_version_or_from_another_stage() -> None:
    for stage in IMAGES.stages.values():
        assert stage.base in IMAGES.stages or re.search(r":\d+\.\d+\.\d+-", stage.base), stage.name


@pytest.mark.parametrize("service", TARGETS)
def test_an_image_runs_its_service_as_nobody_in_particular(service: str) -> None:
    assert IMAGES.setting(service, "USER") == "10001:10001"
    assert json.loads(IMAGES.setting(service, "CMD")) == ["python", "-m", f"services.{service.partition('-')[0]}"]
    assert IMAGES.setting(service, "STOPSIGNAL") == "SIGTERM"
    assert "/opt/alive.py" in IMAGES.setting(service, "HEALTHCHECK")
    environment = IMAGES.environment(service)
    assert (environment["PYTHONUNBUFFERED"], environment["VOXRELAY_HOST"]) == ("1", "0.0.0.0")  # noqa: S104
    assert not {name for name in environment if re.search("KEY|PASSWORD|SECRET|TOKEN", name)}


@pytest.mark.parametrize("service", TARGETS)
def test_an_image_has_no_compiler_no_pip_and_only_what_was_copied(service: str) -> None:
    runs = [instruction.rest for stage in IMAGES.lineage(service) for instruction in stage.all("RUN")]
    assert all("apt-get" not in run and "pip install" not in run for run in runs)
    assert any("pip uninstall" in run for run in runs)
    copied = [instruction for stage in IMAGES.lineage(service) for instruction in stage.all("COPY")]
    assert {instruction.flag("from") for instruction in copied} <= {"", "weights", "whisper-weights", f"{service}-build"}
    assert IMAGES.stages[service].base == "runtime"


@pytest.mark.parametrize("service", TARGETS)
def test_an_image_installs_its_own_pinned_set_without_compiling(service: str) -> None:
    runs = [instruction.rest for instruction in IMAGES.stages[f"{service}-build"].all("RUN")]
    assert any(f"--requirement {service}.txt" in run for run in runs)
    assert IMAGES.environment(f"{service}-build")["PIP_ONLY_BINARY"] == ":all:"


@pytest.mark.parametrize("service", TARGETS)
def test_the_pinned_sets_are_up_to_date(service: str) -> None:
    text = (REPOSITORY / "requirements" / f"{service}.txt").read_text()
    assert text == requirements_files.requirements_of(service), "run 'make fmt'"
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.+!]+", line) for line in lines)


def test_the_gpu_image_has_the_same_packages_and_one_onnx_runtime() -> None:
    cpu, gpu = (requirements_files.pinned_versions(f"denoise{suffix}.txt") for suffix in ("", "-gpu"))
    assert cpu.items() - gpu.items() == {("onnxruntime", cpu["onnxruntime"])}
    assert gpu["onnxruntime-gpu"] == cpu["onnxruntime"]
    assert all(name.startswith("nvidia-") for name in gpu.keys() - cpu.keys() - {"onnxruntime-gpu"})
    assert IMAGES.environment("denoise-gpu")["VOXRELAY_ONNX_PROVIDER"] == "cuda"


def test_the_gpu_image_of_whisper_has_the_same_packages_and_those_of_cuda() -> None:
    cpu, gpu = (requirements_files.pinned_versions(f"transcribe-faster-whisper{suffix}.txt") for suffix in ("", "-gpu"))
    assert cpu.items() <= gpu.items()
    assert gpu.keys() - cpu.keys() == {"nvidia-cublas-cu12", "nvidia-cuda-nvrtc-cu12", "nvidia-cudnn-cu12"}
    environment = IMAGES.environment("transcribe-faster-whisper-gpu")
    assert (environment["VOXRELAY_TRANSCRIBE_ENGINE"], environment["VOXRELAY_TRANSCRIBE_DEVICE"]) == ("faster-whisper", "cuda")


def test_compose_runs_the_gpu_image_only_where_it_is_asked_for(composed: dict[str, Any]) -> None:
    container = composed["denoise-gpu"]
    assert (container["profiles"], container["build"]["target"]) == (["gpu"], "denoise-gpu")
    assert container["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_nothing_is_fetched_from_an_address() -> None:
    instructions = [instruction for stage in IMAGES.stages.values() for instruction in stage.instructions]
    assert not [instruction for instruction in instructions if instruction.keyword == "ADD" or "://" in instruction.rest]


def test_the_context_has_what_the_images_copy() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    taken = [line[1:] for line in ignored if line.startswith("!")]
    for stage in IMAGES.stages.values():
        for instruction in stage.all("COPY"):
            if not instruction.flags:
                for name in instruction.rest.split()[:-1]:
                    assert any(Path(name).match(pattern) for pattern in taken), name
                    assert (REPOSITORY / name).exists(), name


def test_the_health_check_of_an_image_tells_alive_from_dead() -> None:
    probe = Probe("127.0.0.1", 0, {})
    command = [sys.executable, str(REPOSITORY / "deploy" / "alive.py")]
    try:
        assert subprocess.run(command, env={**os.environ, "VOXRELAY_METRICS_PORT": str(probe.port)}, check=False).returncode == 0
    finally:
        probe.close()
    assert subprocess.run(command, env={**os.environ, "VOXRELAY_METRICS_PORT": str(free_port())}, check=False).returncode == 1


@pytest.mark.parametrize("service", SERVICES)
def test_compose_builds_and_confines_every_service(composed: dict[str, Any], service: str) -> None:
    container = composed[service]
    assert (container["build"]["dockerfile"], container["build"]["target"]) == ("deploy/Dockerfile", service)
    assert container["profiles"] == ["core"]
    assert (container["read_only"], container["cap_drop"], container["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert container["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}


def test_compose_prepares_topics_tables_and_the_first_key_in_this_order(composed: dict[str, Any]) -> None:
    command = composed["prepare"]["command"][-1]
    assert [part.strip() for part in command.split("&&")] == ["voxrelay topics create", "voxrelay database migrate", "voxrelay keys first"]
    assert {name for name, wait in composed["prepare"]["depends_on"].items() if wait["condition"] == "service_healthy"} == {"kafka", "postgres", "s3"}


def test_prometheus_of_compose_asks_every_service(composed: dict[str, Any]) -> None:
    (scraped,) = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "compose.yaml").read_text())["scrape_configs"]
    (targets,) = scraped["static_configs"]
    wanted = {f"{service}:{8080 if service == 'gateway' else IMAGES.environment(service)['VOXRELAY_METRICS_PORT']}" for service in SERVICES}
    assert set(targets["targets"]) == wanted
    for service in ("prometheus", "grafana"):
        for volume in composed[service]["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith("./deploy/prometheus") or (REPOSITORY / source).exists()
