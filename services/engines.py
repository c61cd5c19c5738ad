"""``python -m services.engines``: the engines that the settings name, with the models they take, and whether their libraries can be loaded, as JSON.

Nothing is started.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.classify.engine import ACOUSTIC_ENGINES, TEXT_ENGINES
from services.classify.engine import EXTRAS as CLASSIFY_EXTRAS
from services.classify.settings import ClassifySettings
from services.denoise.compose import WITH_WEIGHTS as SUPPRESSOR_MODELS
from services.denoise.engine import DETECTORS
from services.denoise.engine import ENGINES as SUPPRESSORS
from services.denoise.settings import DenoiseSettings
from services.diarize.compose import RECOMMENDED as EMBEDDER_MODELS
from services.diarize.engine import ENGINES as EMBEDDERS
from services.diarize.engine import EXTRAS as DIARIZE_EXTRAS
from services.diarize.settings import DiarizeSettings
from services.synth.compose import RECOMMENDED as SYNTHESIZER_MODELS
from services.synth.engine import ENGINES as SYNTHESIZERS
from services.synth.engine import EXTRAS as SYNTH_EXTRAS
from services.synth.settings import SynthSettings
from services.transcribe.compose import RECOMMENDED as TRANSCRIBER_MODELS
from services.transcribe.engine import ENGINES as TRANSCRIBERS
from services.transcribe.engine import EXTRAS as TRANSCRIBE_EXTRAS
from services.transcribe.settings import TranscribeSettings
from voxrelay.engines import EngineUnusable, adapter
from voxrelay.settings import Settings, load_settings

EXTRAS = {**CLASSIFY_EXTRAS, **DIARIZE_EXTRAS, **TRANSCRIBE_EXTRAS, **SYNTH_EXTRAS}  # of an engine whose library another extra brings


class Choice(NamedTuple):
    """Where an engine is chosen: a setting of a service, one of a table; ``extra`` brings its library.

    ``model_setting`` names the engine's model; where it is empty, ``models`` has the one an engine takes. An engine in neither takes none.
    """

    capability: str
    settings: type[Settings]
    setting: str
    table: Mapping[str, str]
    extra: str
    model_setting: str = ""
    models: Mapping[str, str] = {}


CHOICES = (
    Choice("denoise", DenoiseSettings, "engine", SUPPRESSORS, "denoise", "model", SUPPRESSOR_MODELS),
    Choice("speech detection", DenoiseSettings, "detector", DETECTORS, "denoise", "detector_model"),
    Choice("diarize", DiarizeSettings, "engine", EMBEDDERS, "diarize", "model", EMBEDDER_MODELS),
    Choice("transcribe", TranscribeSettings, "engine", TRANSCRIBERS, "transcribe", "model", TRANSCRIBER_MODELS),
    Choice("classify", ClassifySettings, "acoustic_engine", ACOUSTIC_ENGINES, "classify", "model"),
    Choice("classify", ClassifySettings, "text_engine", TEXT_ENGINES, "classify"),
    Choice("synth", SynthSettings, "engine", SYNTHESIZERS, "synth", "model", SYNTHESIZER_MODELS),
)


def engines_in_use() -> Iterator[dict[str, str]]:
    """Each with its model, or an empty name, and the sentence that says what is wrong, or an empty one."""
    for choice in CHOICES:
        settings = load_settings(choice.settings)
        name = str(getattr(settings, choice.setting))
        model = str(getattr(settings, choice.model_setting, "")) or choice.models.get(name, "")
        problem = ""
        try:
            adapter(choice.capability, choice.table, name, extra=EXTRAS.get(name, choice.extra))
        except EngineUnusable as error:
            problem = str(error)
        except (ImportError, OSError) as error:  # a library that is there but broken, or lacks one of the system's
            problem = f"The library of the {choice.capability} engine '{name}' cannot be loaded ({type(error).__name__}): install it anew."
        yield {"capability": choice.capability, "engine": name, "model": model, "problem": problem}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(engines_in_use())))
