"""Reading data: a manifest, a folder with one, a folder of recordings with their references beside them, or a collection that is known here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evaluation.items import DataUnusable, Item, Turn

FIELDS = ("audio", "text", "rttm", "clean", "speaker", "labels", "group")
MANIFEST = "manifest.jsonl"
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")
MOST_ITEMS = 100_000
MOST_REFERENCE_BYTES = 32 * 1024 * 1024  # of one file of references


def read_items(data: Path) -> list[Item]:
    """Everything ``data`` holds, in a fixed order. Raises ``DataUnusable``."""
    if data.is_file():
        return _read_manifest(data)
    if (data / MANIFEST).is_file():
        return _read_manifest(data / MANIFEST)
    if not data.is_dir():
        raise DataUnusable(f"There is no evaluation data in {data}: name a manifest or a folder (docs/how-to/evaluate.md).")
    items = list(_known_collection(data)) or list(_beside_each_other(data))
    if not items:
        raise DataUnusable(f"{data} holds neither {MANIFEST} nor recordings with references beside them (docs/how-to/evaluate.md).")
    return items


# --- a manifest --------------------------------------------------------------------------------------------------------------


def _read_manifest(path: Path) -> list[Item]:
    items = []
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            saved = json.loads(line)
        except ValueError:
            raise DataUnusable(f"Line {number} of {path} is no JSON object.") from None
        items.append(_item(saved, path.parent, f"Line {number} of {path}"))
        if len(items) > MOST_ITEMS:
            raise DataUnusable(f"{path} has more than {MOST_ITEMS} lines: split it.")
    if not items:
        raise DataUnusable(f"{path} is empty.")
    return items


def _item(saved: Any, folder: Path, where: str) -> Item:
    if not isinstance(saved, dict) or not isinstance(saved.get("audio"), str):
        raise DataUnusable(f"{where} names no audio.")
    unknown = sorted(set(saved) - set(FIELDS))
    if unknown:
        raise DataUnusable(f"{where} has '{unknown[0]}', which is none of {', '.join(FIELDS)}.")
    labels = saved.get("labels", {})
    texts = [saved.get(name) for name in ("text", "rttm", "clean", "speaker", "group")]
    if not isinstance(labels, dict) or not all(isinstance(text, str | None) for text in texts):
        raise DataUnusable(f"{where}: labels is an object, everything else a text.")
    audio = folder / saved["audio"]
    if not audio.is_file():
        raise DataUnusable(f"{where} names {audio}, which is not there.")
    return Item(
        name=saved["audio"],
        audio=audio,
        text=saved.get("text"),
        turns=read_rttm(folder / saved["rttm"]) if saved.get("rttm") else None,
        clean=folder / saved["clean"] if saved.get("clean") else None,
        speaker=saved.get("speaker") or "",
        labels=MappingProxyType({str(name): str(value) for name, value in labels.items()}),
        group=saved.get("group") or "",
    )


def read_rttm(path: Path) -> tuple[Turn, ...]:
    """The SPEAKER lines of a NIST RTTM file. Raises ``DataUnusable``."""
    turns = []
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start_s, length_s, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError):
            raise DataUnusable(f"Line {number} of {path} is no SPEAKER line of RTTM.") from None
        if not (math.isfinite(start_s) and math.isfinite(length_s) and start_s >= 0 and length_s >= 0):
            raise DataUnusable(f"Line {number} of {path} has times that cannot be.")
        turns.append(Turn(speaker, start_s, start_s + length_s))
    return tuple(turns)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_REFERENCE_BYTES:
            raise DataUnusable(f"{path} is larger than {MOST_REFERENCE_BYTES // 1024 // 1024} MB: split it.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnusable(f"{path} cannot be read: {error}.") from error


# --- recordings with references beside them -------------------------------------------------------------------------------------


def _beside_each_other(data: Path) -> Iterator[Item]:
    """``a.wav`` with ``a.txt`` (what is said), ``a.rttm`` (who when) or ``a.clean.wav``; the folder is the group."""
    for audio in sorted(path for path in data.rglob("*") if path.suffix in AUDIO_SUFFIXES and not path.stem.endswith(".clean"))[:MOST_ITEMS]:
        text, rttm = audio.with_suffix(".txt"), audio.with_suffix(".rttm")
        stem = audio.stem.removesuffix(".noisy")
        clean = audio.with_name(f"{stem}.clean{audio.suffix}")
        if text.is_file() or rttm.is_file() or clean.is_file():
            place = audio.relative_to(data)
            yield Item(
                name=place.as_posix(),
                audio=audio,
                text=_text_of(text).strip() if text.is_file() else None,
                turns=read_rttm(rttm) if rttm.is_file() else None,
                clean=clean if clean.is_file() else None,
                group=place.parent.as_posix() if place.parent.parts else "",
            )


# --- a collection that is known here ------------------------------------------------------------------------------------------


def _known_collection(data: Path) -> Iterator[Item]:
    """``asr/references.json``, ``diarization/*/*.rttm``, ``noise/pairs.json``, ``noise/clips``, ``emotion_or_attributes/*.json``: what is there."""
    for entry in _entries(data / "asr" / "references.json"):
        if entry.get("text_norm") and entry.get("language", "en") == "en":
            speaker = f"{entry.get('corpus', '')} {entry['speaker']}" if entry.get("speaker") else ""
            yield from _existing(data, Item(entry["file"], data / entry["file"], entry["text_norm"], speaker=speaker, group=entry.get("corpus", "")))
    for rttm in sorted((data / "diarization").glob("*/*.rttm")):
        audio = next((found for suffix in AUDIO_SUFFIXES if (found := rttm.with_suffix(suffix)).is_file()), None)
        if audio is not None:
            yield Item(audio.relative_to(data).as_posix(), audio, turns=read_rttm(rttm), group=rttm.parent.name)
    for entry in _entries(data / "noise" / "pairs.json"):
        clean = data / entry["clean"]
        group = f"noise, {entry['snr_db']} dB"
        yield from _existing(data, Item(entry["noisy"], data / entry["noisy"], entry.get("text"), clean=clean, group=group))
        yield from _existing(data, Item(entry["clean"], clean, clean=clean, group="clean already"))
    for audio in sorted((data / "noise" / "clips").glob("*")):
        if audio.suffix in AUDIO_SUFFIXES and "speech" not in audio.stem:  # one of the clips is of somebody who speaks in noise
            yield Item(audio.relative_to(data).as_posix(), audio, text="", group="recorded noise")
    for name in ("gender", "emotion"):
        for entry in _entries(data / "emotion_or_attributes" / f"{name}.json"):
            group = "EMO-DB, acted German" if name == "emotion" else "LibriSpeech, read English"
            if name == "emotion":
                calm = entry.get("emotion", "") in ("neutral", "sadness")
                group = f"{group}, {'calm' if calm else 'angry or happy'}"
            labels = MappingProxyType({"gender": {"F": "female", "M": "male"}.get(str(entry.get("gender"))[:1].upper(), "")})
            yield from _existing(data, Item(entry["file"], data / entry["file"], labels=labels if labels["gender"] else {}, group=group))


def _entries(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        found = json.loads(_text_of(path))
    except ValueError:
        raise DataUnusable(f"{path} is no JSON.") from None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _existing(data: Path, item: Item) -> Iterator[Item]:
    if item.audio is not None and item.audio.is_file() and item.audio.is_relative_to(data):
        yield item
