"""Programs that tests run and this project does not bring: skipped where they lack, never in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_ROOT = Path(__file__).resolve().parents[1]
# For programs that tests start: this tree, though another checkout is installed.
IMPORT_PATH = os.pathsep.join([str(_ROOT), str(_ROOT / "proxy")])
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # Debian keeps nginx in sbin


def needed(program: str, package: str) -> str:
    """Where a program is. Without it the test is skipped; in CI, which installs it, the test fails."""
    found = shutil.which(program, path=PLACES)
    if found is None:
        is_missed(f"{program} is not installed (Debian package {package})")
    return found


def is_missed(reason: str) -> NoReturn:
    """Skip the running test for want of a part; in CI the part has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
