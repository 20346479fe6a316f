"""The team's own error pages: files of one folder, read once at start."""

from __future__ import annotations

from pathlib import Path

from overgrow.exchange import FAILURES
from overgrow.files import read_regular
from overgrow.path.error_pages import ANY_ERROR
from overgrow.settings import SettingError

MAX_BYTES = 256 * 1024
VARIABLE = "OVERGROW_ERROR_PAGES"


def read_error_pages(folder: Path | None) -> dict[str, str]:
    """Return the texts of `CODE.html`, `STATUS.html` and `error.html` in a folder.

    The keys are the names without `.html`. If an error has no file, it gets the built-in page.

    Raises:
        SettingError: if the folder or a file cannot be read, or if the name of a file is not that of an error.

    """
    if folder is None:
        return {}
    try:
        paths = sorted(folder.glob("*.html"))
        if not folder.is_dir():
            raise NotADirectoryError(20, "not a folder", str(folder))
        return {path.stem: _read_page(path) for path in paths}
    except OSError as error:
        what = f"{VARIABLE}: {error.filename or folder} cannot be read: {error.strerror or error}."
        raise SettingError(f"{what} Name a folder of HTML files.") from error


def _read_page(path: Path) -> str:
    known = {ANY_ERROR, *FAILURES, *(str(status) for status, _ in FAILURES.values())}
    if path.stem not in known:
        what = f"{VARIABLE}: {path} is named for no error."
        raise SettingError(
            f"{what} Name it error.html, after a status such as 502.html, or after a code such as "
            "legacy-connect.html."
        )
    data = read_regular(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SettingError(
            f"{VARIABLE}: {path} is larger than {MAX_BYTES // 1024} KiB. Make it smaller."
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SettingError(f"{VARIABLE}: {path} is not UTF-8 text. Save it as UTF-8.") from error
