"""The Deepgram-compatible surface: docs/protocols/deepgram.md."""
