"""What runs inside a worker process: espeak-ng (GPL-3, so in a process of its own) as the one who knows how words are pronounced."""

from __future__ import annotations

import ctypes
import re
from ctypes import c_char_p, c_int
from typing import Any

import espeakng_loader

from services.synth.engines.espeak_speaking import AUDIO_SYNCHRONOUS, NO_EXIT_ON_ERROR, NOT_SPOKEN, UTF8

IPA = 2
CLAUSE = re.compile(r"(.*?)([.,:;!?]+(?=\s|$)|$)", re.DOTALL)


class Phonemes:
    """The object a worker process serves: one language of espeak-ng."""

    def __init__(self, voice: str) -> None:
        """Raises ``RuntimeError`` where the library does not find its data or does not know the voice."""
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_TextToPhonemes.restype = c_char_p
        self._library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(c_char_p), c_int, c_int)
        if self._library.espeak_Initialize(AUDIO_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), NO_EXIT_ON_ERROR) <= 0:
            raise RuntimeError("espeak-ng did not find its data")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError("espeak-ng does not know this voice")

    def clauses(self, text: str) -> list[str]:
        """The International Phonetic Alphabet, clause by clause, each with the punctuation it ends with; none for what is not spoken."""
        found = []
        for said, end in CLAUSE.findall(NOT_SPOKEN.sub(" ", text)):
            phonemes = self._phonemes(said)
            if phonemes:
                found.append(phonemes + end[:1])
        return found

    def answer(self) -> None:
        """Nothing: that it comes back is what the caller wants to know."""

    def _phonemes(self, said: str) -> str:
        rest, parts = c_char_p(said.encode()), []
        while rest.value:  # it goes clause by clause, and sees others than those here
            parts.append((self._library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, IPA) or b"").decode().strip())
        return " ".join(part for part in parts if part)
