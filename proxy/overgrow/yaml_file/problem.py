"""A problem in a file that people write: a stable code, the place, a message, and the fix."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from overgrow.text import printable


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or worth a note, at one place. `line` and `column` count from 1."""

    code: str
    file: str
    line: int
    column: int
    route: str | None
    message: str
    fix: str

    def __str__(self) -> str:
        who = f'route "{self.route}": ' if self.route else ""
        where = f"{self.file}:{self.line}:{self.column}"
        return printable(f"{where}: {who}{self.message}. {self.fix} [{self.code}]", keep="")

    def as_json(self) -> dict[str, object]:
        """Return the problem as the command line and /readyz print it."""
        return asdict(self)
