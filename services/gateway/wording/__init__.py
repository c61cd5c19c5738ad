"""How words are written: punctuation, numerals, redaction, replacement; pure functions on one utterance's words. English only."""
