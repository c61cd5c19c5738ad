"""Reads deploy/Dockerfile into stages, for the checks that need no Docker engine."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent / "deploy" / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """``flags`` are the leading ``--name=value`` words; ``rest`` is what follows them."""

    keyword: str
    flags: tuple[str, ...]
    rest: str

    def flag(self, name: str) -> str:
        """The value of ``--name=value``, or nothing."""
        return next((flag.partition("=")[2] for flag in self.flags if flag.startswith(f"--{name}=")), "")


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV lines set, variables not yet replaced."""
        return dict(word.split("=", 1) for line in self.all("ENV") for word in shlex.split(line.rest))


@dataclass(frozen=True)
class Dockerfile:
    arguments: dict[str, str]  # of the ARG lines before the first stage
    stages: dict[str, Stage]

    def lineage(self, name: str) -> list[Stage]:
        """The stage and those it is made from, itself last."""
        stage = self.stages[name]
        return [*(self.lineage(stage.base) if stage.base in self.stages else []), stage]

    def weights_of(self, name: str) -> str:
        """The stage whose models a stage copies; empty where it has none."""
        copied = [instruction.flag("from") for instruction in self.stages[name].all("COPY") if instruction.rest.startswith("/models/")]
        return copied[0] if copied else ""

    def setting(self, name: str, keyword: str) -> str:
        """The last such instruction of a stage or of those it is made from; empty where there is none."""
        found = [instruction.rest for stage in self.lineage(name) for instruction in stage.all(keyword)]
        return found[-1] if found else ""

    def environment(self, name: str) -> dict[str, str]:
        merged: dict[str, str] = {}
        for stage in self.lineage(name):
            merged |= stage.environment
        return merged


def read(path: Path = PATH) -> Dockerfile:
    """Raises ValueError for a line that is no instruction."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        matched = re.fullmatch(r"([A-Z]+)((?:\s+--[a-z-]+=\S+)*)\s+(.+)", line)
        if matched is None:
            raise ValueError(f"This is no instruction: {line}")
        instruction = Instruction(matched[1], tuple(matched[2].split()), matched[3].strip())
        if instruction.keyword == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            for variable, value in arguments.items():
                base = base.replace(f"${{{variable}}}", value)
            current = stages[name] = Stage(name, base)
        elif current is None:
            variable, _, value = instruction.rest.partition("=")
            arguments[variable] = value
        else:
            current.instructions.append(instruction)
    return Dockerfile(arguments, stages)
