"""Checks SQL expressions that people write into data.yaml, and finds the words in them. Pure.

Our statements contain an expression in parentheses. Therefore it must be complete in itself, read only one row,
and always give the same value for the same row.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>--|/\*)|(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")"""
    r"""|(?P<dollar>\$\w*\$)|(?P<number>\d[\w.]*|\.\d\w*)|(?P<word>[^\W\d][\w$]*)|(?P<sign>.)""",
    re.DOTALL,
)
# Words that read other rows, or give another value at another time.
_OTHER_ROWS = frozenset({"select", "over", "with", "values", "returning"})
_UNSTABLE = frozenset(
    [
        "random",
        "randomblob",
        "now",
        "current_timestamp",
        "current_time",
        "current_date",
        "clock_timestamp",
        "localtime",
        "localtimestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "timeofday",
        "gen_random_uuid",
        "uuid_generate_v4",
        "nextval",
        "currval",
        "lastval",
        "setval",
        "last_insert_rowid",
        "changes",
        "total_changes",
        "current_user",
        "session_user",
    ]
)
_AGGREGATES = frozenset(
    [
        "count",
        "sum",
        "avg",
        "total",
        "group_concat",
        "string_agg",
        "array_agg",
        "json_agg",
        "jsonb_agg",
        "row_number",
        "rank",
    ]
)


class ExpressionError(Exception):
    """A text is not an expression that a mapping can use."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class Token(NamedTuple):
    """A piece of an expression: its kind (word, quoted, text, number, sign) and its text."""

    kind: str
    text: str


def tokens_of(expression: str) -> list[Token]:
    """Return the tokens of an expression, without blanks."""
    found = (Token(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(expression))
    return [token for token in found if token.kind != "space"]


def require_expression(expression: str) -> None:
    """If the text is not one complete expression over a row, raise ExpressionError."""
    tokens = tokens_of(expression)
    if not tokens:
        raise ExpressionError("is empty", "Write a column or an SQL expression.")
    depth = 0
    for token in tokens:
        _require_token(token)
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if depth < 0:
            break
    if depth:
        raise ExpressionError("has unbalanced parentheses", "Close each parenthesis once.")
    for token, after in zip(tokens, [*tokens[1:], Token("end", "")], strict=True):
        _require_stable(token, after)


def _require_token(token: Token) -> None:
    if token.kind == "comment" or (token.kind == "sign" and token.text in ";\0"):
        what = f"contains {token.text!r}, which ends or hides a part of a statement"
        raise ExpressionError(what, "Write one expression without comments.")
    if token.kind == "dollar":
        raise ExpressionError("contains a dollar quote", "Write text in single quotes.")
    if token.kind == "sign" and token.text in "'\"`":
        raise ExpressionError("has a quote that is not closed", "Close each quote.")
    if token.text == "?":
        what = "contains '?', which would be a parameter"
        raise ExpressionError(what, "Write the value itself.")


def _require_stable(token: Token, after: Token) -> None:
    """If the expression has a word that reads other rows, or whose value changes with time, raise ExpressionError."""
    if token.kind != "word":
        return
    word = token.text.lower()
    if word in _OTHER_ROWS or (word in _AGGREGATES and after.text == "("):
        what = f"contains {token.text}, which reads other rows"
        raise ExpressionError(what, "Write an expression over the columns of one row.")
    if word in _UNSTABLE:
        what = f"contains {token.text}, which gives another value at another time"
        raise ExpressionError(what, "Write an expression over the columns of one row.")


def bare_column(expression: str) -> str | None:
    """If an expression is only the name of a column, return the name; else return None."""
    tokens = tokens_of(expression)
    if len(tokens) != 1 or tokens[0].kind not in ("word", "quoted"):
        return None
    return _name_of(tokens[0])


def names_in(expression: str) -> frozenset[str]:
    """Return the names in an expression: columns, and also functions and keywords."""
    return frozenset(
        _name_of(token) for token in tokens_of(expression) if token.kind in ("word", "quoted")
    )


def quoted_names(expression: str) -> frozenset[str]:
    """Return the names in double quotes. SQLite would silently read an unknown one as text."""
    return frozenset(_name_of(token) for token in tokens_of(expression) if token.kind == "quoted")


def _name_of(token: Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
