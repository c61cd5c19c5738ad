"""What clients can name: the engines and voices in use, as the operator's settings (or the embedded platform's services) tell."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.settings import GatewaySettings
from voxrelay.events import Engine


@dataclass(frozen=True, slots=True)
class Voice:
    """``language`` is a BCP 47 tag."""

    name: str
    language: str


def engines(settings: GatewaySettings) -> list[Engine]:
    """Those that transcribe; at least one."""
    named = [text.partition(":") for text in settings.models] or [("transcribe", "", "")]
    return [Engine(name, version) for name, _, version in named]


def voices(settings: GatewaySettings) -> list[Voice]:
    """``en-gb+f3`` speaks en-GB."""
    found = []
    for name in settings.voices:
        language, _, region = name.partition("+")[0].partition("-")
        found.append(Voice(name, f"{language}-{region.upper()}" if region else language))
    return found
