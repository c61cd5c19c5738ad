"""What runs inside a worker process: pocketsphinx decoders, and how an utterance goes through one.

One pass, in blocks of 100 ms counted from the utterance's start. Cepstral means decide much of the error rate, and pocketsphinx's
own running mean starts from a fixed guess and remembers earlier utterances. Here the mean is that of the utterance so far: the
first second is gathered (all of a shorter utterance) and measured, then each block adds to it; blocks far quieter than the loudest
so far do not count, or a stretch of suppressed noise would decide. So a result depends on the utterance alone, and nearly reaches
what normalising over the whole utterance gives (docs/quality.md), with nothing left to do at its end.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from ctypes import c_int

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import NGramModel

from services.transcribe.engines.pocketsphinx_dictionary import language_model_path, make_decoder, pronunciation
from services.transcribe.engines.precedence import in_turn
from services.transcribe.engines.vocabulary import SPOKEN_MARK, Pronouncer, SpokenWord

BLOCK_BYTES = 3200  # 100 ms
GATHERED_BYTES = 10 * BLOCK_BYTES
EARLIEST_BYTES = 5 * BLOCK_BYTES  # an utterance begins 300 ms before its speech: the first words are looked for after as much of it
BLOCK_FRAMES = 10
PRIOR_FRAMES = 500  # CMN_WIN in pocketsphinx's cmn_live.c: the weight set_cmn gives to the mean it sets
SHORTEST_BYTES = 2 * BLOCK_BYTES  # no word is shorter, and the search wants some frames
FRAMES_PER_SECOND = 100
CEPSTRA = 13
WORD_BEAM = 1e-24  # pocketsphinx's own is 7e-29: a fifth more time for the same words
WORD_ENDS = 20  # in a frame; pocketsphinx's own is any number
MODEL_WORDS = 72_547  # of the bundled language model: what add_word's weight is a multiple of one share of
LEAST_POWER = 1e-3  # of the loudest block: -30 dB
_PLAIN = "_default"
_ALTERNATE = re.compile(r"\(\d+\)$")

Heard = tuple[str, float, float, float]  # text, start and end in seconds, confidence
Cepstrum = NDArray[np.float64]


class Recognizer:
    """One pocketsphinx decoder (about 55 MB) with the plain language model, and the language models of the latest vocabularies (45 MB each)."""

    def __init__(self, words: int, beam_hmms: int, boost: float, vocabularies: int) -> None:
        # The second, flat search changes nothing measurable in the error rate and adds half a second at the end of an utterance.
        self._decoder = make_decoder(words, loglevel="FATAL", fwdflat=False, maxhmmpf=beam_hmms, wbeam=WORD_BEAM, maxwpf=WORD_ENDS, dither=False)
        self._boost, self._most_vocabularies = boost, vocabularies
        self._pronouncer = Pronouncer(pronunciation)
        self._searches: OrderedDict[tuple[str, ...], str] = OrderedDict()  # least recently used first
        self._made = 0
        self._known: set[str] = set()

    def select(self, vocabulary: tuple[str, ...]) -> None:
        """Recognise the next utterance with this vocabulary. Other vocabularies leave no trace: each has a language model of its own."""
        if not vocabulary:
            self._decoder.activate_search(_PLAIN)
            return
        if vocabulary not in self._searches:
            self._decoder.activate_search(_PLAIN)
            while len(self._searches) >= self._most_vocabularies:
                self._decoder.remove_search(self._searches.popitem(last=False)[1])
            self._searches[vocabulary] = self._make_search(vocabulary)
        self._searches.move_to_end(vocabulary)
        self._decoder.activate_search(self._searches[vocabulary])

    def _make_search(self, vocabulary: tuple[str, ...]) -> str:
        model = NGramModel(self._decoder.config, self._decoder.logmath, language_model_path())
        expected = self._decoder.logmath.log(self._boost / MODEL_WORDS)
        for word in self._pronouncer.words(vocabulary):
            plain = word.name.removeprefix(SPOKEN_MARK)
            if self._decoder.lookup_word(plain) is None or model.prob([plain]) < expected:  # "of" in a term needs no help
                self._add(model, word)
        self._made += 1
        name = f"vocabulary{self._made}"
        self._decoder.add_lm(name, model)
        return name

    def _add(self, model: NGramModel, word: SpokenWord) -> None:
        for entry, phones in word.entries():
            if entry not in self._known:
                self._decoder.add_word(entry, phones, False)
                self._known.add(entry)
        model.add_word(word.name, self._boost)

    # --- one utterance ---------------------------------------------------------------------------------------------------

    def measure(self, pcm_s16le: bytes) -> tuple[Cepstrum, int]:
        """The sum of the cepstra of this audio, shape (13,), and how many there are."""
        self._set_mean(np.zeros(CEPSTRA))
        self._decoder.start_stream()  # noise statistics live on from utterance to utterance otherwise
        self._decoder.start_utt()
        self._decoder.process_raw(pcm_s16le, no_search=True)
        mean = self._mean()
        self._decoder.end_utt()
        frames = max(1, self._decoder.n_frames())
        return mean * (PRIOR_FRAMES + frames), frames

    def begin(self, mean: Cepstrum) -> None:
        self._set_mean(mean)
        self._decoder.start_stream()  # noise statistics live on from utterance to utterance otherwise
        self._decoder.start_utt()

    def block(self, pcm_s16le: bytes, mean: Cepstrum) -> Cepstrum:
        """Search in one block; the sum of its cepstra, if it is a whole one."""
        self._set_mean(mean)
        self._decoder.process_raw(pcm_s16le)
        return self._mean() * (PRIOR_FRAMES + BLOCK_FRAMES) - mean * PRIOR_FRAMES

    def end(self) -> None:
        self._decoder.end_utt()

    def words(self) -> tuple[Heard, ...]:
        segments = self._decoder.seg() if self._decoder.hyp() is not None else None
        words: list[Heard] = []
        for segment in segments or ():
            text = _ALTERNATE.sub("", segment.word).removeprefix(SPOKEN_MARK)
            if text[:1] in "<[+":
                continue
            start_s, end_s = segment.start_frame / FRAMES_PER_SECOND, (segment.end_frame + 1) / FRAMES_PER_SECOND
            words.append((text, start_s, end_s, min(1.0, max(0.0, segment.prob))))
        return tuple(words)

    def _set_mean(self, mean: Cepstrum) -> None:
        self._decoder.set_cmn(",".join(f"{value:.6g}" for value in mean))

    def _mean(self) -> Cepstrum:
        return np.array([float(value) for value in self._decoder.get_cmn(True).split(",")])


class Listening:
    """One utterance on its way through a recogniser that nobody else uses meanwhile."""

    def __init__(self, recognizer: Recognizer, vocabulary: tuple[str, ...]) -> None:
        self._recognizer = recognizer
        self._waiting = bytearray()
        self._sum, self._frames = np.zeros(CEPSTRA), 0
        self._loudest = 0.0  # power of a block
        self._is_begun = False
        self._has_looked = False
        recognizer.select(vocabulary)

    def take(self, pcm_s16le: bytes) -> None:
        """The next audio; what does not fill a block waits for more."""
        self._waiting += pcm_s16le
        if not self._is_begun and len(self._waiting) >= GATHERED_BYTES:
            self._begin(GATHERED_BYTES)
        if self._is_begun:
            for pcm in self._blocks(len(self._waiting)):
                added = self._recognizer.block(pcm, self._sum / self._frames)
                power = _power(pcm)
                self._loudest = max(self._loudest, power)
                if power >= self._loudest * LEAST_POWER:
                    self._sum, self._frames = self._sum + added, self._frames + BLOCK_FRAMES

    def words_so_far(self) -> tuple[Heard, ...]:
        """Before the first second is gathered: once, from a pass over what is there, with its own mean, that leaves no trace."""
        if self._is_begun:
            return self._recognizer.words()
        whole = len(self._waiting) // BLOCK_BYTES * BLOCK_BYTES
        if whole < EARLIEST_BYTES or self._has_looked:
            return ()
        self._has_looked = True
        blocks = self._measure(whole)
        self._recognizer.begin(self._sum / self._frames)
        for pcm in blocks:
            self._recognizer.block(pcm, self._sum / self._frames)
        words = self._recognizer.words()
        self._recognizer.end()
        return words

    def finish(self) -> tuple[Heard, ...]:
        """The words of all that was taken; the recogniser is free again."""
        if not self._is_begun:
            if len(self._waiting) < SHORTEST_BYTES:
                return ()
            self._begin(len(self._waiting))
        if self._waiting:
            self._recognizer.block(bytes(self._waiting), self._sum / self._frames)
        self._recognizer.end()
        return self._recognizer.words()

    def abandon(self) -> None:
        if self._is_begun:
            self._recognizer.end()

    def _begin(self, gathered_bytes: int) -> None:
        self._measure(gathered_bytes)
        self._recognizer.begin(self._sum / self._frames)
        self._is_begun = True
        for pcm in self._blocks(gathered_bytes):  # already in the mean
            self._recognizer.block(pcm, self._sum / self._frames)

    def _measure(self, gathered_bytes: int) -> list[bytes]:
        """The mean of the first audio; its blocks."""
        blocks = [bytes(self._waiting[start : start + BLOCK_BYTES]) for start in range(0, gathered_bytes, BLOCK_BYTES)]
        self._loudest = max(_power(block) for block in blocks)
        self._sum, self._frames = self._recognizer.measure(b"".join(block for block in blocks if _power(block) >= self._loudest * LEAST_POWER))
        return blocks

    def _blocks(self, available_bytes: int) -> Iterator[bytes]:
        """The whole blocks among the first ``available_bytes`` that wait, taken away."""
        whole = available_bytes // BLOCK_BYTES * BLOCK_BYTES
        blocks = [bytes(self._waiting[start : start + BLOCK_BYTES]) for start in range(0, whole, BLOCK_BYTES)]
        del self._waiting[:whole]
        yield from blocks


def _power(pcm_s16le: bytes) -> float:
    return float(np.mean(np.square(np.frombuffer(pcm_s16le, dtype="<i2").astype(np.float64))))


class Decoding:
    """The object a worker process serves. Streams that are followed hold a recogniser; one more is for finals that nobody followed.

    ``ahead``: how many are at work on what is more urgent than everything here.
    """

    def __init__(self, followed: int, words: int, beam_hmms: int, boost: float, vocabularies: int, ahead: c_int | None = None) -> None:
        self._ahead = ahead
        self._most = followed + 1
        self._options = (words, beam_hmms, boost, vocabularies)
        self._free = [Recognizer(*self._options)]  # the others come when they are needed: each is 55 MB
        self._held: dict[int, tuple[Listening, Recognizer]] = {}

    def follow(self, stream: int, start: int, pcm_s16le: bytes, vocabulary: tuple[str, ...]) -> tuple[Heard, ...] | None:
        """The audio of a followed stream from byte ``start`` on (0 opens it); what was said so far. None: the stream is not known here."""
        if start and stream not in self._held:
            return None
        listening, recognizer = self._held.pop(stream) if stream in self._held else self._open(vocabulary)
        listening.take(pcm_s16le)  # if it raises, the recogniser is dropped: nobody knows its state
        words = listening.words_so_far()
        self._held[stream] = listening, recognizer
        return words

    def finish(self, stream: int, start: int, pcm_s16le: bytes, vocabulary: tuple[str, ...]) -> tuple[Heard, ...] | None:
        """The final: of what was followed up to byte ``start`` and this rest, or, from 0, of this audio alone. None: not known here."""
        if not start:
            self.leave(stream)
        elif stream not in self._held:
            return None
        listening, recognizer = self._held.pop(stream) if stream in self._held else self._open(vocabulary)
        for piece in in_turn(pcm_s16le, self._ahead):
            listening.take(piece)
        words = listening.finish()
        self._free.append(recognizer)
        return words

    def leave(self, stream: int) -> None:
        """No longer follow a stream. Unknown ones are ignored."""
        held = self._held.pop(stream, None)
        if held is not None:
            listening, recognizer = held
            listening.abandon()
            self._free.append(recognizer)

    def _open(self, vocabulary: tuple[str, ...]) -> tuple[Listening, Recognizer]:
        if not self._free and len(self._held) >= self._most:
            raise RuntimeError("more streams are followed than there are recognisers")
        recognizer = self._free.pop() if self._free else Recognizer(*self._options)
        return Listening(recognizer, vocabulary), recognizer
