"""Handles the scalars of a YAML file: their YAML types, their variables, and errors for invalid values.

Pure. This module does not know nodes or the meaning of fields. `label` is the field's name in messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import yaml

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_WORD = re.compile(r"[^\W_]+")
# Codes whose messages quote nothing that could be a secret.
_SAFE_TO_SHOW = ("legacy-url", "variable-syntax", "variable-unset")
_RESOLVERS = yaml.resolver.Resolver.yaml_implicit_resolvers


class FieldError(Exception):
    """A value is invalid for its field."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code, self.message, self.fix = code, message, fix


def fill_variables(text: str, label: str, env: Mapping[str, str]) -> str:
    """Return the text with ${VAR} and ${VAR:-default} replaced. `$${` stands for a literal `${`.

    As with ${VAR:-default} in a shell, the default also replaces an empty variable.
    """

    def one(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            what = f"{label} contains a ${{ that does not begin a variable"
            raise FieldError(
                "variable-syntax", what, "Write ${VAR}, ${VAR:-default}, or $${ for a plain ${."
            )
        if default is not None and "${" in default:
            what = f"{label} has a variable in the default of {name}; variables cannot be nested"
            raise FieldError(
                "variable-syntax", what, f"Write plain text there, as in ${{{name}:-text}}."
            )
        if (value := env.get(name)) or (value is not None and default is None):
            return value
        if default is None:
            what = f"{label} needs the variable {name}, which is not set"
            raise FieldError("variable-unset", what, f"Set {name} or write ${{{name}:-default}}.")
        return str(default)

    return _VARIABLE.sub(one, text)


def hide_variables(bad: FieldError, text: str, env: Mapping[str, str]) -> FieldError:
    """Return the error of a value that is written as `text`, without showing the values of its variables.

    A variable may hold a secret, and problems are shown in the log and in /readyz, which needs no token.
    """
    names = [name for match in _VARIABLE.finditer(text) if env.get(name := match[1] or "")]
    if not names or bad.code in _SAFE_TO_SHOW:
        return bad
    held, which = fill_variables(text, "", env), " and ".join(dict.fromkeys(names))
    message = bad.message
    for quoted in (held, repr(held)):
        for verb in ("is", "contains"):
            message = message.replace(f" {verb} {quoted}", f" {verb} {text}", 1)
    if _reveals(message, held, text):
        message = f"the value of {which} does not fit here"
    fix = f"Fix the value of {which}." if _reveals(bad.fix, held, text) else bad.fix
    return FieldError(bad.code, message, fix)


def _reveals(message: str, value: str, written: str) -> bool:
    """Return whether a message contains a word from a variable's `value` that the text in the file does not contain."""
    words = {word.lower() for word in _WORD.findall(value)}
    shown = {word.lower() for word in _WORD.findall(message)}
    return bool(words & shown - {word.lower() for word in _WORD.findall(written)})


def name_and_value(label: str, text: str) -> str:
    """Return the beginning of a problem: `canary is ten`, or `canary is empty`."""
    return f"{label} is {text or 'empty'}"


def yaml_type(text: str) -> str:
    """Return the YAML 1.1 type of a plain scalar: "str", "int", "bool", "float", "null", ..."""
    if not text:
        return "null"
    for tag, pattern in _RESOLVERS.get(text[0], ()):
        if pattern.match(text):
            return str(tag.rpartition(":")[2])
    return "str"


def yaml_trap(text: str, label: str) -> FieldError | None:
    """Return the error of a plain scalar that YAML 1.1 reads in an unexpected way; None for any other scalar."""
    kind = yaml_type(text)
    if kind == "bool" and text.lower() not in ("true", "false"):
        meant = "true" if text.lower() in ("on", "yes", "y") else "false"
        what = f"{label} is {text}, which YAML 1.1 reads as {meant}"
        return FieldError("yaml-trap", what, f'Write "{text}" with quotes if the word is meant.')
    if kind in ("int", "float") and (read := _surprising_number(text)) is not None:
        what = f"{label} is {text}, which YAML 1.1 reads as {read}"
        return FieldError("yaml-trap", what, f'Write "{text}" with quotes if the text is meant.')
    return None


def _surprising_number(text: str) -> str | None:
    """Return the number that YAML 1.1 reads in base 60, octal, hexadecimal, binary or underscored digits; None for other text."""
    if re.fullmatch(r"[-+]?(?:0|[1-9][0-9]*)|[-+]?[0-9]*\.[0-9]*(?:[eE][-+][0-9]+)?", text):
        return None
    try:
        return str(yaml.safe_load(text))
    except ValueError:
        return "a number"


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to a word, ignoring case. Return None if no word is similar."""
    folded = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None
