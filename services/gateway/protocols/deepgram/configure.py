"""The Configure message: other keyterms and other writing in mid-stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.gateway.requests.parameters import MAX_TERM_CHARACTERS
from services.gateway.wording.wording import Wording

FEATURES = ("punctuate", "smart_format", "numerals", "dictation", "profanity_filter")


class Unparsable(Exception):
    """A control message that is none; it is answered and the stream goes on."""


def configured(message: dict[str, Any], wording: Wording) -> tuple[tuple[str, ...] | None, Wording]:
    """The new keyterms, or None for those there are, and the new wording. Raises ``Unparsable``."""
    keyterms, features = message.get("keyterms"), message.get("features") or {}
    if keyterms is not None and not (
        isinstance(keyterms, list) and all(isinstance(term, str) and 0 < len(term.strip()) <= MAX_TERM_CHARACTERS for term in keyterms)
    ):
        raise Unparsable(f"'keyterms' must be a list of texts of 1 to {MAX_TERM_CHARACTERS} characters.")
    if not isinstance(features, dict) or not all(name in FEATURES and isinstance(value, bool) for name, value in features.items()):
        raise Unparsable(f"'features' must be an object of true and false; it can have {', '.join(FEATURES)}.")
    return None if keyterms is None else tuple(dict.fromkeys(term.strip() for term in keyterms)), replace(wording, **features)
