"""The front end: any rate in, 16 kHz mono out, noise suppressed, voice activity and utterance boundaries decided once."""
