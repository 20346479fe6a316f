"""`overgrow config` in another shell than the one that started the front door."""

from __future__ import annotations

import json
from importlib.metadata import version

from tests.ports import free_port
from tests.story.front import eventually, running_front

TABLE = """\
version: 1
app: migrated:create_app
legacy:
  url: ${LEGACY_URL}
routes: []
"""


def test_another_shell_sees_what_the_front_door_runs_with(tmp_path):
    given = {"OVERGROW_THREADS": "7", "OVERGROW_SECRET": "hunter2", "OVERGROW_THREAD": "1"}
    data = tmp_path / "shop.sqlite3"
    with running_front(TABLE, tmp_path, free_port(), data=data, **given) as front:
        for name in given:
            del front.environment[name]
        done = eventually(lambda: front.overgrow("config", "--json"))
        status = json.loads(front.get("/api/status", admin=True)[2])
        page = front.get("/", admin=True)[2].decode()
        kept = (tmp_path / ".overgrow/settings.json").read_text()

    payload = json.loads(done.stdout)
    rows = {row["name"]: (row["value"], row["source"]) for row in payload["settings"]}
    assert ("front_door", front.process.pid) == (payload["of"], payload["front_door"]["pid"])
    assert ("7", "environment") == rows["threads"]
    assert ("5s", "flag") == rows["grace"]
    assert ("set", "environment") == rows["secret"]
    assert ("migrated:create_app", "table") == rows["app"]
    assert [version("overgrow")] * 2 == [
        payload["front_door"]["version"],
        status["server"]["version"],
    ]
    assert f"Version {version('overgrow')}." in page
    assert "hunter2" not in kept + done.stdout
    assert "Did you mean OVERGROW_THREADS?" in (tmp_path / "serve.log").read_text()
