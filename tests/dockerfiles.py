"""The Dockerfiles of the project, as instructions that a test can read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a Dockerfile, continuations joined, and the stage it stands in."""

    stage: str
    word: str
    text: str


def instructions_of(path: Path) -> list[Instruction]:
    """Return the instructions of a Dockerfile, in order, without its comments."""
    text = re.sub(r"\\\n\s*", " ", path.read_text("utf-8"))
    found, stage = [], ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split(" AS ")[1]
        found.append(Instruction(stage, word, rest))
    return found


def environment_of(instructions: Iterable[Instruction]) -> dict[str, str]:
    """Return the variables that ENV sets in these instructions; a later one wins."""
    pairs = [
        pair.partition("=")
        for each in instructions
        if each.word == "ENV"
        for pair in shlex.split(each.text)
    ]
    return {name: value for name, _, value in pairs}
