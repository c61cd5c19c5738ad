"""Spoken numbers become digits; with smart formatting also years, times, dates, money, percentages and telephone numbers.

What is a number is text2num's to say; what is made of numbers and the words around them is ours. English only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from text_to_num import find_numbers

from services.gateway.wording.words import WrittenWord, merged

PAUSE_S = 1.0  # numbers with so much silence between them are two
MONTHS = frozenset(["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"])
CENTURIES = frozenset({"17", "18", "19", "20"})
CURRENCIES = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
SCALES = frozenset({"million", "billion", "trillion"})
UNITS = {
    **dict.fromkeys(("kilometer", "kilometers", "kilometre", "kilometres"), "km"),
    **dict.fromkeys(("meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
    **dict.fromkeys(("mile", "miles"), "mi"),
    **dict.fromkeys(("foot", "feet"), "ft"),
    **dict.fromkeys(("inch", "inches"), "in"),
    **dict.fromkeys(("kilogram", "kilograms", "kilo", "kilos"), "kg"),
    **dict.fromkeys(("gram", "grams"), "g"),
    **dict.fromkeys(("milligram", "milligrams"), "mg"),
    **dict.fromkeys(("ounce", "ounces"), "oz"),
    **dict.fromkeys(("liter", "liters", "litre", "litres"), "l"),
    **dict.fromkeys(("milliliter", "milliliters", "millilitre", "millilitres"), "ml"),
}
HALVES = {"am": "AM", "a.m": "AM", "pm": "PM", "p.m": "PM"}
DIGITS = re.compile(r"\d[\d,]*(\.\d+)?")
LEAST_SERIES = 3  # single digits in a row that are one number
TELEPHONE_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Numerals:
    """Which of it is wanted. ``are_all``: every number; without it only those that a measurement takes up."""

    are_all: bool
    is_smart: bool
    has_measurements: bool


@dataclass(frozen=True, slots=True)
class _Token:
    word: WrittenWord
    previous: WrittenWord | None

    def text(self) -> str:
        return self.word.heard

    def nt_separated(self, _previous: _Token) -> bool:
        return self.previous is not None and (
            self.word.start_s - self.previous.end_s > PAUSE_S
            or self.word.speaker != self.previous.speaker
            or self.previous.written.endswith((".", ",", "?", "!", ";", ":", "\n"))
        )

    def not_a_number_part(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or the words of one number; ``digits`` is empty for a word."""

    words: tuple[WrittenWord, ...]
    digits: str = ""
    is_ordinal: bool = False

    @property
    def heard(self) -> str:
        return self.words[0].heard if len(self.words) == 1 else ""

    @property
    def is_count(self) -> bool:
        return bool(self.digits) and not self.is_ordinal

    @property
    def whole(self) -> int:
        """Its value where it is a whole count, else -1."""
        return int(self.digits) if self.is_count and self.digits.isdecimal() else -1


def spoken_numbers(words: Sequence[WrittenWord]) -> Iterator[tuple[int, int, str]]:
    """First word, word behind the last, digits: of every number in these words, also of those an engine wrote in digits."""
    at = 0
    for first, last, text, _ in _numbers(words):
        yield from _written_digits(words, at, first)
        yield first, last, text
        at = last
    yield from _written_digits(words, at, len(words))


def _written_digits(words: Sequence[WrittenWord], start: int, end: int) -> Iterator[tuple[int, int, str]]:
    for place in range(start, end):
        heard = words[place].heard
        digits = "".join(letter for letter in heard if letter.isdigit())
        if len(digits) >= LEAST_SERIES or (digits and not heard[0].isalpha()):  # "21st" is a number, "b2b" is none
            yield place, place + 1, digits


def _numbers(words: Sequence[WrittenWord]) -> list[tuple[int, int, str, bool]]:
    tokens = [_Token(word, words[place - 1] if place else None) for place, word in enumerate(words)]
    return [(found.start, found.end, found.text, found.is_ordinal) for found in find_numbers(tokens, "en", threshold=0)]


def _pieces(words: Sequence[WrittenWord]) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = 0
    for first, last, text, is_ordinal in _numbers(words):
        pieces += [_plain(word) for word in words[at:first]]
        pieces.append(_Piece(tuple(words[first:last]), text, is_ordinal))
        at = last
    return pieces + [_plain(word) for word in words[at:]]


def _plain(word: WrittenWord) -> _Piece:
    return _Piece((word,), word.heard.replace(",", "") if DIGITS.fullmatch(word.heard) else "")


def with_digits(words: Sequence[WrittenWord], wanted: Numerals) -> list[WrittenWord]:
    """Left to right, the first rule that fits; a word's own punctuation at its end stays."""
    rules = (*(SMART if wanted.is_smart else ()), *((_measurement,) if wanted.has_measurements else ()), *((_number,) if wanted.are_all else ()))
    pieces = _pieces(words)
    written: list[WrittenWord] = []
    at = 0
    while at < len(pieces):
        made = next((made for rule in rules if (made := rule(pieces, at)) is not None), None)
        if made is None:
            written += pieces[at].words
            at += 1
            continue
        length, text = made
        taken = [word for piece in pieces[at : at + length] for word in piece.words]
        last = taken[-1].written
        tail = last[len(last.rstrip(",?!;:\n")) :] or ("." if last.endswith(".") and not text.endswith(("AM", "PM")) else "")
        written.append(merged(taken, text + tail, text))
        at += length
    return written


# --- rules: how many pieces they take, and what is written in their place -----------------------------------------

_Rule = Callable[[Sequence[_Piece], int], "tuple[int, str] | None"]


def _after(pieces: Sequence[_Piece], at: int, count: int = 1) -> tuple[_Piece, ...]:
    """The ``count`` pieces from ``at`` on, empty ones behind the end."""
    nothing = _Piece((WrittenWord("", "", 0.0, 0.0, 1.0, ""),))
    return tuple(pieces[at + step] if 0 <= at + step < len(pieces) else nothing for step in range(count))


def _money(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Five dollars and fifty cents; twenty euros. Pounds may be weight, and stay."""
    amount, unit, *rest = _after(pieces, at, 5)
    symbol = CURRENCIES.get(unit.heard, "")
    if unit.heard in SCALES and "." in amount.digits:
        symbol = CURRENCIES.get(rest[0].heard, "")
        return (3, f"{symbol}{amount.digits} {unit.heard}") if symbol else None
    if not (amount.is_count and symbol):
        return None
    cents_at = 1 if rest[0].heard == "and" else 0
    cents = rest[cents_at]
    if amount.whole >= 0 and 0 < cents.whole < 100 and rest[cents_at + 1].heard in ("cent", "cents"):
        return 4 + cents_at, f"{symbol}{amount.whole:,}.{cents.whole:02}"
    return 2, f"{symbol}{Decimal(amount.digits):,}"


def _scaled(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Three point five million."""
    amount, scale = _after(pieces, at, 2)
    return (2, f"{amount.digits} {scale.heard}") if "." in amount.digits and scale.heard in SCALES else None


def _percentage(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    amount, unit, more = _after(pieces, at, 3)
    if not amount.is_count:
        return None
    if unit.heard in ("percent", "%"):
        return 2, f"{amount.digits}%"
    return (3, f"{amount.digits}%") if (unit.heard, more.heard) == ("per", "cent") else None


def _time(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Ten thirty p m, nine oh five am, seven am: only where morning or afternoon is said, else it could be anything."""
    hour, *rest = _after(pieces, at, 5)
    if not 1 <= hour.whole <= 12:
        return None
    minutes, taken = "", 1
    if 10 <= rest[0].whole <= 59:
        minutes, taken = f"{rest[0].whole}", 2
    elif rest[0].heard in ("oh", "o") and 1 <= rest[1].whole <= 9:
        minutes, taken = f"0{rest[1].whole}", 3
    elif len(rest[0].digits) == 2 and 1 <= rest[0].whole <= 9:
        minutes, taken = rest[0].digits, 2
    half, m = rest[taken - 1], rest[taken] if taken < len(rest) else rest[-1]
    written = HALVES.get(half.heard)
    if written is None and half.heard in ("a", "p") and m.heard == "m":
        written, taken = half.heard.upper() + "M", taken + 1
    if written is None:
        return None
    return taken + 1, f"{hour.whole}:{minutes} {written}" if minutes else f"{hour.whole} {written}"


def _year(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Nineteen eighty four, twenty twenty six, nineteen oh five; not in a longer series of numbers."""
    century, tens, digit = _after(pieces, at, 3)
    before, behind = _after(pieces, at - 1)[0], _after(pieces, at + 2)[0]
    if century.digits not in CENTURIES or len(century.words) != 1 or not century.is_count or (before.digits and not before.is_ordinal):
        return None
    if 10 <= tens.whole <= 99 and not (behind.digits or behind.heard in CURRENCIES or behind.heard in ("percent", "per", "cents")):
        return 2, century.digits + tens.digits
    return (3, f"{century.digits}0{digit.digits}") if tens.heard in ("oh", "o") and 1 <= digit.whole <= 9 else None


def _month(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """The capital of a month that stands beside its day or year: march twenty first, the first of may."""
    month, day = _after(pieces, at, 2)
    two_before, before = _after(pieces, at - 2, 2)
    if month.heard not in MONTHS:
        return None
    is_of = before.heard == "of" and _is_day(two_before)
    if month.heard in ("may", "march"):  # words of other meanings too
        return (1, month.heard.capitalize()) if _is_day(day) or is_of else None
    return 1, month.heard.capitalize()


def _day(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    day, of, month = _after(pieces, at, 3)
    before = _after(pieces, at - 1)[0]
    is_dated = before.heard in MONTHS or (of.heard == "of" and month.heard in MONTHS) or of.heard in MONTHS
    return (1, day.digits) if _is_day(day) and is_dated else None


def _is_day(piece: _Piece) -> bool:
    return piece.is_ordinal and 1 <= int("".join(letter for letter in piece.digits if letter.isdigit()) or 0) <= 31


def _series(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Digits spoken one by one are one number; ten of them are written as a telephone number."""
    taken, digits = 0, ""
    while True:
        (piece,) = _after(pieces, at + taken)
        if piece.heard in ("oh", "o") and digits and not piece.digits:
            digits += "0"
        elif piece.is_count and piece.digits.isdecimal() and len(piece.digits) == len(piece.words):
            digits += piece.digits
        else:
            break
        taken += 1
    while taken and not pieces[at + taken - 1].digits:  # an "oh" at the end is one of surprise
        taken, digits = taken - 1, digits[:-1]
    if len(digits) < LEAST_SERIES or taken < 2:
        return None
    return taken, f"{digits[:3]}-{digits[3:6]}-{digits[6:]}" if len(digits) == TELEPHONE_DIGITS else digits


def _measurement(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    amount, unit = _after(pieces, at, 2)
    return (2, f"{amount.digits} {UNITS[unit.heard]}") if amount.is_count and unit.heard in UNITS else None


def _number(pieces: Sequence[_Piece], at: int) -> tuple[int, str] | None:
    """Every count but a lone "one", which mostly is none, and every ordinal of two words or more: "the second" is not 2nd as often as it is."""
    piece = pieces[at]
    if not piece.digits or DIGITS.fullmatch(piece.heard):
        return None
    if piece.is_ordinal:
        return (1, piece.digits) if len(piece.words) > 1 else None
    beside = (*_after(pieces, at - 1), *_after(pieces, at + 1))
    if piece.heard == "one" and not any(other.is_count for other in beside):
        return None
    return 1, piece.digits


SMART: tuple[_Rule, ...] = (_time, _money, _scaled, _percentage, _year, _month, _day, _series)
