"""The only loop: poll, await the acknowledgements of the batch before, checkpoint and commit it, decode, process, publish."""

from voxrelay.runner.projection_runner import ProjectionRunner
from voxrelay.runner.stage_runner import StageRunner

__all__ = ["ProjectionRunner", "StageRunner"]
