"""synth: text into speech, piece by piece."""
