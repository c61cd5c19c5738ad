"""The words the bundled engine listens for, and how every other word of its dictionary is spoken.

The pronunciation dictionary has 126,052 words, of which the language model knows some 72,500. A search for all of those spends half of
its time on words that are hardly ever said, without hearing more of what is said (docs/performance.md), so it is made for the most
frequent ones. The others can be asked for as custom vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from tempfile import NamedTemporaryFile

from pocketsphinx import Config, Decoder, LogMath, NGramModel, get_model_path


def language_model_path() -> str:
    return str(get_model_path("en-us/en-us.lm.bin"))


def make_decoder(words: int, **options: float | bool | str) -> Decoder:
    """A decoder that listens for the ``words`` most frequent words.

    Raises ``RuntimeError`` when pocketsphinx cannot read its model.
    """
    with NamedTemporaryFile(suffix=".dict") as file:  # it reads dictionaries from files only, and only while it is made
        file.write(_frequent(words))
        file.flush()
        return Decoder(dict=file.name, **options)


def entries() -> Iterator[tuple[str, str]]:
    """Every entry of the whole dictionary and its phones (ARPABET, joined by blanks), in its order: ``read``, ``read(2)``."""
    with open(get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.rstrip("\n").partition(" ")
            yield entry, phones


def pronunciation(entry: str) -> str | None:
    """The phones of an entry of the whole dictionary. None: it has no such entry."""
    return _pronunciations().get(entry)


@cache
def _frequent(words: int) -> bytes:
    """The entries of the most frequent words by the language model, most frequent first, as a dictionary file."""
    lines: dict[str, list[str]] = {}
    for entry, phones in entries():
        lines.setdefault(entry.partition("(")[0], []).append(f"{entry} {phones}\n")
    model = NGramModel(Config(lm=language_model_path()), LogMath(), language_model_path())
    likeliest = sorted(lines, key=lambda word: -model.prob([word]))
    return "".join(line for word in likeliest[:words] for line in lines[word]).encode()


@cache
def _pronunciations() -> dict[str, str]:
    return dict(entries())
