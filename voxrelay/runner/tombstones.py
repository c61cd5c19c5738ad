"""What the stages' compacted topics still hold of sessions that were deleted is removed by tombstones."""

from __future__ import annotations

from collections.abc import Sequence

from voxrelay.bus.api import Bus
from voxrelay.topology import STAGES, checkpoint_topic

OVER_AFTER_S = (
    2 * 3600.0
)  # longer than a session lives and idles (VOXRELAY_GATEWAY_SESSION_LIFETIME_S and VOXRELAY_SESSION_IDLE_S): no replay needs it
KEPT_S = 26 * 3600.0  # a little longer than the checkpoint topics keep anything


def forget_checkpoints(bus: Bus, session_ids: Sequence[str]) -> None:
    """Tombstones for every stage's checkpoints of these sessions, on both lanes.

    For sessions opened between ``KEPT_S`` and ``OVER_AFTER_S`` ago: older ones are gone by themselves, and a younger one may still be
    replayed; its state is overwritten when it ends. Raises ``Unavailable`` when the log does not take them.
    """
    if not session_ids:
        return
    producer = bus.producer()
    try:
        for topic in [checkpoint_topic(stage, lane) for stage in STAGES for lane in stage.reads.lanes]:
            for session_id in session_ids:
                producer.send(topic, session_id.encode(), None)
        producer.flush()
    finally:
        producer.close()
