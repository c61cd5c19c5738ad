"""What runs inside a worker process: espeak-ng (GPL-3, so in a process of its own) through its C interface, speak_lib.h.

The library draws random numbers and carries phases over from sentence to sentence, and nothing in its interface puts it back to the
start. So each sentence is spoken by a fork of the process, which has spoken nothing yet: the same sentence gives the same samples.
"""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Iterator
from ctypes import POINTER, Structure, Union, c_char, c_char_p, c_int, c_short, c_ubyte, c_uint, c_void_p
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
LEAST_RATE, MOST_RATE = 80, 450
USUAL_PITCH = 50
EVENT_END, EVENT_WORD = 0, 1
SEED = 1
GENDERS = {1: "male", 2: "female"}

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
        self._words: list[tuple[int, int, int]] = []  # position in the text from 1, length, milliseconds
        self._callback = _Callback(self._take)  # kept: the library holds no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))

    def describe(self) -> tuple[str, int, dict[str, tuple[str, str]], list[tuple[str, str]]]:
        """Version, sampling rate, the voices (language: identifier, gender) and the variants (name, gender) that any voice can have."""
        version: bytes = self._library.espeak_Info(None)
        voices: dict[str, tuple[str, str]] = {}
        for voice in self._listed(None):
            for language in _languages(voice.languages):
                voices.setdefault(language, (voice.identifier.decode(), GENDERS.get(voice.gender, "")))
        wanted = _Voice(languages=ctypes.cast(ctypes.c_char_p(b"variant"), c_void_p))
        variants = [(voice.identifier.decode().rpartition("/")[2], GENDERS.get(voice.gender, "")) for voice in self._listed(ctypes.byref(wanted))]
        return version.decode().split()[0], self._rate_hz, voices, sorted(variants)

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
        data = text.encode()
        if self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8 | END_PAUSE, None, None) != 0:
            raise RuntimeError("espeak-ng did not speak")
        self._library.espeak_Synchronize()
        words = tuple((text[position - 1 : position - 1 + length], at_ms * self._rate_hz // 1000) for position, length, at_ms in self._words)
        return bytes(self._pcm), words

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, count * 2)
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_WORD:
                self._words.append((events[index].text_position, events[index].length, events[index].audio_position))
            index += 1
        return 0
