"""The command line: ``voxrelay --help``. Each command has a file of its own."""

from voxrelay.cli.app import main

__all__ = ["main"]
