"""What an exception says of itself, in words. Errors of the team's app may be anything, also one that cannot say it."""

from __future__ import annotations


def text_of(error: BaseException) -> str:
    """The text of an error; of one whose `__str__` fails, that it does."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001  user code may raise anything
        return f"no text, as its __str__ raises {type(fault).__name__}"
