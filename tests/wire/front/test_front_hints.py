"""What the running front door notes of a legacy app that its table does not know well enough."""

from __future__ import annotations

import pytest

from tests.story.front import eventually
from tests.wire.front.conftest import standing
from tests.wire.front.ends import answer

TABLE = "version: 1\nlegacy:\n  url: ${LEGACY_URL}\n  folds: []\n"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with standing(TABLE, tmp_path_factory.mktemp("hints")) as both:
        yield both


def hints(front):
    return [note for note in front.readyz().get("notes", ()) if "[legacy-folds]" in note]


def answers(end):
    while True:
        end.message()
        end.send(answer("Server: Microsoft-IIS/10.0"))


def test_a_server_that_folds_is_noted_once_unless_the_table_knows(both):
    front, legacy = both

    def asked():
        assert front.get("/")[0] == 200
        return hints(front)

    with legacy.scripted(answers):
        assert asked() == []  # the table says that nothing is folded
        front.config.write_text(TABLE.replace("  folds: []\n", ""))
        (note,) = eventually(asked, every_s=0.2)
        front.config.write_text(TABLE + "routes: []\n")
        eventually(lambda: not hints(front))

    log = (front.config.parent / "serve.log").read_text()
    assert 'legacy says that it is "Microsoft-IIS/10.0"' in note
    assert "Write folds: [case, trailing, iis] below legacy" in note
    assert log.count("[legacy-folds]") == 1
