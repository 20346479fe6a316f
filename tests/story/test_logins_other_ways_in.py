"""Servers that do not tell client connections apart: a login of the connection serves one request."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from tests.ports import free_port
from tests.story.front import environment_for
from tests.story.test_three_ways_in import WAYS, running
from tests.wire.front.ends import PATIENCE_S, End, Legacy
from tests.wire.front.logins import LoginLegacy, ask

TABLE = """\
version: 1
legacy:
  url: ${LEGACY_URL}
routes:
  - name: api-products
    path: /api/products
    methods: [GET]
    target: migrated
"""


@pytest.mark.parametrize("way", ["gunicorn asgi", "gunicorn gthread"])
def test_nobody_is_answered_as_another_on_other_servers(tmp_path, way):
    (tmp_path / "routes.yaml").write_text(TABLE)
    legacy, port = Legacy(), free_port()
    environment = environment_for(
        legacy.port,
        tmp_path / "shop.sqlite3",
        OVERGROW_CONFIG=str(tmp_path / "routes.yaml"),
        OVERGROW_APP="migrated:create_app",
    )
    with (
        closing(legacy),
        legacy.scripted(LoginLegacy()),
        running(WAYS[way], environment, port),
    ):

        def asked(*fields: str) -> tuple[int, bytes]:
            with End(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) as client:
                found = ask(client, *fields)
                return found.status, found.body

        for user in ("alice", "bob", "alice"):
            assert asked(f"Authorization: Negotiate {user}") == (200, f"hello {user}".encode())
            assert asked() == (401, b"who are you?")
            assert asked("X-Public: yes") == (200, b"hello nobody")
