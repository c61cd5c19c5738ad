"""The only loop: poll, decode, process, publish, await acknowledgements, checkpoint, commit."""

from voxrelay.runner.projection_runner import ProjectionRunner
from voxrelay.runner.stage_runner import StageRunner

__all__ = ["ProjectionRunner", "StageRunner"]
