"""The voices as data: ours by the names of the bundled engine, and the foreign names that select them.

A client of another service asks for a voice that is not here; it gets the one in its row: language and gender as its own are described, and
names that sound different there sound different here where there are voices enough. Any name of the engine in use may be asked for as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """``deepgram`` are the names between ``aura-`` (or ``aura-2-``) and the language."""

    name: str
    language: str
    gender: str
    openai: tuple[str, ...] = ()
    deepgram: tuple[str, ...] = ()

    @property
    def deepgram_models(self) -> list[str]:
        language = self.language.partition("-")[0]
        return [f"aura-{name}-{language}" if name in AURA_1 else f"aura-2-{name}-{language}" for name in self.deepgram]


AURA_1 = ("angus", "arcas", "asteria", "athena", "helios", "hera", "luna", "orion", "orpheus", "perseus", "stella", "zeus")
USUAL_DEEPGRAM_MODEL = "aura-asteria-en"

VOICES: tuple[Voice, ...] = (
    Voice("en-us", "en-us", "male", ("onyx",), ("orion", "atlas", "saturn")),
    Voice("en-us+m1", "en-us", "male", ("echo",), ("arcas", "apollo", "mars")),
    Voice("en-us+m2", "en-us", "male", ("ash",), ("perseus", "aries", "neptune")),
    Voice("en-us+m3", "en-us", "male", ("verse",), ("orpheus", "hermes", "odysseus")),
    Voice("en-us+m7", "en-us", "male", ("cedar",), ("zeus", "jupiter", "pluto")),
    Voice("en-us+f1", "en-us", "female", ("nova",), ("luna", "andromeda", "aurora", "callista", "cora")),
    Voice("en-us+f2", "en-us", "female", ("alloy", "coral"), ("asteria", "cordelia", "delia", "electra", "harmonia")),
    Voice("en-us+f3", "en-us", "female", ("shimmer",), ("stella", "helena", "iris", "janus", "juno")),
    Voice("en-us+f4", "en-us", "female", ("sage",), ("hera", "minerva", "ophelia", "phoebe", "amalthea")),
    Voice("en-us+f5", "en-us", "female", ("marin",), ("selene", "thalia", "theia", "vesta")),
    Voice("en-gb", "en-gb", "male", ("fable",), ("helios", "draco", "hyperion")),
    Voice("en-gb+m3", "en-gb", "male", ("ballad",), ("angus",)),
    Voice("en-gb+f2", "en-gb", "female", (), ("athena", "pandora")),
    Voice("es", "es", "male", (), ("alvaro", "nestor")),
    Voice("es+f2", "es", "female", (), ("agustina", "carina", "diana", "silvia")),
    Voice("es-419", "es-419", "male", (), ("aquila", "javier", "luciano", "sirio", "valerio")),
    Voice("es-419+f2", "es-419", "female", (), ("antonia", "celeste", "estrella", "gloria", "olivia", "selena")),
    Voice("de", "de", "male", (), ("fabian", "julius")),
    Voice("de+f2", "de", "female", (), ("aurelia", "elara", "kara", "lara", "viktoria")),
    Voice("nl", "nl", "male", (), ("lars", "roman", "sander")),
    Voice("nl+f2", "nl", "female", (), ("beatrix", "cornelia", "daphne", "hestia", "leda", "rhea")),
    Voice("fr", "fr", "male", (), ("hector",)),
    Voice("fr+f2", "fr", "female", (), ("agathe",)),
    Voice("it", "it", "male", (), ("cesare", "dionisio", "elio", "flavio", "perseo")),
    Voice("it+f2", "it", "female", (), ("cinzia", "demetra", "livia", "maia", "melia")),
    Voice("ja", "ja", "male", (), ("ebisu", "fujin")),
    Voice("ja+f2", "ja", "female", (), ("ama", "izanami", "uzume")),
)

_AURA = re.compile(r"aura(?:-2)?-([a-z]+)-([a-z]{2})")
_BY_OPENAI = {name: voice for voice in VOICES for name in voice.openai}
_BY_DEEPGRAM = {(name, voice.language[:2]): voice for voice in VOICES for name in voice.deepgram}
_BY_NAME = {voice.name: voice for voice in VOICES}


def of_openai(name: str) -> Voice | None:
    """The voice behind one of OpenAI's names."""
    return _BY_OPENAI.get(name.lower())


def of_deepgram(model: str) -> Voice | None:
    """The voice behind ``aura-NAME-LANGUAGE`` or ``aura-2-NAME-LANGUAGE``."""
    found = _AURA.fullmatch(model.lower())
    return _BY_DEEPGRAM.get((found[1], found[2])) if found else None


def known(name: str) -> Voice | None:
    """The row of one of our own names."""
    return _BY_NAME.get(name.lower())
