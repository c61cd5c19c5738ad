"""Models come whole and right or not at all, go on where they stopped, and what was there stays."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.unit.models.hub import Hub, serving
from voxrelay.cli.app import app
from voxrelay.cli.console import Failure
from voxrelay.engines import EngineUnusable
from voxrelay.models import catalogue, downloads, registry
from voxrelay.models.catalogue import CATALOGUE, ModelEntry, ModelFile, problem_of
from voxrelay.models.pickles import holds_pickle
from voxrelay.models.registry import ModelRegistry, PullFailed
from voxrelay.models.sources import Hub as HubAddress

WEIGHTS = bytes(range(256)) * 12_000  # 3 MB: several pieces
CONFIG = b'{"rate_hz": 16000}'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(source: str, **changes: object) -> ModelEntry:
    files = (ModelFile("weights.onnx", sha256(WEIGHTS), len(WEIGHTS)), ModelFile("config/rate.json", sha256(CONFIG), len(CONFIG)))
    made = ModelEntry("tiny", "transcribe", "scripted", source, "MIT", "a tiny model", files, ("en",))
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    with serving(Hub()) as served:
        served.files["org/tiny", "0abc", "weights.onnx"] = WEIGHTS
        served.files["org/tiny", "0abc", "config/rate.json"] = CONFIG
        yield served


def known(monkeypatch: pytest.MonkeyPatch, *entries: ModelEntry) -> None:
    monkeypatch.setattr(registry, "CATALOGUE", (*CATALOGUE, *entries))


def models(folder: Path, hub: Hub | None = None, token: str = "") -> ModelRegistry:
    return ModelRegistry(folder, HubAddress(hub.url, token) if hub else None)


def test_the_catalogue_is_sound() -> None:
    assert [problem_of(one) for one in CATALOGUE if problem_of(one)] == []
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
    for one in CATALOGUE:
        is_address = one.source.startswith("https://")  # it tells its sizes when it is asked, and the checksums are its revision
        assert all(file.sha256 and (file.size_bytes or is_address) for file in one.files)
        assert one.revision or one.source == "engine" or is_address


def test_a_model_comes_from_a_hub_with_progress(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    seen: list[tuple[str, int, int]] = []
    models(tmp_path, hub).pull("tiny", lambda *what: seen.append(what))
    here = models(tmp_path).path("tiny")
    assert (here / "weights.onnx").read_bytes() == WEIGHTS
    assert (here / "config" / "rate.json").read_bytes() == CONFIG
    assert ("weights.onnx", len(WEIGHTS), len(WEIGHTS)) in seen
    assert sorted(path.name for path in here.iterdir() if path.is_dir()) == ["config"]  # no parts are left
    requests = len(hub.ranges)
    models(tmp_path, hub).pull("tiny")
    assert len(hub.ranges) == requests  # what is here is left alone


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    hub.cut_after = [1_000_000] * downloads.ATTEMPTS
    hub.cut_after[-1] = 200_000
    with pytest.raises(PullFailed, match=r"stopped after 2\.2 MB of 3\.1 MB; run it again and it goes on from there") as failure:
        models(tmp_path, hub).pull("tiny")
    assert "\n" not in str(failure.value)
    assert not models(tmp_path).is_installed("tiny")
    models(tmp_path, hub).pull("tiny")
    assert hub.ranges[: downloads.ATTEMPTS + 1] == [None, "bytes=1000000-", "bytes=2000000-", "bytes=2200000-"]
    assert models(tmp_path).verify("tiny")


def test_a_server_that_cannot_resume_starts_over(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    hub.can_resume = False
    hub.cut_after = [1_000_000]
    models(tmp_path, hub).pull("tiny")
    assert models(tmp_path).verify("tiny")


def test_a_gated_model_says_what_to_do_and_the_token_stays_with_the_hub(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    hub.gated.add("org/tiny")
    with pytest.raises(PullFailed, match=f"Accept the model's terms at {hub.url}/org/tiny and set VOXRELAY_MODELS_TOKEN"):
        models(tmp_path, hub).pull("tiny")
    models(tmp_path, hub, hub.token).pull("tiny")
    assert models(tmp_path).verify("tiny")
    assert set(hub.keys_at_storage) == {None}  # the redirect leads to another host


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("hf:org/tiny@1111", "has no such file or revision"),
        ("hf:org/other", "is no source"),
        ("ftp://somewhere/weights.onnx", "is no source"),
        ("http://models.example/weights.onnx", "over https only"),
        ("folder:/nowhere/at/all", "There is no file"),
    ],
)
def test_a_source_that_does_not_work_is_one_sentence(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str) -> None:
    known(monkeypatch, entry(source))
    with pytest.raises(PullFailed, match=sentence) as failure:
        models(tmp_path, hub).pull("tiny")
    assert "\n" not in str(failure.value)


def test_a_wrong_checksum_keeps_what_was_there(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    models(tmp_path, hub).pull("tiny")
    newer = (ModelFile("weights.onnx", sha256(b"newer"), len(WEIGHTS)), ModelFile("config/rate.json", sha256(CONFIG), len(CONFIG)))
    known(monkeypatch, entry("hf:org/tiny@0abc", files=newer))
    with pytest.raises(PullFailed, match=r"weights\.onnx of 'tiny' came with another checksum than it should have; it was not kept"):
        models(tmp_path, hub).pull("tiny")
    with pytest.raises(EngineUnusable, match="voxrelay models pull tiny"):
        models(tmp_path).path("tiny")
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    assert (models(tmp_path).path("tiny") / "weights.onnx").read_bytes() == WEIGHTS


def test_more_than_the_catalogue_says_is_not_kept(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc", files=(ModelFile("weights.onnx", sha256(WEIGHTS), 1_500_000),)))
    with pytest.raises(PullFailed, match=r"sends more than the 1\.5 MB it should"):
        models(tmp_path, hub).pull("tiny")
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_changed_behind_our_back_is_noticed(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc"))
    models(tmp_path, hub).pull("tiny")
    (tmp_path / "tiny" / "config" / "rate.json").write_bytes(CONFIG.replace(b"16000", b"48000"))
    with pytest.raises(EngineUnusable, match="not what the catalogue names"):
        models(tmp_path).path("tiny")
    models(tmp_path, hub).pull("tiny")
    assert models(tmp_path).verify("tiny")


def test_a_licence_must_be_accepted_where_the_catalogue_says_so(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, entry("hf:org/tiny@0abc", must_accept_licence=True, licence="Community Licence", licence_url="https://models.example/terms"))
    with pytest.raises(PullFailed, match=r"under the Community Licence \(https://models\.example/terms\): read it"):
        models(tmp_path, hub).pull("tiny")
    assert not hub.ranges
    models(tmp_path, hub).pull("tiny", is_licence_accepted=True)
    assert models(tmp_path).verify("tiny")


# --- models of one's own -------------------------------------------------------------------------------------------------


def test_a_folder_is_added_with_all_its_files(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    (source / "config").mkdir(parents=True)
    (source / "weights.onnx").write_bytes(WEIGHTS)
    (source / "config" / "rate.json").write_bytes(CONFIG)
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("ref")
    wanted = ModelEntry("mine", "transcribe", "scripted", f"folder:{source}", "MIT", "", options={"beam_hmms": 500})
    added = models(tmp_path / "models").add(wanted)
    assert [(file.path, file.size_bytes) for file in added.files] == [("config/rate.json", len(CONFIG)), ("weights.onnx", len(WEIGHTS))]
    again = models(tmp_path / "models")
    assert again.entry("mine") == added
    assert again.digest("mine") == added.digest != ""
    assert (again.path("mine") / "weights.onnx").read_bytes() == WEIGHTS
    again.remove("mine")
    with pytest.raises(EngineUnusable, match="There is no model 'mine'"):
        again.entry("mine")


def test_what_is_added_from_a_hub_is_pinned_to_what_came(tmp_path: Path, hub: Hub) -> None:
    wanted = ModelEntry("mine", "transcribe", "scripted", "hf:org/tiny@0abc", "MIT", "", (ModelFile("weights.onnx", ""),))
    assert models(tmp_path, hub).add(wanted).files == (ModelFile("weights.onnx", sha256(WEIGHTS), len(WEIGHTS)),)
    assert models(tmp_path).path("mine").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "../up"}, "cannot be a model's name"),
        ({"name": "ge2e"}, "is in the catalogue"),
        ({"task": "cook"}, "There is no task 'cook'"),
        ({"files": (ModelFile("../../etc/passwd", ""),)}, "cannot be a model's file"),
        ({"files": (ModelFile("/etc/passwd", ""),)}, "cannot be a model's file"),
        ({"files": (ModelFile("weights.onnx", "abc"),)}, "is no SHA-256"),
        ({"files": ()}, "Name the model's files with --file"),
    ],
)
def test_what_cannot_be_added_is_one_sentence(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(PullFailed, match=sentence):
        models(tmp_path).add(entry("hf:org/tiny@0abc", **changes))
    assert not list(tmp_path.rglob(".added.json"))


# --- pickles -------------------------------------------------------------------------------------------------------------


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a pickle ran",)


def _zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _compressed(content: bytes) -> list[bytes]:
    import bz2
    import gzip
    import lzma
    import zlib

    return [gzip.compress(content), bz2.compress(content), lzma.compress(content), zlib.compress(content)]


_PROTOCOLS = [pickle.dumps(_Runs(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
PICKLES = [*_PROTOCOLS, *_compressed(_PROTOCOLS[-1]), _zipped("model/data.pkl", b"x"), _zipped("model/weights", _PROTOCOLS[2])]
PICKLES += [_saved(np.array([_Runs()])), _zipped("objects.npy", _saved(np.array([{}])))]
HARMLESS = [b"", b"cat\ndog\nbird\n", b"Running on\nand on.", CONFIG, WEIGHTS, _saved(np.zeros(3)), _zipped("a.npy", _saved(np.zeros(3)))]
HARMLESS += [*_compressed(CONFIG), b"\x08\x07\x12\x04onnx", b"GGUF\x03\x00", b"PK\x03\x04 and no archive"]


@pytest.mark.parametrize("content", PICKLES, ids=range(len(PICKLES)))
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "weights.onnx"
    source.write_bytes(content)
    wanted = ModelEntry("mine", "transcribe", "scripted", f"folder:{source}", "MIT", "")
    with pytest.raises(PullFailed, match=r"weights\.onnx of 'mine' is a Python pickle, which could run anything; it was not kept"):
        models(tmp_path / "models").add(wanted)
    assert not list((tmp_path / "models").rglob("weights*"))
    assert "a pickle ran" not in capfd.readouterr().out


@pytest.mark.parametrize("content", HARMLESS, ids=range(len(HARMLESS)))
def test_what_only_looks_like_a_pickle_is_taken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not holds_pickle(tmp_path / "file")


def test_a_torch_file_is_taken_where_the_catalogue_says_that_it_is_read_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "weights.onnx"
    source.write_bytes(_PROTOCOLS[2])
    allowed = ModelFile("weights.onnx", sha256(_PROTOCOLS[2]), len(_PROTOCOLS[2]), may_be_pickle=True)
    known(monkeypatch, entry(f"folder:{source}", files=(allowed,)))
    models(tmp_path / "models").pull("tiny")
    assert models(tmp_path / "models").path("tiny").read_bytes() == _PROTOCOLS[2]


# --- the commands --------------------------------------------------------------------------------------------------------


def test_the_commands_from_adding_to_removing(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path))
    monkeypatch.setenv("VOXRELAY_MODELS_HUB", hub.url)
    monkeypatch.delenv("VOXRELAY_KAFKA_BOOTSTRAP", raising=False)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["models", *arguments])
        if isinstance(result.exception, Failure):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    what = ["--task", "transcribe", "--engine", "scripted", "--licence", "MIT", "--option", "beam_hmms=500", "--option", "fast=true"]
    run("add", "mine", *what, "--source", "hf:org/tiny@0abc", "--file", f"weights.onnx={sha256(WEIGHTS)}", "--file", "config/rate.json")
    shown = json.loads(run("show", "mine", "--json"))
    assert (shown["revision"], shown["is_installed"], shown["options"]) == ("0abc", True, {"beam_hmms": 500, "fast": True})
    assert "weights.onnx" in run("show", "mine")
    listed = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert listed["mine"]["size_bytes"] == len(WEIGHTS) + len(CONFIG)
    assert set(listed) == {one.name for one in catalogue.CATALOGUE} | {"mine"}
    assert "mine" in run("list", "--task", "transcribe")
    assert "mine" not in run("list", "--task", "denoise")
    run("verify", "mine")
    (tmp_path / "mine" / "weights.onnx").write_bytes(b"damaged")
    with pytest.raises(Failure, match="Not as they should be: mine"):
        run("verify")
    run("pull", "mine")
    run("verify")
    run("remove", "mine")
    assert "mine" not in run("list")
