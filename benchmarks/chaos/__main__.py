"""Faults on purpose, and what they changed.

    scripts/voxrelay-chaos [--seed 1] [--rounds 3] [--sessions 6] [--seconds 60] [--faults kill freeze …] [--brokers 3]

Starts a Kafka cluster, PostgreSQL, an S3 server and the seven services as processes of its own, lets people speak undisturbed, then again
while a seeded plan breaks one thing after another, and compares everything the callers heard and everything that was kept. Prints a
table, writes benchmarks/out/chaos.json and chaos.png; exit status 0 when nothing was lost, doubled or changed, else 1. It needs
nothing but what ``scripts/services`` needs, and real speech (--data).

    scripts/voxrelay-chaos --engine digest --rounds 0 --repeat 20 --sessions 50 --seconds 12 --speed 0.5

is a night on two cores: every kind on every target, alone, with 20 seeds, under 50 callers who speak at half their speed.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benchmarks.chaos.callers import voices  # noqa: E402  # local_services lies in scripts/
from benchmarks.chaos.campaign import Campaign, Round  # noqa: E402
from benchmarks.chaos.faults import CLOCKS, KINDS  # noqa: E402
from benchmarks.chaos.picture import draw  # noqa: E402
from benchmarks.chaos.plan import deal, every_fault, plan  # noqa: E402
from benchmarks.chaos.platform import FAKETIME, Platform  # noqa: E402
from benchmarks.chaos.verdict import Verdict  # noqa: E402
from benchmarks.report import DATA, OUT, percentile, print_table, write_json  # noqa: E402


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="voxrelay-chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--seed", type=int, default=1, help="decides the plan, and to which gateway each caller goes")
    found.add_argument("--rounds", type=int, default=3, help="the faults are shared out over so many runs; 0: a run for each")
    found.add_argument("--repeat", type=int, default=1, help="the whole plan again with so many seeds, counted up from --seed")
    found.add_argument("--of-each", type=int, default=None, metavar="N", help="strike only N targets of each kind, which the seed chooses")
    found.add_argument("--sessions", type=int, default=6)
    found.add_argument("--voices", type=int, default=3, help="different speech; the undisturbed run speaks each once")
    found.add_argument("--seconds", type=float, default=60.0, help="for how long everybody speaks")
    found.add_argument("--speed", type=float, default=1.0, help="1 is real time")
    found.add_argument("--faults", nargs="*", default=None, metavar="KIND", help=f"default: all ({', '.join(KINDS)})")
    found.add_argument(
        "--engine",
        choices=("bundled", "digest"),
        default="bundled",
        help="digest: words that are a digest of the samples; costs next to nothing",
    )
    found.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    found.add_argument("--data", type=Path, default=DATA, help="folder of real speech")
    found.add_argument("--keep", type=Path, default=None, help="folder for logs; kept")
    return found


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _kinds(arguments: argparse.Namespace) -> list[str]:
    if arguments.faults:
        return list(arguments.faults)
    if not FAKETIME.exists():
        _say("clock jumps are left out: Debian's libfaketime is not installed")
    left_out = set() if FAKETIME.exists() else set(CLOCKS)
    return [kind for kind in KINDS if kind not in left_out]


def run(arguments: argparse.Namespace, folder: Path, done: list[Round]) -> None:
    """All rounds on one start of the platform; each is added to ``done`` when it is over."""
    kinds = _kinds(arguments)
    faults = [(kind, target) for kind, target in every_fault(kinds) if arguments.brokers == 3 or target not in ("kafka-2", "kafka-3")]
    spoken = voices(min(arguments.voices, arguments.sessions), arguments.seconds * arguments.speed, arguments.data)
    modules = {"transcribe": ("benchmarks.chaos.digest",)} if arguments.engine == "digest" else {}
    with Platform(folder, _say, brokers=arguments.brokers, modules=modules, has_clock=not CLOCKS.isdisjoint(kinds)) as platform:
        campaign = Campaign(platform, spoken, arguments.sessions, _say, speed=arguments.speed)
        try:
            campaign.run_undisturbed()
            for repeat in range(arguments.repeat):
                seed = arguments.seed + repeat
                for number, hand in enumerate(deal(seed, arguments.rounds or len(faults), faults, arguments.of_each)):
                    run_seed = seed * 1000 + number
                    done.append(campaign.run(run_seed, plan(run_seed, campaign.duration_s, hand)))
        finally:
            campaign.close()


def report(done: Sequence[Round], arguments: argparse.Namespace) -> bool:
    """Table, JSON and picture; whether all is well."""
    total = Verdict()
    for one in done:
        total.add(one.verdict)
    is_clean = bool(done) and all(one.is_clean for one in done)
    counts = Counter(struck.fault.kind for one in done for struck in one.struck)
    rounds = Counter(kind for one in done for kind in {struck.fault.kind for struck in one.struck})
    print_table(
        f"faults, each while {arguments.sessions} people spoke",
        ["kind", "what", "times", "in rounds"],
        [[kind, KINDS[kind].what, times, rounds[kind]] for kind, times in counts.items()],
    )
    print_table("held against the undisturbed run", ["what", "compared", "lost", "doubled", "changed"], total.rows())
    for one in done:
        for difference in one.verdict.differences[:20]:
            print(f"  seed {one.seed}, caller {difference.session + 1}: {difference.kind} {difference.what}: {difference.key}")
        for problem in one.problems:
            print(f"  seed {one.seed}: {problem}")
    waits = [wait for one in done for caller in one.callers for _, wait in caller.waits_s]
    lost, doubled, changed = (sum(row[column] for row in total.rows()) for column in (2, 3, 4))
    outcome = f"{lost} lost, {doubled} doubled, {changed} changed"
    print(f"\n{'PASSED' if is_clean else 'FAILED'}: {outcome}; {len(waits)} finals under {sum(counts.values())} faults")
    if waits:
        print(f"a final came {percentile(waits, 0.5):.1f} s after its last word (median), {max(waits):.1f} s at worst")
    figures = {
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "is_clean": is_clean,
        "lost": lost,
        "doubled": doubled,
        "changed": changed,
        "compared": dict(total.counted),
        "rounds": [
            {
                "seed": one.seed,
                "problems": one.problems,
                "ended_by_themselves": one.restarts,
                "differences": [asdict(difference) for difference in one.verdict.differences],
                "faults": [asdict(struck.fault) | {"began_s": struck.began_s, "ended_s": struck.ended_s} for struck in one.struck],
                "callers": [
                    {"voice": caller.voice, "connections": caller.connections, "finals_s_and_waits_s": caller.waits_s} for caller in one.callers
                ],
            }
            for one in done
        ],
    }
    write_json("chaos", figures)
    if done:
        draw(done, OUT / "chaos.png")
        print(f"drawn: {OUT / 'chaos.png'}")
    return is_clean


def main(command_line: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(command_line)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="voxrelay-chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then too
    done: list[Round] = []
    is_clean = False
    try:
        run(arguments, folder, done)
    finally:  # a night that was interrupted has something to tell, too
        is_clean = report(done, arguments)
    if is_clean and arguments.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs: {folder}")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
