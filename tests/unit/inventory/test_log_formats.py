"""Each format of access logs: one line of it gives one request, and junk gives none."""

from __future__ import annotations

import json

import pytest

from overgrow.inventory.logs.line_reader import LineReader
from overgrow.inventory.logs.log_line import NOT_HTTP, LogLine, time_of

AT = 1796000400.0  # 2026-11-30 01:00:00 UTC
COMMON = '192.0.2.7 - - [30/Nov/2026:01:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 12'
HAPROXY = (
    "192.0.2.7:5001 [30/Nov/2026:01:00:00.000] front back/one 0/0/1/20/21 200 12 - - ---- "
    '1/1/0/0/0 0/0 {shop.example} "GET /a?b=c HTTP/1.1"'
)
FOUND = LogLine("GET", b"/a?b=c", 200, b"192.0.2.7", AT, None, 12, b"")


def read(line):
    return LineReader().read(line.encode() if isinstance(line, str) else line)


def ours(**more):
    fields = {
        "@timestamp": "2026-11-30T01:00:00.000Z",
        "http.request.method": "GET",
        "url.path": "/a",
        "http.response.status_code": 200,
        "client.address": "192.0.2.7",
    }
    return json.dumps(fields | more)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(COMMON, FOUND, id="common"),
        pytest.param(COMMON + ' "-" "curl/8"', FOUND._replace(agent=b"curl/8"), id="combined"),
        pytest.param(
            COMMON + ' "-" "curl/8" 0.250 0.249',
            FOUND._replace(agent=b"curl/8", duration_s=0.25),
            id="combined with nginx's request time",
        ),
        pytest.param(
            COMMON + ' "-" "curl/8" rt=1.500 uct="0.000"',
            FOUND._replace(agent=b"curl/8", duration_s=1.5),
            id="combined with a named time",
        ),
        pytest.param("shop.example:443 " + COMMON, FOUND, id="Apache's virtual host before"),
        pytest.param(
            COMMON.replace("192.0.2.7", "2001:db8::7"),
            FOUND._replace(client=b"2001:db8::7"),
            id="IPv6",
        ),
        pytest.param(COMMON.replace("- -", "- Ann Lee"), FOUND, id="a user with a blank"),
        pytest.param(COMMON.replace("+0000", "+0200"), FOUND._replace(at=AT - 7200), id="zone"),
        pytest.param(
            COMMON.replace("/a?b=c", r"/\x22\"x"), FOUND._replace(target=b'/""x'), id="escapes"
        ),
        pytest.param(COMMON.replace("/a?", "http://shop.example/a?"), FOUND, id="absolute target"),
        pytest.param("Nov 30 01:00:00 web1 nginx: " + COMMON, FOUND, id="syslog before"),
        pytest.param(
            "<190>1 2026-11-30T01:00:00Z web1 nginx 7 - - " + COMMON, FOUND, id="RFC 5424"
        ),
        pytest.param("2026-11-30T01:00:00.1Z stdout F " + COMMON, FOUND, id="Kubernetes before"),
        pytest.param("web-1  | " + COMMON, FOUND, id="docker compose before"),
        pytest.param(
            json.dumps({"log": COMMON + "\n", "stream": "stdout"}), FOUND, id="Docker's JSON"
        ),
        pytest.param(HAPROXY, FOUND._replace(duration_s=0.021), id="HAProxy"),
        pytest.param(
            "Nov 30 01:00:00 lb haproxy[7]: " + HAPROXY,
            FOUND._replace(duration_s=0.021),
            id="HAProxy after syslog",
        ),
        pytest.param(ours(), FOUND._replace(target=b"/a", size=0), id="our access log"),
        pytest.param(
            json.dumps(
                {
                    "ts": AT,
                    "request": {
                        "remote_ip": "192.0.2.7",
                        "method": "GET",
                        "uri": "/a?b=c",
                        "headers": {"User-Agent": ["curl/8"]},
                    },
                    "status": 200,
                    "size": 12,
                    "duration": 0.5,
                }
            ),
            FOUND._replace(agent=b"curl/8", duration_s=0.5),
            id="Caddy",
        ),
        pytest.param(
            json.dumps(
                {
                    "StartUTC": "2026-11-30T01:00:00Z",
                    "ClientHost": "192.0.2.7",
                    "RequestMethod": "GET",
                    "RequestPath": "/a?b=c",
                    "DownstreamStatus": 200,
                    "DownstreamContentSize": 12,
                    "Duration": 500_000_000,
                }
            ),
            FOUND._replace(duration_s=0.5),
            id="Traefik",
        ),
        pytest.param(
            json.dumps(
                {
                    "time_iso8601": "2026-11-30T03:00:00+02:00",
                    "remote_addr": "192.0.2.7",
                    "request": "GET /a?b=c HTTP/1.1",
                    "status": "200",
                    "body_bytes_sent": "12",
                }
            ),
            FOUND,
            id="nginx as JSON",
        ),
    ],
)
def test_a_line_of_each_format_is_read(line, expected):
    assert expected == read(line)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(COMMON.replace("GET /a?b=c HTTP/1.1", r"\x16\x03\x01\x00"), id="TLS"),
        pytest.param(COMMON.replace("GET /a?b=c HTTP/1.1", "-"), id="nothing sent"),
        pytest.param(COMMON.replace("GET /a?b=c HTTP/1.1", ""), id="empty"),
        pytest.param(HAPROXY.replace("GET /a?b=c HTTP/1.1", "<BADREQ>"), id="HAProxy's BADREQ"),
        pytest.param(ours(**{"url.path": "nothing"}), id="JSON without a path"),
    ],
)
def test_a_connection_without_a_request_is_no_unread_line(line):
    assert read(line) is NOT_HTTP


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\x00\xff\x16\x03 junk", id="binary"),
        pytest.param(b"2026/11/30 01:00:00 [error] 7#7: *1 open() failed", id="error log"),
        pytest.param(b"[" * 100_000, id="deep JSON"),
        pytest.param(b'{"a":' * 100_000, id="deeper JSON"),
        pytest.param(b"a." * 100_000, id="a token without end"),
        pytest.param(b"1:" * 100_000 + b" [", id="colons without end"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b'{"log": "{}"}', id="wrapped nothing"),
    ],
)
def test_anything_else_is_unread(line):
    assert read(line) is None


def test_w3c_columns_say_what_a_line_means():
    reader = LineReader()
    fields = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status sc-bytes cs(User-Agent) time-taken"
    reader.is_comment(fields)

    line = b"2026-11-30 01:00:00 192.0.2.7 GET /a 200 12 Mozilla/5.0+(X11) 250"

    expected = LogLine("GET", b"/a", 200, b"192.0.2.7", AT, 0.25, 12, b"Mozilla/5.0 (X11)")
    assert expected == reader.read(line)
    assert reader.columns == fields


def test_a_later_scan_goes_on_with_the_w3c_columns():
    line = b"GET /a 200"

    assert LineReader().read(line) is None
    assert LineReader(b"#Fields: cs-method cs-uri-stem sc-status").read(line) is not None


@pytest.mark.parametrize("text", [b"nan", b"inf", b"-5", b"31/Foo/2026:01:00:00 +0000", b"", b"x"])
def test_no_time_is_none(text):
    assert time_of(text) is None


def test_milliseconds_since_1970_are_a_time():
    assert time_of(b"1796000400000") == AT == time_of(b"1796000400.000")
