"""What the bundled engines are worth on real speech, through the real stages: `make evaluate`.

    python -m benchmarks.evaluate [--data ../shared/eval] [--only asr diarization noise suppressors silence]

Prints tables and writes benchmarks/out/evaluate.json and plots. WER: jiwer's counts on lower-cased words without punctuation, errors summed
over all files. DER: no collar, overlap counted. SI-SDR: gain over the noisy input. False text: words and utterances on audio in which nobody speaks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.path import Outcome, running
from benchmarks.report import OUT, print_table, write_json
from benchmarks.scoring import SpeakerErrors, Turn, WordErrors, read_rttm, si_sdr_db, speaker_errors, word_errors
from voxrelay.audio import SAMPLE_RATE_HZ, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.engines import EngineUnusable
from voxrelay.events import SessionConfig

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "eval"
AT_ONCE = 8  # sessions on their way together
SILENT_MINUTES = 10.0
SUPPRESSORS = ("omlsa", "dtln", "gtcrn")


def samples_of(path: Path) -> tuple[bytes, int]:
    """Mono pcm_s16le at the file's own rate (8 to 48 kHz)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate_hz = min(max(stream.rate, 8_000), 48_000)
        resampler = av.AudioResampler("s16", "mono", rate_hz)
        frames = [piece for frame in container.decode(stream) for piece in resampler.resample(frame)] + resampler.resample(None)
    return b"".join(frame.to_ndarray().tobytes() for frame in frames), rate_hz


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(path: Any, files: Sequence[tuple[bytes, int]], what: str, **config: Any) -> list[Outcome]:
    """Outcomes in order, with progress."""
    outcomes: list[Outcome] = []
    started = time.monotonic()
    for at in range(0, len(files), AT_ONCE):
        batch = [(pcm, SessionConfig(sample_rate_hz=rate_hz, interim_results=False, **config)) for pcm, rate_hz in files[at : at + AT_ONCE]]
        outcomes += path.run(batch)
        _say(f"  {what}: {len(outcomes)} of {len(files)} files, {time.monotonic() - started:.0f} s")
    return outcomes


# --- words ---------------------------------------------------------------------------------------------------------------------


def words(data: Path) -> dict[str, Any]:
    """WER by corpus, as files come and through the whole path (denoise as it decides)."""
    entries = [entry for entry in json.loads((data / "asr" / "references.json").read_text()) if entry.get("language", "en") == "en"]
    entries = [entry for entry in entries if entry.get("text_norm") and (data / entry["file"]).is_file()]
    files = [samples_of(data / entry["file"]) for entry in entries]
    with running(("denoise", "transcribe")) as path:
        outcomes = run(path, files, "words", stages=("denoise", "transcribe"))
    by_corpus: dict[str, list[WordErrors]] = defaultdict(list)
    for entry, outcome in zip(entries, outcomes, strict=True):
        by_corpus[entry["corpus"]].append(word_errors(entry["text_norm"], outcome.text))
    by_corpus["all"] = [score for scores in list(by_corpus.values()) for score in scores]
    seconds = sum(len(pcm) / 2 / rate_hz for pcm, rate_hz in files)
    rows = {corpus: _total(scores) | {"files": len(scores)} for corpus, scores in by_corpus.items()}
    print_table(
        f"Word error rate ({seconds / 60:.1f} minutes)",
        ("corpus", "files", "words", "WER"),
        [(corpus, row["files"], row["words"], f"{row['wer']:.3f}") for corpus, row in rows.items()],
    )
    return rows


def _total(scores: Sequence[WordErrors]) -> dict[str, Any]:
    total = WordErrors(sum(score.errors for score in scores), sum(score.words for score in scores))
    return {"words": total.words, "errors": total.errors, "wer": round(total.rate, 4)}


# --- speakers ------------------------------------------------------------------------------------------------------------------


def speakers(data: Path) -> dict[str, Any]:
    """DER of each recording, not told and told how many speak."""
    recordings = sorted((data / "diarization").glob("*/*.rttm"))
    recordings = [rttm for rttm in recordings if _audio_of(rttm) is not None]
    references = [read_rttm(rttm) for rttm in recordings]
    files = [samples_of(audio) for rttm in recordings if (audio := _audio_of(rttm)) is not None]
    rows: dict[str, Any] = {}
    with running(("denoise", "diarize")) as path:
        outcomes = run(path, files, "speakers", stages=("denoise", "diarize"))
        for rttm, reference, outcome, file in zip(recordings, references, outcomes, files, strict=True):
            count = len({turn.speaker for turn in reference})
            told = path.run([(file[0], SessionConfig(sample_rate_hz=file[1], stages=("denoise", "diarize"), num_speakers=count))])[0]
            scored, told_scored = speaker_errors(reference, _turns(outcome)), speaker_errors(reference, _turns(told))
            rows[rttm.stem] = _speaker_row(scored) | {
                "speakers": count,
                "found": len({t.speaker for t in _turns(outcome)}),
                "der_told": told_scored.rate,
            }
            rows[rttm.stem]["set"] = rttm.parent.name
    for name in sorted({row["set"] for row in list(rows.values())}):
        of = [row for row in rows.values() if row["set"] == name]
        total = sum((SpeakerErrors(r["missed_s"], r["false_alarm_s"], r["confused_s"], r["spoken_s"]) for r in of), SpeakerErrors(0, 0, 0, 0))
        told_rate = sum(row["der_told"] * row["spoken_s"] for row in of) / sum(row["spoken_s"] for row in of)
        rows[f"{name} (all)"] = _speaker_row(total) | {"speakers": "", "found": "", "der_told": told_rate, "set": ""}
    columns = ("recording", "speakers", "found", "missed", "false alarm", "confusion", "DER", "DER, told how many")
    print_table(
        "Diarization error rate, no collar, overlap counted",
        columns,
        [
            (
                name,
                r["speakers"],
                r["found"],
                *(f"{r[kind] / r['spoken_s']:.3f}" for kind in ("missed_s", "false_alarm_s", "confused_s")),
                f"{r['der']:.3f}",
                f"{r['der_told']:.3f}",
            )
            for name, r in rows.items()
        ],
    )
    return rows


def _audio_of(rttm: Path) -> Path | None:
    return next((audio for suffix in (".wav", ".flac") if (audio := rttm.with_suffix(suffix)).is_file()), None)


def _turns(outcome: Outcome) -> list[Turn]:
    return [Turn(segment.speaker, segment.start_s, segment.end_s) for result in outcome.diarized.values() for segment in result.segments]


def _speaker_row(scored: SpeakerErrors) -> dict[str, Any]:
    return {
        "missed_s": scored.missed_s,
        "false_alarm_s": scored.false_alarm_s,
        "confused_s": scored.confused_s,
        "spoken_s": scored.spoken_s,
        "der": scored.rate,
    }


# --- noise -------------------------------------------------------------------------------------------------------------------


STRENGTHS = {"off": 0.0, "automatic": -1.0, "full": 1.0}


def noise(data: Path) -> dict[str, Any]:
    """SI-SDR gain and WER of noisy speech: untouched, as denoise decides, and at full strength."""
    summary = noise_at(data, STRENGTHS)
    print_table(
        "Noisy speech: SI-SDR gain and word error rate by suppression",
        ("SNR", "files", "gain automatic", "gain full", "WER off", "WER automatic", "WER full"),
        [
            (
                snr,
                by["off"]["files"],
                f"{by['automatic']['gain_db']:+.1f} dB",
                f"{by['full']['gain_db']:+.1f} dB",
                *(f"{by[name]['wer']:.3f}" for name in ("off", "automatic", "full")),
            )
            for snr, by in summary.items()
        ],
    )
    return summary


def noise_at(data: Path, strengths: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By signal-to-noise ratio and name of the strength: mean gain, words and errors."""
    pairs = json.loads((data / "noise" / "pairs.json").read_text())
    noisy = [samples_of(data / pair["noisy"]) for pair in pairs]
    clean = [float32_from_pcm_s16le(samples_of(data / pair["clean"])[0]) for pair in pairs]
    rows: dict[str, Any] = {}
    with running(("denoise", "transcribe")) as path:
        for name, strength in strengths.items():
            outcomes = run(path, noisy, f"noise, suppression {name}", stages=("denoise", "transcribe"), noise_suppression=strength)
            for pair, (pcm, rate_hz), reference, outcome in zip(pairs, noisy, clean, outcomes, strict=True):
                row = rows.setdefault(f"{pair['snr_db']} dB", {}).setdefault(name, {"gain_db": [], "words": []})
                heard = float32_from_pcm_s16le(b"".join(chunk.pcm_s16le for chunk in outcome.denoised))
                if rate_hz == SAMPLE_RATE_HZ:
                    row["gain_db"].append(si_sdr_db(reference, heard) - si_sdr_db(reference, float32_from_pcm_s16le(pcm)))
                row["words"].append(word_errors(pair.get("text", ""), outcome.text))
    return {
        snr: {
            name: {"gain_db": round(float(np.mean(row["gain_db"])), 2), "files": len(row["words"])} | _total(row["words"]) for name, row in by.items()
        }
        for snr, by in rows.items()
    }


# --- suppressors beside each other ---------------------------------------------------------------------------------------------


def suppressors(data: Path) -> dict[str, Any]:
    """As ``noise``, for every suppressor whose weights are here, beside the unprocessed audio; all noise levels together."""
    rows: dict[str, Any] = {}
    before = os.environ.get("VOXRELAY_DENOISE_ENGINE")
    try:
        for engine in SUPPRESSORS:
            os.environ["VOXRELAY_DENOISE_ENGINE"] = engine
            try:
                by_snr = noise_at(data, STRENGTHS if not rows else {name: STRENGTHS[name] for name in ("automatic", "full")})
            except EngineUnusable as error:
                _say(f"  {engine} is left out: {error}")
                continue
            for name in next(iter(by_snr.values())):
                of = [row[name] for row in by_snr.values()]
                files = sum(row["files"] for row in of)
                errors = WordErrors(sum(row["errors"] for row in of), sum(row["words"] for row in of))
                gain_db = sum(row["gain_db"] * row["files"] for row in of) / files
                rows[f"{engine}, {name}" if name != "off" else "unprocessed"] = {
                    "files": files,
                    "gain_db": round(gain_db, 2),
                    "words": errors.words,
                    "errors": errors.errors,
                    "wer": round(errors.rate, 4),
                }
    finally:
        os.environ.pop("VOXRELAY_DENOISE_ENGINE") if before is None else os.environ.update(VOXRELAY_DENOISE_ENGINE=before)
    print_table(
        "Suppressors on noisy speech: SI-SDR gain and word error rate",
        ("suppressor", "files", "gain", "WER"),
        [(name, row["files"], f"{row['gain_db']:+.1f} dB", f"{row['wer']:.3f}") for name, row in rows.items()],
    )
    return rows


# --- nothing said ------------------------------------------------------------------------------------------------------------


def silence(data: Path) -> dict[str, Any]:
    """False text: words on digital silence, on white and pink noise, and on the noise recordings, by hour."""
    generator = np.random.default_rng(1)
    size = int(SILENT_MINUTES * 60 * SAMPLE_RATE_HZ)
    white = generator.standard_normal(size).astype(np.float32)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), size)
    signals = {
        "silence": np.zeros(size, np.float32),
        "white noise -40 dBFS": (white * 0.01).astype(np.float32),
        "pink noise -30 dBFS": (pink / pink.std() * 0.0316).astype(np.float32),
    }
    files = {name: (pcm_s16le_from_float32(samples), SAMPLE_RATE_HZ) for name, samples in signals.items()}
    clips = [
        samples_of(clip) for clip in sorted((data / "noise" / "clips").iterdir()) if clip.suffix in (".wav", ".flac") and "babble" not in clip.stem
    ]
    files |= {f"recorded noise {number}": clip for number, clip in enumerate(clips, 1)}
    with running(("denoise", "transcribe")) as path:
        outcomes = run(path, list(files.values()), "nothing said", stages=("denoise", "transcribe"))
    rows: dict[str, Any] = {}
    for (name, (pcm, rate_hz)), outcome in zip(files.items(), outcomes, strict=True):
        kind = "recorded noise" if name.startswith("recorded") else name
        row = rows.setdefault(kind, {"minutes": 0.0, "words": 0, "utterances": 0})
        row["minutes"] += len(pcm) / 2 / rate_hz / 60
        row["words"] += len(outcome.text.split())
        row["utterances"] += len(outcome.utterances)
    print_table(
        "Where nobody speaks",
        ("audio", "minutes", "utterances", "words", "words an hour"),
        [(name, f"{r['minutes']:.1f}", r["utterances"], r["words"], f"{r['words'] / r['minutes'] * 60:.0f}") for name, r in rows.items()],
    )
    return rows


PARTS = {"asr": words, "diarization": speakers, "noise": noise, "suppressors": suppressors, "silence": silence}


def plot(figures: Mapping[str, Any]) -> None:
    """One page of plots, for those who would rather look."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = [name for name in ("asr", "diarization", "noise") if name in figures]
    if not drawn:
        return
    page, axes = pyplot.subplots(1, len(drawn), figsize=(6 * len(drawn), 4.5), squeeze=False)
    for axis, name in zip(axes[0], drawn, strict=True):
        if name == "asr":
            axis.barh(list(figures[name]), [row["wer"] for row in figures[name].values()])
            axis.set_title("Word error rate")
        elif name == "diarization":
            axis.barh(list(figures[name]), [row["der"] for row in figures[name].values()])
            axis.set_title("Diarization error rate (no collar)")
        else:
            for strength in ("off", "automatic", "full"):
                axis.plot(list(figures[name]), [by[strength]["wer"] for by in figures[name].values()], marker="o", label=f"suppression {strength}")
            axis.set_title("Word error rate in noise")
            axis.legend()
    page.tight_layout()
    OUT.mkdir(exist_ok=True)
    page.savefig(OUT / "evaluate.png", dpi=110)
    print(f"written: {OUT / 'evaluate.png'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation speech")
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"There is no evaluation speech in {arguments.data}: say where with --data.")
    figures = {name: PARTS[name](arguments.data) for name in arguments.only}
    write_json("evaluate", figures)
    plot(figures)


if __name__ == "__main__":
    main()
