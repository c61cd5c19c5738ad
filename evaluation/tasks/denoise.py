"""Noise: how near the cleaned audio is to the clean original, and how it sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.items import DataUnusable, Item
from evaluation.metrics import signals
from evaluation.metrics.dnsmos import MODEL, Dnsmos
from evaluation.task import UNTOUCHED, Heard, Score
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings, load_settings


class Denoising:
    name = "denoise"
    measure = "SI-SDR (dB)"
    is_higher_better = True
    services = ("denoise",)
    stages = ("denoise",)
    needs = "clean"
    baseline = UNTOUCHED
    floor = ""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._listeners = self._load()
        if not signals.has_pesq():
            self._notes.append("PESQ is left out: its library is compiled when it is installed (pip install pesq, with a C compiler).")

    def _load(self) -> Dnsmos | None:
        registry = ModelRegistry(load_settings(PlatformSettings).models)
        try:
            return Dnsmos(registry.path(MODEL))
        except EngineUnusable as error:
            self._notes.append(f"DNSMOS is left out. {error}")
            return None

    def suits(self, item: Item) -> bool:
        return item.clean is not None

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [self._score(one) for one in heard]

    def _score(self, heard: Heard) -> Score:
        clean, cleaned = heard.item.clean_samples(), heard.outcome.samples
        if clean is None:
            raise DataUnusable(f"'{heard.item.name}' has no clean reference.")
        figures = self._figures(clean, cleaned)
        if heard.item.clean == heard.item.audio:  # clean already: nothing was to be gained, and a distance to itself is no figure
            size = min(clean.size, cleaned.size)
            figures["share of samples untouched"] = float(np.mean(clean[:size] == cleaned[:size]))
            return Score(heard.item, 0.0, 0.0, {f"clean in: {name}": value for name, value in figures.items()})
        ratio_db = signals.si_sdr_db(clean, cleaned)
        figures["SI-SDR gain (dB)"] = ratio_db - signals.si_sdr_db(clean, heard.samples)
        return Score(heard.item, ratio_db, 1.0, figures)

    def _figures(self, clean: Float32Array, cleaned: Float32Array) -> dict[str, float]:
        found: dict[str, float | None] = {"STOI": signals.stoi(clean, cleaned)}
        if signals.has_pesq():
            found["PESQ"] = signals.pesq(clean, cleaned)
        if self._listeners is not None:
            found |= {f"DNSMOS {name}": value for name, value in self._listeners.rate(cleaned).items()}
        return {name: value for name, value in found.items() if value is not None}

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:  # noqa: ARG002  # the unprocessed audio is the floor, and a system of its own
        return []

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:  # noqa: ARG002  # the means of the figures say it
        return {}

    def notes(self) -> list[str]:
        return self._notes
