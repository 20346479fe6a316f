"""Logins at the admin pages: cookies that every worker can check. A logout makes the cookie invalid for good.

A session is `v3.<unix expiry>.<id>.<name in hex>.<signature>`, signed with `<state>/secret`; the name is what
the person wrote into the login form, and may be empty. The signature also covers the token of the login, which
determines what the session may do. Logout leaves an empty file in `<state>/ended/`, so that a copied cookie is
invalid in every worker, also after a restart. A new token or a new secret ends all sessions. If the secret
cannot be written (on a full disk, for instance), a slow function derives the key from the token, so that people
can still log in.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from overgrow.files import ANSWER_S, read_regular, replace_file, within, write_draft

SESSION_COOKIE = "overgrow_admin"
SESSION_S = 12 * 3600
ENDED = "ended"
ROUNDS = 200_000
MOST_KEY = 4096  # bytes of the secret that count
_COOKIE = re.compile(r"v3\.(\d{1,12})\.([0-9a-f]{32})\.([0-9a-f]*)\.[0-9a-f]{64}", re.ASCII)


def new_session(token: str, key: bytes, expiry_s: int, name: str = "") -> str:
    """Return a new, unique session cookie for a client that sent the token."""
    return _sign(token, key, f"v3.{expiry_s}.{secrets.token_hex(16)}.{name.encode().hex()}")


def name_in_session(cookie: str) -> str:
    """Return the name of the person who logged in; empty if they gave none."""
    found = _COOKIE.fullmatch(cookie)
    return bytes.fromhex(found[3]).decode() if found else ""


def _sign(token: str, key: bytes, text: str) -> str:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f"{text}.{hmac.new(key, f'admin.{text}.{digest}'.encode(), 'sha256').hexdigest()}"


def is_valid_session(cookie: str, token: str, key: bytes, now_s: float) -> bool:
    """Whether `new_session` made the cookie and it has not expired."""
    found = _COOKIE.fullmatch(cookie)
    if found is None or int(found[1]) <= now_s:
        return False
    return hmac.compare_digest(cookie, _sign(token, key, cookie.rpartition(".")[0]))


def find_session(cookies: Iterable[str], token: str, state: Path, now_s: float) -> str | None:
    """Return the first cookie that is a valid session; None if no cookie is valid.

    A request may have several cookies of this name, because other servers on this host may set such cookies
    too.
    """
    given = [cookie for cookie in cookies if _COOKIE.fullmatch(cookie)]
    if not given:
        return None
    key = session_key(state, token)
    valid = (cookie for cookie in given if is_valid_session(cookie, token, key, now_s))
    return next((cookie for cookie in valid if not is_session_ended(state, cookie)), None)


def end_session(state: Path, cookie: str, now_s: float) -> None:
    """End a session for good, and delete the files of expired sessions.

    Raises:
        OSError: if the file cannot be written; in this case a copy of the cookie stays valid until it expires.

    """
    within(ANSWER_S, state / ENDED, partial(_mark_ended, state / ENDED, cookie, now_s))


def _mark_ended(folder: Path, cookie: str, now_s: float) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / _marker_name(cookie)).touch(mode=0o600)
    for name in os.listdir(folder):  # noqa: PTH208 - names are all that is in them
        expiry = name.partition(".")[0]
        if expiry.isdigit() and int(expiry) <= now_s:
            with suppress(OSError):
                (folder / name).unlink()


def is_session_ended(state: Path, cookie: str) -> bool:
    """Whether somebody logged out of a session.

    Raises:
        OSError: if the state folder does not respond.

    """
    path = state / ENDED / _marker_name(cookie)
    return within(ANSWER_S, path, partial(os.path.lexists, path))


def _marker_name(cookie: str) -> str:
    """Return the name of the file that marks an ended session: expiry and id.

    Nobody can make the cookie from these two.
    """
    return ".".join(cookie.split(".")[1:3])


def session_key(state: Path, token: str) -> bytes:
    """Return the key that signs sessions: the secret.

    If the secret cannot be written, return a key derived from the token.
    """
    try:
        return signing_key(state)
    except OSError:
        return _derive_key(token)


@cache
def _derive_key(token: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", token.encode(), b"overgrow admin session", ROUNDS)


def form_token(key: bytes, session_cookie: str) -> str:
    """Return the CSRF token for the forms of a session. Pages of other sites do not know it."""
    return hmac.new(key, f"form.{session_cookie}".encode(errors="replace"), "sha256").hexdigest()


def is_valid_form_token(given: str, key: bytes, session_cookie: str) -> bool:
    """Whether a form has the CSRF token of the session."""
    return hmac.compare_digest(
        given.encode(errors="replace"), form_token(key, session_cookie).encode()
    )


def signing_key(state: Path) -> bytes:
    """Return the key in `<state>/secret`; the first worker that needs it makes the file (0600).

    A power cut can leave an empty file. Such a file is replaced, because anybody could sign with an empty key.
    """
    path = state / "secret"
    return within(ANSWER_S, path, partial(_read_or_make_key, path))


def _read_or_make_key(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        if key := read_regular(path, MOST_KEY):
            return key
        replace_file(path, _new_key())
        return read_regular(path, MOST_KEY)
    draft = write_draft(path, _new_key())
    with suppress(FileExistsError):  # another worker was first; use its key
        os.link(draft, path)
    draft.unlink()
    return read_regular(path, MOST_KEY)


def _new_key() -> bytes:
    return secrets.token_hex(32).encode()
