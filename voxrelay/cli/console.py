"""How commands speak to a person: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)
WIDE_CHARACTERS = 400
MANNER_INDENT = 17
LABELS_LEFT_OUT = ("language", "keywords")
NUMBERS_SHOWN = {"pitch_hz": "pitch", "words_per_minute": "pace", "energy_dbfs": "level", "snr_db": "SNR"}
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


class Failure(Exception):
    """A sentence for the person at the terminal, and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(table: Table) -> None:
    """Lines wider than the terminal rather than cut: people and scripts take whole ids from them."""
    Console(width=WIDE_CHARACTERS, highlight=False).print(table)


def clock(at_s: float) -> str:
    """1:02:03.4, or 02:03.4 within the first hour."""
    minutes, rest_s = divmod(at_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest_s:04.1f}" if hours else f"{minutes:02d}:{rest_s:04.1f}"


def manner(attributes: Mapping[str, Any]) -> str:
    """The attributes in a few words: labels but for the language, the numbers people ask for, the rest counted; --json has them all."""
    parts, left_out = [], 0
    for name, attribute in attributes.items():
        value, unit = attribute["value"], attribute.get("unit", "")
        if isinstance(value, str) and name not in LABELS_LEFT_OUT:
            parts.append(f"{name} {value}")
        elif name in NUMBERS_SHOWN:
            parts.append(f"{NUMBERS_SHOWN[name]} {value:.0f} {unit}".rstrip())
        else:
            left_out += 1
    return ", ".join(parts) + (f" (and {left_out} more)" if parts and left_out else "")


def speaker_style(speaker: str) -> str:
    digits = "".join(character for character in speaker if character.isdigit())
    return f"bold {_COLOURS[(int(digits) - 1) % len(_COLOURS)]}" if digits else "bold"


def beside_progress() -> Console:
    """Where results go while progress is shown: on a terminal they must come through the console that draws it, or both end in one line."""
    return err if out.is_terminal and err.is_terminal else out


def print_final(message: Mapping[str, Any], to: Console = out) -> None:
    """One final result: when, who, what; how, dimmed below."""
    words = message.get("words") or []
    start_s = words[0]["start"] if words else 0.0
    end_s = words[-1]["end"] if words else start_s + float(message.get("duration", 0.0))
    line = Text.assemble((f"{clock(start_s)}-{clock(end_s)}  ", "dim"))
    turns: list[tuple[str, list[str]]] = []
    for word in words:
        speaker = word.get("speaker") or message.get("speaker") or "?"
        if not turns or turns[-1][0] != speaker:
            turns.append((speaker, []))
        turns[-1][1].append(word["word"])
    for number, (speaker, spoken) in enumerate(turns or [(message.get("speaker") or "?", [message["transcript"]])]):
        line.append(f"{'  ' if number else ''}{speaker}: ", speaker_style(speaker))
        line.append(" ".join(spoken))
    to.print(line, soft_wrap=True)
    how = manner(message.get("attributes") or {})
    if how:
        below = Text(how, "dim")
        if to.is_terminal:  # long ones go on below themselves
            to.print(Padding(below, (0, 0, 0, MANNER_INDENT)), soft_wrap=False)
        else:
            to.print(Text(" " * MANNER_INDENT) + below, soft_wrap=True)
