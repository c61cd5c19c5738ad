"""Partitions, processes, cores, disks and GPUs for so many live sessions: arithmetic over measured unit costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

AUDIO_KB_A_SECOND = 32.0  # 16 kHz, one channel, 16 bits
COPIES = 3  # of every record
AUDIO_TOPICS = 2  # received and denoised
FULL = 0.6  # how much of a core is planned with: the rest is for a lost machine, a rebalance, noise
BROKER_MB_A_SECOND = 100.0  # planned writes of one broker, with its share of the copies
PARTITIONS_A_BROKER = 2000  # planned; a broker takes more, its recovery then takes longer
CELL = 5_000  # sessions of one installation; more of them stand side by side behind one name

WORKERS_A_PROCESS = 8  # cores of one process of a stage
TOPICS = 20  # of the live lane, with dead letters and checkpoints


@dataclass(frozen=True)
class Assumed:
    """What no measurement here can say, and every operator must."""

    speaking: float = 0.5  # share of a call in which its caller speaks
    retention_h: float = 24.0  # of the audio topics
    streams_a_gpu: int = 0  # live streams that one GPU transcribes; 0: transcription on processors


@dataclass(frozen=True)
class Size:
    cells: int
    partitions: int  # of every topic, of a cell
    gateways: int
    cores: Mapping[str, int]  # by stage
    gpus: int
    brokers: int
    log_tb: float
    busiest_partition: float  # sessions above the mean, as a factor: three standard deviations of a random assignment


def size(sessions: int, gateway_cores_a_session: float, stage_cores_a_stream: Mapping[str, float], assumed: Assumed) -> Size:
    """``stage_cores_a_stream``: cores a stage needs for one stream whose caller speaks without a pause."""
    cells = math.ceil(sessions / CELL)
    in_cell = math.ceil(sessions / cells)
    gateways = math.ceil(in_cell * gateway_cores_a_session / FULL)
    on_gpu = ("transcribe",) if assumed.streams_a_gpu else ()
    cores = {
        stage: math.ceil(in_cell * (1.0 if stage == "denoise" else assumed.speaking) * of_one / FULL)  # denoise hears silence too
        for stage, of_one in stage_cores_a_stream.items()
        if stage not in on_gpu
    }
    gpus = math.ceil(in_cell * assumed.speaking / assumed.streams_a_gpu) if assumed.streams_a_gpu else 0
    # A partition has one reader: there must be as many of them as processes of any kind.
    readers = max([gateways, gpus, *(math.ceil(count / WORKERS_A_PROCESS) for count in cores.values())])
    partitions = 1 << math.ceil(math.log2(max(8, 2 * readers)))  # twice: room to grow, since partitions are not added to a keyed topic
    megabytes = in_cell * AUDIO_KB_A_SECOND * AUDIO_TOPICS * COPIES / 1000
    brokers = max(COPIES, math.ceil(megabytes / BROKER_MB_A_SECOND), math.ceil(partitions * TOPICS * COPIES / PARTITIONS_A_BROKER))
    log_tb = megabytes * assumed.retention_h * 3600 / 1e6
    return Size(cells, partitions, gateways, cores, gpus, brokers, round(log_tb, 1), round(1 + 3 / math.sqrt(in_cell / partitions), 2))
