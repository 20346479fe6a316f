"""Without its extras Overgrow starts; each is imported only when a setting or the table asks for it."""

import subprocess
import sys

import pytest

from tests.programs import IMPORT_PATH

LIBRARIES = ("jwt", "opentelemetry", "psycopg", "redis", "sentry_sdk")
IMPORT = """
import sys
blocked = {blocked!r}
sys.modules.update(dict.fromkeys(blocked))
import overgrow.app, overgrow.cli.main, overgrow.server.master, overgrow.server.worker
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_module_of_a_start_is_imported_without_an_extra(library):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(blocked=[library])],
        env={"PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_no_extra_is_imported_by_a_start():
    told = f"print([each for each in {LIBRARIES!r} if each in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(blocked=[]) + told],
        env={"PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"
