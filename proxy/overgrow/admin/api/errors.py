"""The errors of the API: a closed table of codes and their statuses, and the body of every error.

A body is `{"error": {code, message, fix, next}}`. `message` says what is wrong and why, `fix` what to do, and
`next` has commands that help. Refusals of a flip (REFUSALS of the table) are errors of the API too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from overgrow.table.reading.problems import NEXT_COMMANDS, REFUSALS, EditRefused


class ErrorKind(NamedTuple):
    """One code of an error: its HTTP status, its meaning, and the commands or requests that help."""

    status: int
    meaning: str
    next_commands: tuple[str, ...] = ()


_API, _SETTINGS = ("GET /api/openapi.json",), ("overgrow config",)
ERRORS: dict[str, ErrorKind] = {
    "bad-body": ErrorKind(400, "The body is not a JSON object or a form that can be read.", _API),
    "bad-parameter": ErrorKind(
        400, "A parameter is unknown, missing, given twice, or has a value it cannot have.", _API
    ),
    "bad-request": ErrorKind(400, "The request cannot be read.", _API),
    "token-needed": ErrorKind(401, "The request has no token, or a wrong one.", _SETTINGS),
    "foreign-origin": ErrorKind(
        403, "The request comes from a page of another site.", ("overgrow status",)
    ),
    "form-token": ErrorKind(403, "The form has no valid csrf token.", ("overgrow status",)),
    "reason-needed": ErrorKind(400, "A flip forward has no reason.", _API),
    "forward-needs-token": ErrorKind(
        403,
        "A flip forward needs a token, or the unix socket of the front door's owner.",
        ("overgrow flip --help",),
    ),
    "token-reads-only": ErrorKind(403, "The token is the one that only reads.", _SETTINGS),
    "no-token": ErrorKind(
        403, "The listener is reachable from elsewhere and has no token.", _SETTINGS
    ),
    "not-found": ErrorKind(404, "The API has no such path.", _API),
    "method-not-allowed": ErrorKind(405, "The path takes other methods.", _API),
    "request-entity-too-large": ErrorKind(413, "The body is larger than 16 KiB.", _API),
    "unsupported-media-type": ErrorKind(415, "The body is neither JSON nor a form.", _API),
    "unknown-host": ErrorKind(421, "Host is not a name of this listener.", _SETTINGS),
    "internal-server-error": ErrorKind(
        500, "The answer could not be made; the log says why.", ("overgrow status",)
    ),
    "file-unusable": ErrorKind(
        503,
        "A file of the front door cannot be used.",
        ("overgrow status", "overgrow rollback --all"),
    ),
}
# A refused flip conflicts with the state of the table, except where the request names what does not exist.
_STATUS_OF_REFUSAL = {"unknown-route": 404, "unknown-group": 404, "bad-flip": 400}
# Refusals of a review of stored differences (shadow/review). They are no server errors: without shadowing there is no store.
ERRORS |= {
    "unknown-mismatch": ErrorKind(
        404,
        "The beginning of an id fits no group of differences, or more than one.",
        ("overgrow diff top --all",),
    ),
    "no-evidence": ErrorKind(
        404,
        "The evidence store does not exist yet, or cannot be read.",
        ("overgrow shadow status",),
    ),
    "no-rule": ErrorKind(
        409,
        "No rule can be written for the group.",
        ("overgrow diff top",),
    ),
    "rule-exists": ErrorKind(409, "The path already has a rule.", ("overgrow diff rules",)),
    "rules-unusable": ErrorKind(
        409,
        "The rules of a route cannot be read or written, or have problems.",
        ("overgrow diff rules",),
    ),
}
ERRORS |= {
    code: ErrorKind(_STATUS_OF_REFUSAL.get(code, 409), meaning, NEXT_COMMANDS[code])
    for code, meaning in REFUSALS.items()
}
EVERYWHERE = (  # codes that every endpoint may answer
    "bad-parameter",
    "bad-request",
    "token-needed",
    "no-token",
    "unknown-host",
    "internal-server-error",
    "file-unusable",
)
OF_POSTS = (  # codes that every POST may answer, too
    "bad-body",
    "foreign-origin",
    "form-token",
    "token-reads-only",
    "request-entity-too-large",
    "unsupported-media-type",
)


class ApiError(Exception):
    """An error response of the API: a code of ERRORS, a message with the reason, the fix, and commands that help.

    `more` has further keys of the error, such as the present state of the table for a client that saw an older
    table.
    """

    def __init__(
        self,
        code: str,
        message: str,
        fix: str = "",
        next_commands: Sequence[str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.more = code, message, fix, more
        self.next_commands = next_commands

    @property
    def status(self) -> int:
        """The status of the answer."""
        return ERRORS[self.code].status

    def as_json(self) -> dict[str, Any]:
        """Return the body."""
        return error_json(self.code, self.message, self.fix, self.next_commands, **self.more)


def error_json(
    code: str,
    message: str,
    fix: str = "",
    next_commands: Sequence[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the body of an error.

    If `next_commands` is missing, the body has the commands that ERRORS lists for the code.
    """
    if next_commands is None:
        next_commands = ERRORS[code].next_commands if code in ERRORS else ()
    error = {"code": code, "message": message, "fix": fix, "next": list(next_commands), **more}
    return {"error": error}


def api_error_of(refused: EditRefused) -> ApiError:
    """Return a refused edit of the table as an error of the API."""
    problems = [problem.as_json() for problem in refused.problems]
    return ApiError(
        refused.code,
        f"{refused.message}.",
        refused.fix,
        refused.next_commands,
        **({"problems": problems} if problems else {}),
    )
