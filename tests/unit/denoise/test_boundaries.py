"""Properties of utterances, whatever the detector says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.denoise.boundaries import LOOK_BACK_SAMPLES, Boundaries, Boundary, BoundaryRules
from services.denoise.engine import FRAME_SAMPLES
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.events import UtteranceEnded, UtteranceStarted

RULES = BoundaryRules(soft_length=2 * SAMPLE_RATE_HZ, longest=3 * SAMPLE_RATE_HZ)
PAUSE = SAMPLE_RATE_HZ // 2

# Speech and silence last: runs of equal probability, with finalize requests and changes of the gate between.
RUNS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), st.integers(1, 60), st.sampled_from(["", "", "", "finalize", "open", "gate", "save"])),
    max_size=25,
)


def _hear(runs: list[tuple[float, int, str]], is_gated: bool, tail: int) -> tuple[list[tuple[int, Boundary]], int]:
    """What was said, each with the position at which it was; and the last position."""
    boundaries = Boundaries(RULES, pause=PAUSE, is_gated=is_gated)
    said: list[tuple[int, Boundary]] = []
    position = 0
    for probability, count, then in runs:
        for _ in range(count):
            start, position = position, position + FRAME_SAMPLES
            said += [(position, boundary) for boundary in boundaries.hear(start, position, probability, 20.0)]
        if then == "finalize":
            said += [(position, boundary) for boundary in boundaries.finish("finalize", position + tail, 20.0)]
        elif then == "save":
            boundaries = Boundaries.load(RULES, boundaries.dump())
        elif then:
            boundaries.configure(pause=PAUSE, is_gated=then == "gate")
    said += [(position, boundary) for boundary in boundaries.finish("end", position + tail, 20.0)]
    return said, position + tail


@given(RUNS, st.booleans(), st.integers(0, FRAME_SAMPLES - 1))
@settings(max_examples=300, deadline=None)
def test_utterances_are_in_order_disjoint_within_the_audio_and_never_too_long(runs: list[tuple[float, int, str]], is_gated: bool, tail: int) -> None:
    said, last = _hear(runs, is_gated, tail)
    assert len(said) % 2 == 0
    before = 0
    for number, ((announced, started), (ended_at, ended)) in enumerate(zip(said[::2], said[1::2], strict=True), start=1):
        assert isinstance(started, UtteranceStarted)
        assert isinstance(ended, UtteranceEnded)
        assert started.utterance_id == ended.utterance_id == f"u{number}"
        assert started.start_sample == ended.start_sample
        assert before <= started.start_sample < ended.end_sample <= min(last, ended_at + tail)
        assert ended.end_sample - started.start_sample <= RULES.longest
        assert announced - started.start_sample <= LOOK_BACK_SAMPLES + FRAME_SAMPLES
        before = ended.end_sample


@given(RUNS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_saving_changes_nothing(runs: list[tuple[float, int, str]], is_gated: bool) -> None:
    unsaved = [(probability, count, "" if then == "save" else then) for probability, count, then in runs]
    always_saved = [(probability, 1, "save") for probability, count, then in unsaved if then == "" for _ in range(count)]
    assert _hear(always_saved, is_gated, 0) == _hear([(p, n, "") for p, n, then in unsaved if then == ""], is_gated, 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 60)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_without_voice_activity_every_sample_is_in_an_utterance(runs: list[tuple[float, int]]) -> None:
    said, last = _hear([(probability, count, "") for probability, count in runs], False, 0)
    ends = [boundary for _, boundary in said if isinstance(boundary, UtteranceEnded)]
    assert [ended.start_sample for ended in ends] == [0, *(ended.end_sample for ended in ends)][: len(ends)]
    assert not ends or ends[-1].end_sample == last


def test_speech_is_padded_and_ends_after_the_pause() -> None:
    said, _ = _hear([(0.0, 50, ""), (0.9, 20, ""), (0.1, 40, "")], True, 0)
    (announced, started), (ended_at, ended) = said
    assert isinstance(ended, UtteranceEnded)
    assert started.start_sample == 50 * FRAME_SAMPLES - RULES.before
    assert announced == 53 * FRAME_SAMPLES
    assert ended.end_sample == 70 * FRAME_SAMPLES + RULES.after
    assert 0 <= ended_at - (70 * FRAME_SAMPLES + PAUSE) < FRAME_SAMPLES
    assert ended.reason == "pause"


def test_a_click_is_no_utterance() -> None:
    assert _hear([(0.0, 20, ""), (1.0, 2, ""), (0.0, 60, "")], True, 0)[0] == []


def test_hesitant_frames_go_on_but_do_not_set_in() -> None:
    assert _hear([(0.4, 100, "")], True, 0)[0] == []
    said, _ = _hear([(0.6, 5, ""), (0.4, 30, ""), (0.0, 40, "")], True, 0)
    assert said[1][1].end_sample == 35 * FRAME_SAMPLES + RULES.after  # type: ignore[union-attr]


def test_finalize_ends_at_once_and_speech_goes_on_from_there() -> None:
    said, _ = _hear([(0.9, 20, "finalize"), (0.9, 10, "")], True, 100)
    first, second = [boundary for _, boundary in said if isinstance(boundary, UtteranceEnded)]
    assert (first.end_sample, first.reason) == (20 * FRAME_SAMPLES + 100, "finalize")
    assert second.start_sample == first.end_sample


def test_long_speech_is_cut_where_it_is_least_speech_like() -> None:
    dip = (RULES.longest - 5 * FRAME_SAMPLES) // FRAME_SAMPLES
    said, _ = _hear([(1.0, dip, ""), (0.4, 1, ""), (1.0, 30, "")], True, 0)
    first = said[1][1]
    assert isinstance(first, UtteranceEnded)
    assert first.reason == "length"
    assert dip * FRAME_SAMPLES <= first.end_sample <= (dip + 1) * FRAME_SAMPLES
    assert said[2][1].start_sample == first.end_sample


def test_beyond_the_soft_length_a_shorter_pause_is_enough() -> None:
    frames = RULES.soft_length // FRAME_SAMPLES + 10
    said, _ = _hear([(1.0, frames, ""), (0.0, 13, ""), (1.0, 10, "")], True, 0)
    first = said[1][1]
    assert isinstance(first, UtteranceEnded)
    assert first.reason == "length"
    assert first.end_sample > frames * FRAME_SAMPLES
