"""What runs inside a worker process: espeak-ng (GPL-3, so in a process of its own) through its C interface, speak_lib.h.

The library draws random numbers and carries phases over from sentence to sentence, and nothing in its interface puts it back to the
start. So each sentence is spoken by a fork of the process, which has spoken nothing yet: the same sentence gives the same samples.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import re
from collections.abc import Iterable, Iterator
from ctypes import POINTER, Structure, Union, c_char, c_char_p, c_int, c_short, c_size_t, c_ubyte, c_uint, c_void_p
from pathlib import Path
from typing import Any

import espeakng_loader

AUDIO_SYNCHRONOUS = 2
NO_EXIT_ON_ERROR = 1 << 15
BUFFER_MS = 200
UTF8 = 1
END_PAUSE = 0x1000
PARAMETER_RATE = 1
PARAMETER_PITCH = 3
USUAL_RATE = 175  # words a minute
LEAST_RATE, MOST_RATE = 80, 700  # the library goes no slower; above 450 it shortens what it has spoken (sonic)
USUAL_PITCH = 50
EVENT_END, EVENT_WORD = 0, 1
SEED = 1
GENDERS = {1: "male", 2: "female"}
USUAL = {"en": "gmw/en-US", "fr": "roa/fr", "zh": "sit/cmn"}  # for tags of several varieties: the library lists a rare one first
WITHOUT_DICTIONARY = frozenset({"gmq/fo", "trk/kaa", "art/xex"})  # listed, but the wheel lacks what they would be pronounced by
NOT_SPOKEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # a NUL would end the text, half a surrogate pair cannot be encoded
TOKEN = re.compile(r"\S+")

Words = tuple[tuple[str, int], ...]  # text, first sample


class _EventId(Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", c_char * 8))


class _Event(Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    )


class _Voice(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("languages", c_void_p),  # for each a byte of priority and the tag, ended by an empty one
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("xx1", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


def _languages(at: int) -> list[str]:
    """The tags of a voice."""
    tags: list[str] = []
    while ctypes.string_at(at, 1) != b"\0":
        tag = ctypes.string_at(at + 1)
        tags.append(tag.decode().lower())
        at += 1 + len(tag) + 1
    return tags


def words_of(text: str, events: Iterable[tuple[int, int]]) -> Words:
    """The text's words as they are written, in order, each where its first event is; events are a place in the text and a sample.

    espeak-ng tells of each word it says: of "$1,234" five. What is written together is one word here, without the punctuation around
    it, and what is not said is none.
    """
    words: list[tuple[str, int]] = []
    tokens = list(TOKEN.finditer(text))
    number = latest = 0
    for place, start_sample in events:
        while number < len(tokens) and tokens[number].end() <= place:
            number += 1
        latest = max(latest, start_sample)
        if number < len(tokens) and tokens[number].start() <= place:
            words.append((_bare(tokens[number][0]), latest))
            number += 1
    return tuple(words)


def _bare(token: str) -> str:
    """Without the punctuation around it; signs alone stay what they are."""
    letters = [index for index, character in enumerate(token) if character.isalnum()]
    return token[letters[0] : letters[-1] + 1] if letters else token


def _digest() -> str:
    """SHA-256 over the library and its data, in the order of their names: together they decide how a sentence sounds."""
    digest = hashlib.sha256()
    data = Path(espeakng_loader.get_data_path())
    for path in [Path(espeakng_loader.get_library_path()), *sorted(path for path in data.rglob("*") if path.is_file())]:
        digest.update(path.relative_to(data.parent).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


class Speaking:
    """The object a worker process serves: one espeak-ng, whose state is the process's."""

    def __init__(self) -> None:
        """Raises ``RuntimeError`` when the library does not find its data."""
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        self._library.espeak_Info.restype = c_char_p
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz = self._library.espeak_Initialize(AUDIO_SYNCHRONOUS, BUFFER_MS, data, NO_EXIT_ON_ERROR)
        if self._rate_hz <= 0:
            raise RuntimeError("espeak-ng did not find its data")
        self._pcm = bytearray()
        self._events: list[tuple[int, int]] = []  # place in the text, sample
        self._callback = _Callback(self._take)  # kept: the library holds no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))

    def describe(self) -> tuple[str, str, int, dict[str, tuple[str, str]], list[tuple[str, str]]]:
        """Version, digest, sampling rate, the voices (language: identifier, gender) and the variants (name, gender) that any voice can have.

        A voice is that of its first tag; tags that are no voice's first get their usual voice, or the first that also has it.
        """
        version: bytes = self._library.espeak_Info(None)
        voices: dict[str, tuple[str, str]] = {}
        listed = [
            (voice.identifier.decode(), GENDERS.get(voice.gender, ""), _languages(voice.languages))
            for voice in self._listed(None)
            if voice.identifier.decode() not in WITHOUT_DICTIONARY
        ]
        for identifier, gender, languages in listed:
            voices.setdefault(languages[0], (identifier, gender))
        for identifier, gender, languages in listed:
            for language in languages[1:]:
                if language not in voices or USUAL.get(language) == identifier:
                    voices[language] = (identifier, gender)
        wanted = _Voice(languages=ctypes.cast(ctypes.c_char_p(b"variant"), c_void_p))
        variants = [(voice.identifier.decode().rpartition("/")[2], GENDERS.get(voice.gender, "")) for voice in self._listed(ctypes.byref(wanted))]
        return version.decode().split()[0], _digest(), self._rate_hz, voices, sorted(variants)

    def answer(self) -> None:
        """Nothing: that it comes back is what the caller wants to know."""

    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, Words]:
        """pcm_s16le and the words; ``voice`` is an identifier, with ``+variant``. Raises ``RuntimeError`` when espeak-ng refuses or crashes."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                with os.fdopen(writer, "wb") as pipe:
                    pickle.dump(self._speak(text, voice, speed), pipe)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise RuntimeError("espeak-ng did not speak the sentence")
        spoken: tuple[bytes, Words] = pickle.loads(answer)  # noqa: S301  # from our own fork
        return spoken

    def _listed(self, wanted: Any) -> Iterator[Any]:
        found = self._library.espeak_ListVoices(wanted)
        index = 0
        while found[index]:
            yield found[index].contents
            index += 1

    def _speak(self, text: str, voice: str, speed: float) -> tuple[bytes, Words]:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError("espeak-ng does not know this voice")
        rate = min(max(round(USUAL_RATE * speed), LEAST_RATE), MOST_RATE)
        self._library.espeak_SetParameter(PARAMETER_RATE, rate, 0)
        self._library.espeak_SetParameter(PARAMETER_PITCH, USUAL_PITCH, 0)
        text = NOT_SPOKEN.sub(" ", text)
        data = text.encode()
        if self._library.espeak_Synth(data, c_size_t(len(data) + 1), 0, 1, 0, UTF8 | END_PAUSE, None, None) != 0:
            raise RuntimeError("espeak-ng did not speak")
        self._library.espeak_Synchronize()
        return bytes(self._pcm), words_of(text, self._events)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, count * 2)
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_WORD:
                self._events.append((events[index].text_position - 1, events[index].sample))  # positions count from 1
            index += 1
        return 0
