"""When each fault was, and when each caller's finals came, how late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos.campaign import Round
from benchmarks.chaos.faults import KINDS

MOST_ROUNDS = 10


def draw(rounds: Sequence[Round], path: Path) -> None:
    """One pair of panels a round: faults above, finals below. Of many rounds those that found something come first, and the rest is left out."""
    rounds = sorted(rounds, key=lambda done: done.is_clean)[:MOST_ROUNDS]
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    heights = [height for done in rounds for height in (max(2.0, 0.28 * len(done.struck)), 2.4)]
    figure, panels = pyplot.subplots(len(heights), 1, figsize=(12, sum(heights) + 1), gridspec_kw={"height_ratios": heights}, squeeze=False)
    colours = {kind: f"C{number % 10}" for number, kind in enumerate(KINDS)}
    for number, done in enumerate(rounds):
        above, below = panels[2 * number][0], panels[2 * number + 1][0]
        for row, struck in enumerate(done.struck):
            fault = struck.fault
            above.barh(row, max(0.3, struck.ended_s - struck.began_s), left=struck.began_s, color=colours[fault.kind], height=0.7)
            above.text(struck.began_s, row, f" {fault.kind}: {fault.target.removeprefix('speech.')}", fontsize=7, va="center")
        above.set_yticks([])
        above.invert_yaxis()
        above.set_title(f"seed {done.seed}: faults, from the break until it was mended", fontsize=9, loc="left")
        for caller in done.callers:
            waits = caller.waits_s
            below.plot([at for at, _ in waits], [wait for _, wait in waits], marker=".", markersize=4, linewidth=0.6, alpha=0.7)
        below.set_ylabel("final after its\nlast word, s", fontsize=8)
        below.set_xlabel("seconds since the run began, a line a caller", fontsize=8)
        last_s = max([1.0, *(at for caller in done.callers for at, _ in caller.waits_s), *(struck.ended_s for struck in done.struck)])
        for panel in (above, below):
            panel.set_xlim(0, last_s * 1.02)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
