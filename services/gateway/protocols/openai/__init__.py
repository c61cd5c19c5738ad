"""The OpenAI-compatible audio surface: docs/protocols/openai.md."""
