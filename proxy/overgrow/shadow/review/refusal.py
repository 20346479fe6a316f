"""The refusal to write a rule: a code, what is wrong, the fix, and the problems of the file, if any."""

from __future__ import annotations

from collections.abc import Sequence

from overgrow.yaml_file.problem import Problem


class ReviewRefused(Exception):
    """A refused request about stored differences. Nothing was changed."""

    def __init__(
        self, code: str, message: str, fix: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.problems = code, message, fix, tuple(problems)
