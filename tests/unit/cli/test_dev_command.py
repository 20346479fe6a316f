import json

import pytest

from overgrow.cli.dev import short_access_line
from overgrow.table.reading.parse import find_dev_legacy

ENTRY = {
    "@timestamp": "2026-11-30T01:00:00.000Z",
    "http.request.method": "GET",
    "url.path": "/a",
    "http.response.status_code": 502,
    "overgrow.side": "legacy",
    "event.duration": 3_120_000,
    "error.code": "legacy-connect",
}


def test_a_line_of_the_access_log_is_shown_short():
    assert "GET /a 502 legacy 3.1 ms legacy-connect" == short_access_line(json.dumps(ENTRY))


@pytest.mark.parametrize(
    "line", ["", "plain text", '{"level": 1}', '{"@timestamp": "half', '{"@timestamp": 1}']
)
def test_any_other_line_is_shown_as_it_is(line):
    assert short_access_line(line) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"dev: {legacy: npm start}", "npm start"),
        (b"routes: 3\ndev: {legacy: npm start, other: 1}", "npm start"),
        (b"version: 1", None),
        (b"dev: npm start", None),
        (b"dev: [", None),
        (b"\xff", None),
    ],
)
def test_the_command_is_found_whatever_else_the_table_says(text, expected):
    assert expected == find_dev_legacy(text, {})
