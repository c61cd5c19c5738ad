"""What runs inside a worker process: espeak-ng through its C interface, speak_lib.h. Nothing else of the platform loads that library.

espeak-ng draws random numbers for breath, and carries phases of its oscillators from one text to the next; no call puts it back to
its start. So each sentence is spoken by a fork of this process, which itself has never spoken: the same sentence gives the same
samples, and one that crashes the library ends a fork, not the worker.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Sequence
from ctypes import POINTER, Structure, Union, c_char, c_char_p, c_int, c_long, c_short, c_ubyte, c_uint, c_void_p
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import espeakng_loader

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all has been given to the callback
_NEVER_EXIT = 1 << 15  # espeakINITIALIZE_DONT_EXIT: the default is to end the process when the data are missing
_BUFFER_MS = 200
_PLAIN_UTF8_WITH_END_PAUSE = 0x0001 | 0x1000  # espeakCHARS_UTF8 | espeakENDPAUSE; no SSML, no phoneme notation
_RATE, _SEED = 1, 1
_EVENT_END, _EVENT_WORD = 0, 1
_GENDERS = {1: "male", 2: "female"}
USUAL_WORDS_PER_MINUTE = 175
WORDS_PER_MINUTE = (80, 700)  # slower and faster are not done; above 450 the library drops periods of the voice instead of speaking faster

_NOT_SPOKEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # a NUL would end the text, half a surrogate pair is no character
_TOKEN = re.compile(r"\S+")

Words = tuple[tuple[str, float], ...]  # text, seconds from the start
Voices = tuple[tuple[str, str, str, str], ...]  # identifier, name, language, gender


class _EventId(Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", c_char * 8))


class _Event(Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),  # in characters, from 1
        ("length", c_int),
        ("audio_position", c_int),  # in milliseconds
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    )


class _Voice(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("languages", c_void_p),  # of each language a byte of priority and the tag with its NUL; a zero ends them
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("xx1", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


def words_of(text: str, events: Sequence[tuple[int, float]]) -> Words:
    """The text's words as they are written, each where the first of its events is; events are a position from 0 and seconds.

    espeak-ng gives one event for each word it says: "$1,234" has six. What is written together is one word here, without the
    punctuation around it, and only what is said is a word.
    """
    words: list[tuple[str, float]] = []
    tokens = list(_TOKEN.finditer(text))
    number = 0
    for position, start_s in events:
        while number < len(tokens) and tokens[number].end() <= position:
            number += 1
        if number < len(tokens) and tokens[number].start() <= position:
            words.append((_bare(tokens[number][0]), start_s))
            number += 1
    return tuple(words)


def _bare(token: str) -> str:
    """Without the punctuation around it; a token of punctuation alone stays what it is."""
    inner = [index for index, character in enumerate(token) if character.isalnum()]
    return token[inner[0] : inner[-1] + 1] if inner else token


class Speaking:
    """The object a worker process serves. It never speaks itself: its forks do."""

    def __init__(self) -> None:
        """Raises ``RuntimeError`` when the library does not find its data."""
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        self._library.espeak_Info.restype = c_char_p
        self._library.espeak_ng_SetRandSeed.argtypes = (c_long,)
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data, _NEVER_EXIT)
        if self._rate_hz <= 0:
            raise RuntimeError("espeak-ng did not find its data")
        self._library.espeak_ng_SetRandSeed(_SEED)  # initialising takes the clock for a seed
        self._pcm = bytearray()
        self._events: list[tuple[int, float]] = []
        self._callback = _Callback(self._take)  # kept: the library holds no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)

    def describe(self) -> tuple[str, int, Voices]:
        """Version, sampling rate and voices; a voice of several languages stands there once for each."""
        version: bytes = self._library.espeak_Info(None)
        voices = [
            (voice.identifier.decode(), voice.name.decode(), language, _GENDERS.get(voice.gender, ""))
            for voice in self._listed()
            for language in _tags(voice.languages)
        ]
        return version.decode().split()[0], self._rate_hz, tuple(voices)

    def answer(self) -> None:
        """Nothing: that it comes back is what the caller wants to know."""

    def speak(self, text: str, identifier: str, speed: float) -> tuple[bytes, Words]:
        """pcm_s16le and the words; ``identifier`` may have a ``+variant``. Raises ``RuntimeError`` when the library refuses or crashes."""
        reader, writer = Pipe(duplex=False)
        fork = os.fork()
        if fork == 0:
            self._speak_and_exit(writer, text, identifier, speed)
        writer.close()
        try:
            spoken: tuple[bytes, Words] = reader.recv()
        except EOFError:
            raise RuntimeError("espeak-ng did not speak the sentence") from None
        finally:
            reader.close()
            os.waitpid(fork, 0)
        return spoken

    def _speak_and_exit(self, writer: Connection, text: str, identifier: str, speed: float) -> None:
        """In the fork: nothing may return from here into the worker's loop."""
        status = 1
        try:
            writer.send(self._speak(_NOT_SPOKEN.sub(" ", text), identifier, speed))
            status = 0
        finally:
            os._exit(status)

    def _speak(self, text: str, identifier: str, speed: float) -> tuple[bytes, Words]:
        if self._library.espeak_SetVoiceByName(identifier.encode()) != 0:
            raise RuntimeError("espeak-ng does not know this voice")
        slowest, fastest = WORDS_PER_MINUTE
        self._library.espeak_SetParameter(_RATE, min(max(round(USUAL_WORDS_PER_MINUTE * speed), slowest), fastest), 0)
        encoded = text.encode()
        if self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _PLAIN_UTF8_WITH_END_PAUSE, None, None) != 0:
            raise RuntimeError("espeak-ng did not speak")
        self._library.espeak_Synchronize()
        return bytes(self._pcm), words_of(text, self._events)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """The library's callback: a stretch of audio, and what has happened in it. Zero: go on."""
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                self._events.append((events[index].text_position - 1, events[index].sample / self._rate_hz))
            index += 1
        return 0

    def _listed(self) -> Iterator[Any]:
        found = self._library.espeak_ListVoices(None)
        index = 0
        while found[index]:
            yield found[index].contents
            index += 1


def _tags(address: int) -> Iterator[str]:
    while ctypes.string_at(address, 1) != b"\0":
        tag = ctypes.string_at(address + 1)
        yield tag.decode().lower()
        address += 1 + len(tag) + 1
