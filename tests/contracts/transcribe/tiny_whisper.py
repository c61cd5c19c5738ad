"""A Whisper model of a few hundred kilobytes that says a fixed text, in the format of real ones: the real loading and decoding code runs it.

Every projection back into the decoder's stream is next to nothing, so what goes into its last layer is the position's encoding; and
those are chosen so that each position gives the next token of the script. A prompt of n tokens therefore begins the text n tokens later,
which shows that a prompt has arrived.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH, HEADS, LAYERS, MELS = 32, 2, 1, 80
TEXT_POSITIONS, AUDIO_POSITIONS = 448, 1500


def build_tiny_whisper(folder: Path, script: str = " one two three four five six", end_s: float = 2.0, is_multilingual: bool = True) -> Path:
    """Writes the model's files into the folder, in which they make a CTranslate2 model."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [f" {word}" for word in script.split()]
    text_tokens, merges = _pieces(words)
    languages = list(_LANGUAGE_CODES)[:99] if is_multilingual else []
    text = [*text_tokens, *([""] if is_multilingual else [])]  # CTranslate2 tells a multilingual model by the empty token
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in languages)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    tokens = [*text, *special, *times]
    _save_tokenizer(folder, text, merges, [*special, *times])
    asked = ["<|en|>", "<|transcribe|>"] if is_multilingual else []
    said = ["<|startoftranscript|>", *asked, "<|0.00|>", *map(_letters, words), f"<|{end_s:.2f}|>", "<|endoftext|>"]
    ids = {token: number for number, token in enumerate(tokens)}
    spec = _spec([ids[token] for token in said], len(tokens), ids["<|endoftext|>"])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{language}|>"] for language in languages]
    spec.config.alignment_heads = [(0, 0)]
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    return folder


def _byte_letters() -> dict[int, str]:
    """GPT-2's alphabet of bytes: printable ones stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + number) for number, byte in enumerate(others)}


_ALPHABET = _byte_letters()


def _letters(word: str) -> str:
    return "".join(_ALPHABET[byte] for byte in word.encode())


def _pieces(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """All bytes, and merges that make one token of each word."""
    tokens, merges = list(_ALPHABET.values()), []
    for letters in map(_letters, words):
        made = letters[0]
        for letter in letters[1:]:
            if (made, letter) not in merges:
                merges.append((made, letter))
            made += letter
            if made not in tokens:
                tokens.append(made)
    return tokens, merges


def _save_tokenizer(folder: Path, text: list[str], merges: list[tuple[str, str]], added: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(text)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in added])
    tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": MELS, "sampling_rate": 16_000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))


def _spec(said: list[int], vocabulary: int, end: int) -> WhisperSpec:
    random = np.random.default_rng(0)

    def noise(*shape: int, scale: float = 0.02) -> Any:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(layer: Any, out: int, given: int, scale: float = 0.02) -> None:
        layer.weight, layer.bias = noise(out, given, scale=scale), np.zeros(out, np.float32)

    def attention(layer: Any, *, to_audio: bool = False) -> None:
        norm(layer.layer_norm)
        if to_audio:
            linear(layer.linear[0], WIDTH, WIDTH)
            linear(layer.linear[1], 2 * WIDTH, WIDTH)
        else:
            linear(layer.linear[0], 3 * WIDTH, WIDTH)
        linear(layer.linear[-1], WIDTH, WIDTH, scale=1e-7)

    def feed_forward(layer: Any) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 4 * WIDTH, WIDTH)
        linear(layer.linear_1, WIDTH, 4 * WIDTH, scale=1e-7)

    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = noise(WIDTH, MELS, 3), np.zeros(WIDTH, np.float32)
    encoder.conv2.weight, encoder.conv2.bias = noise(WIDTH, WIDTH, 3), np.zeros(WIDTH, np.float32)
    encoder.position_encodings.encodings = noise(AUDIO_POSITIONS, WIDTH)
    norm(encoder.layer_norm)
    for layer in encoder.layer:
        attention(layer.self_attention)
        feed_forward(layer.ffn)
    directions = random.standard_normal((vocabulary, WIDTH)).astype(np.float32)
    directions -= directions.mean(1, keepdims=True)
    directions /= directions.std(1, keepdims=True)
    decoder.embeddings.weight, decoder.projection.weight = noise(vocabulary, WIDTH, scale=1e-4), directions
    positions = np.tile(directions[end], (TEXT_POSITIONS, 1))
    positions[: len(said) - 1] = directions[said[1:]]
    decoder.position_encodings.encodings = positions.astype(np.float32)
    norm(decoder.layer_norm)
    decoder.layer_norm.gamma = decoder.layer_norm.gamma * np.float32(4.0)
    for layer in decoder.layer:
        attention(layer.self_attention)
        attention(layer.attention, to_audio=True)
        feed_forward(layer.ffn)
    return spec
