"""``make evaluate``: everything with real weights, and its figures into docs/quality.md.

    python -m evaluation.quality_page [--data ../shared/eval] [--only NAME …] [--out evaluation/out] [--fresh]

Each run is one ``voxrelay evaluate``; those whose results lie in the folder are taken from there unless ``--fresh``. Tables stand in the page
between ``<!-- NAME -->`` and ``<!-- /NAME -->``; what stands around them is written by people.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.report import markdown

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "quality.md"
DATA = REPOSITORY.parent / "shared" / "eval"
NOISY = ("noise, 0 dB", "noise, 5 dB", "noise, 10 dB")
FULL_STRENGTH = ("--session", "noise_suppression=1")
READ_SPEECH = (
    "LJSpeech",
    "LibriSpeech dev-clean",
    "pocketsphinx playing cards",
    "LibriVox (Sense and Sensibility)",
    "LibriTTS",
    "vosk digits",
    "SpeechBrain samples (TIMIT-style prompts)",
    "JFK inaugural (public domain)",
    "FSDD isolated digits",
    "LibriSpeech test-other",
)
SILENT = ("recorded noise", "digital silence", "white noise at -40 dBFS", "pink noise at -30 dBFS")


def _groups(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for name in names for part in ("--group", name))


def _engines(*names: str) -> tuple[str, ...]:
    return tuple(part for name in names for part in ("--engine", name))


SUPPRESSORS = _engines("omlsa", "dtln", "gtcrn")
VARIANTS = _engines("dtln-int8", "dtln-fp16", "gtcrn-int8", "gtcrn-fp16")
DETECTORS = _engines("passthrough+silero-vad", "passthrough+silero-vad-fp16")
RUNS: dict[str, tuple[str, ...]] = {
    "denoise-full": ("--task", "denoise", *FULL_STRENGTH, *SUPPRESSORS, *VARIANTS),
    "diarize": ("--task", "diarize", *_engines("ge2e")),
    "words": ("--task", "transcribe", *_engines("pocketsphinx"), "--most", "6", *_groups(READ_SPEECH)),
    "vad": ("--task", "vad", *DETECTORS),
    "gender": ("--task", "classify", *_engines("dsp")),
    "speaker": ("--task", "speaker", *_engines("ge2e"), *_groups(["LibriSpeech test-other"])),
    "noisy-words-full": ("--task", "transcribe", *FULL_STRENGTH, *SUPPRESSORS, *_groups(NOISY)),
    "diarize-told": ("--task", "diarize", *_engines("ge2e"), "--session", "num_speakers=-1", "--no-baseline"),
    "denoise": ("--task", "denoise", *SUPPRESSORS, "--no-baseline"),
    "silence": ("--task", "transcribe", *_engines("pocketsphinx"), "--silence-minutes", "2", *_groups(SILENT)),
    "noisy-words": ("--task", "transcribe", *SUPPRESSORS, "--no-baseline", *_groups(NOISY)),
}
VARIANT_MODELS = (("silero-vad", "fp16"), ("dtln", "int8"), ("dtln", "fp16"), ("gtcrn", "int8"), ("gtcrn", "fp16"))


def tables_of(results: dict[str, Any]) -> str:
    """What stands between the marks: the tables, on how much audio and which machine, and what was left out."""
    about = results["machine"]
    timing = next((one["timing"] for one in results["systems"] if "timing" in one), None)
    parts = [markdown(heads, rows) for heads, rows in results["tables"]]
    made = f"{about['date']}, {about['processor']}, {about['cores']} cores."
    if timing is not None:
        made = f"{timing['audio_s'] / 60:.1f} minutes of audio. {made} Latency: {timing['latency_of']}."
    return "\n\n".join([*parts, f"*{' '.join([made, *results['notes']])}*"])


def filled(page: str, name: str, tables: str) -> str:
    """The page with the tables of one run anew. Raises ``ValueError`` where it has no place for them."""
    first, found, rest = page.partition(f"<!-- {name} -->")
    _, closed, after = rest.partition(f"<!-- /{name} -->")
    if not found or not closed:
        raise ValueError(f"{PAGE.name} has no place for '{name}': write <!-- {name} --> and <!-- /{name} -->.")
    return f"{first}<!-- {name} -->\n\n{tables}\n\n<!-- /{name} -->{after}"


def _run(name: str, data: Path, out: Path) -> bool:
    print(f"\n=== {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "evaluation", *RUNS[name], "--data", str(data), "--out", str(out / name)]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0


def _make_ready() -> None:
    """The models of the runs, and their variants; what is here already stays."""
    command = [sys.executable, "-m", "voxrelay.cli", "models"]
    subprocess.run([*command, "pull", "--bundled", "dtln", "gtcrn", "dnsmos"], check=True, cwd=REPOSITORY)
    listed = subprocess.run([*command, "list", "--json"], check=True, cwd=REPOSITORY, capture_output=True, text=True).stdout
    here = {row["name"] for row in json.loads(listed) if row["is_installed"]}
    for name, precision in VARIANT_MODELS:
        if f"{name}-{precision}" not in here:
            subprocess.run([*command, "quantize", name, "--to", precision], check=True, cwd=REPOSITORY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation speech")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "evaluation" / "out")
    parser.add_argument("--only", nargs="+", choices=sorted(RUNS), default=list(RUNS))
    parser.add_argument("--fresh", action="store_true", help="run all of them anew")
    arguments = parser.parse_args()
    missing = [name for name in arguments.only if arguments.fresh or not (arguments.out / name / "results.json").is_file()]
    if missing and not arguments.data.is_dir():
        raise SystemExit(f"There is no evaluation speech in {arguments.data}: say where with --data.")
    if missing:
        _make_ready()
    failed = [name for name in missing if not _run(name, arguments.data, arguments.out)]
    page = PAGE.read_text(encoding="utf-8")
    for name in arguments.only:
        if name not in failed:
            page = filled(page, name, tables_of(json.loads((arguments.out / name / "results.json").read_text(encoding="utf-8"))))
    PAGE.write_text(page, encoding="utf-8")
    print(f"Written: {PAGE}", file=sys.stderr)
    if failed:
        raise SystemExit(f"These failed, and stand in the page as they were: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
