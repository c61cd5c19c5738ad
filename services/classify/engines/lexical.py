"""What the words tell: sentiment by VADER, language by py3langid, keywords by RAKE, and how fast they came.

VADER: C. J. Hutto and E. Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social media text", ICWSM (2014).
py3langid: M. Lui and T. Baldwin, "langid.py: an off-the-shelf language identification tool", ACL (2012), retrained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from py3langid.langid import MODEL_FILE, LanguageIdentifier
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from services.classify.attributes import BY_NAME, names
from services.classify.engine import TranscribedText
from services.classify.engines.keywords import keywords, tokens
from voxrelay.events import Attribute, Engine

VERSION = "1"  # counted up whenever a result changes
LEAST_WORDS_FOR_LANGUAGE = 3
LEAST_LANGUAGE_CONFIDENCE = 0.5
LEAST_SPOKEN_S = 0.5
FASTEST_WORDS_PER_MINUTE = 1000.0
SENTIMENT_THRESHOLD = 0.05  # VADER's own, of its compound score
_SEPARATOR = ", "


class LexicalClassifier:
    """A ``TextClassifier``. Loading takes about a second and 130 MB, for the language model; nothing changes after it."""

    names = names("text")

    def __init__(self) -> None:
        self._sentiment = SentimentIntensityAnalyzer()
        self._languages = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        libraries = f"vader-{version('vaderSentiment')}.py3langid-{version('py3langid')}"
        self.engine = Engine("lexical", f"{VERSION}+{libraries}", _models_digest())

    def classify(self, texts: Sequence[TranscribedText]) -> list[tuple[Attribute, ...]]:
        return [self._classify(text) for text in texts]

    def _classify(self, text: TranscribedText) -> tuple[Attribute, ...]:
        spoken = tokens(text.text)
        if not spoken:
            return _pace(text)
        language, confidence = self._languages.classify(text.text)
        is_known = len(spoken) >= LEAST_WORDS_FOR_LANGUAGE and confidence >= LEAST_LANGUAGE_CONFIDENCE
        said_language = text.language.lower().partition("-")[0]
        found: list[Attribute] = []
        is_english = (said_language or (language if is_known else "")) == "en"
        if is_english:
            found += self._mood(text.text, spoken)
        if is_known:
            found.append(Attribute("language", language, _confidence(confidence)))
        if is_english:
            found += _content(text)
        return (*found, *_pace(text))

    def _mood(self, text: str, spoken: Sequence[str]) -> list[Attribute]:
        """The confidence counts the words that speak for a mood; of a neutral text, the words that do not."""
        score = float(self._sentiment.polarity_scores(text)["compound"])
        telling = sum(token in self._sentiment.lexicon for token in spoken)
        label = "positive" if score >= SENTIMENT_THRESHOLD else "negative" if score <= -SENTIMENT_THRESHOLD else "neutral"
        amount = telling / (telling + 1.0) if telling else 0.7 * len(spoken) / (len(spoken) + 5.0)
        sureness = amount if label == "neutral" else amount * (0.5 + 0.5 * abs(score))
        return [Attribute("sentiment", label, _confidence(sureness)), Attribute("sentiment_score", round(score, 4), _confidence(amount))]


def _content(text: TranscribedText) -> list[Attribute]:
    found = keywords(text.text, text.words)
    if not found:
        return []
    amount = sum(len(phrase.split()) for phrase in found)
    return [Attribute("keywords", _SEPARATOR.join(found), _confidence(0.8 * amount / (amount + 3.0)))]


def _pace(text: TranscribedText) -> tuple[Attribute, ...]:
    """Nothing for a single word or for words without times."""
    words = text.words
    if len(words) < 2:
        return ()
    spoken_s = words[-1].end_s - words[0].start_s
    if spoken_s < LEAST_SPOKEN_S:
        return ()
    pace = min(60.0 * len(words) / spoken_s, FASTEST_WORDS_PER_MINUTE)
    trust = sum(word.confidence for word in words) / len(words)
    kind = BY_NAME["words_per_minute"]
    return (Attribute(kind.name, round(pace, 1), _confidence(trust * len(words) / (len(words) + 2.0)), kind.unit),)


def _confidence(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 3)


def _models_digest() -> str:
    """Of the lexicon and of the language model, as they are installed."""
    digest = hashlib.sha256()
    for package, path in (("vaderSentiment", "vader_lexicon.txt"), ("py3langid", MODEL_FILE)):
        digest.update(files(package).joinpath(path).read_bytes())
    return f"sha256:{digest.hexdigest()}"
