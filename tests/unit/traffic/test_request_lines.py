import gzip
import json

import pytest

from overgrow.traffic.request_lines import (
    MAX_LINE_BYTES,
    RequestLine,
    TrafficReader,
    TrafficUnreadable,
)

OURS = json.dumps(
    {
        "@timestamp": "2026-11-30T01:00:00.000Z",
        "http.request.method": "POST",
        "url.scheme": "https",
        "url.domain": "shop.example",
        "url.path": "/orders/7",
        "client.address": "192.0.2.7",
    }
)


def read(tmp_path, data):
    path = tmp_path / "traffic"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    reader = TrafficReader(path)
    return list(reader), reader


def har(*entries):
    return json.dumps({"log": {"version": "1.2", "entries": [{"request": one} for one in entries]}})


def combined(request, peer="192.0.2.7"):
    return f'{peer} - - [30/Nov/2026:01:00:00 +0000] "{request}" 200 12 "-" "curl/8"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            OURS,
            RequestLine("POST", b"/orders/7", "shop.example", "https", "192.0.2.7"),
            id="our access log",
        ),
        pytest.param(
            combined("GET /a?b=c HTTP/1.1"),
            RequestLine("GET", b"/a?b=c", client="192.0.2.7"),
            id="combined",
        ),
        pytest.param(
            '2001:db8::7 - ash [30/Nov/2026:01:00:00 +0000] "GET /a HTTP/2.0" 200 12',
            RequestLine("GET", b"/a", client="2001:db8::7"),
            id="common, IPv6",
        ),
        pytest.param(
            combined(r"GET /a\x22b\x5C HTTP/1.1"),
            RequestLine("GET", b"/a%22b%5C", client="192.0.2.7")._replace(target=b'/a"b\\'),
            id="nginx's escapes",
        ),
        pytest.param(
            combined("GET http://shop.example:8080/a HTTP/1.1"),
            RequestLine("GET", b"/a", "shop.example:8080", "http", "192.0.2.7"),
            id="absolute form",
        ),
        pytest.param(
            combined("OPTIONS * HTTP/1.1"),
            RequestLine("OPTIONS", b"*", client="192.0.2.7"),
            id="asterisk",
        ),
        pytest.param(
            'cdn 192.0.2.7 - [30/Nov/2026:01:00:00 +0000] "GET /ä HTTP/1.1" 404 0',
            RequestLine("GET", b"/%C3%A4", client="cdn"),
            id="bytes beyond ASCII",
        ),
    ],
)
def test_a_line_of_each_format_is_a_request(tmp_path, line, expected):
    requests, reader = read(tmp_path, line + "\n")

    assert ([expected], 0) == (requests, reader.unread)


def test_a_har_file_gives_its_requests_with_headers(tmp_path):
    headers = [
        {"name": ":authority", "value": "shop.example"},
        {"name": "Cookie", "value": "overgrow_id=ash"},
    ]
    text = har({"method": "GET", "url": "https://shop.example/a?b#c", "headers": headers})

    requests, _ = read(tmp_path, text)

    assert [
        RequestLine("GET", b"/a?b", "shop.example", "https", "", ((b"cookie", b"overgrow_id=ash"),))
    ] == requests


def test_har_entries_without_a_web_address_are_counted(tmp_path):
    requests, reader = read(
        tmp_path,
        har(
            {"method": "GET", "url": "http://h/"},
            {"method": "GET", "url": "data:text/plain,x"},
            {"method": "GET"},
            None,
            "GET /",
            {"method": 5, "url": None},
            {"method": "GET", "url": "http://h/", "headers": [3]},
            {"method": "GET", "url": "http://h/", "headers": None},
        ),
    )

    assert [b"/", b"/"] == [request.target for request in requests]
    assert (6, 2, "entry") == (reader.unread, (reader.first_unread or (0,))[0], reader.unit)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OURS.replace("/orders/7", r"/\ud800"), id="our access log"),
        pytest.param(
            har(
                {
                    "method": "GET",
                    "url": "http://h/\ud800",
                    "headers": [{"name": "a\ud800", "value": "\ud800"}],
                }
            ),
            id="HAR",
        ),
    ],
)
def test_half_a_surrogate_pair_in_json_is_read_as_its_bytes(tmp_path, text):
    requests, _ = read(tmp_path, text)

    assert [b"/%ED%A0%80"] == [request.target for request in requests]


def test_lines_of_several_formats_may_stand_in_one_file(tmp_path):
    requests, reader = read(tmp_path, f"{OURS}\n\n{combined('GET /b HTTP/1.1')}\n")

    assert ([b"/orders/7", b"/b"], 0) == ([each.target for each in requests], reader.unread)


def test_lines_that_are_no_request_are_counted_and_the_first_is_kept(tmp_path):
    noise = '[error] 41#41: *7 connect() failed\n{"message": "no request"}\n'
    requests, reader = read(tmp_path, f"{OURS}\n{noise}{OURS}\n")

    assert (2, 2) == (len(requests), reader.unread)
    assert (2, "[error] 41#41: *7 connect() failed") == reader.first_unread


def test_a_compressed_log_is_read_by_its_content(tmp_path):
    requests, _ = read(tmp_path, gzip.compress(f"{OURS}\n".encode()))

    assert [b"/orders/7"] == [request.target for request in requests]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param("", "has no requests", id="empty"),
        pytest.param("hello\nworld\n", "Line 1 is 'hello'", id="a text"),
        pytest.param(b"\x00\xff" * 100, "Line 1 is", id="binary"),
        pytest.param(har(), "has no requests", id="a HAR file without entries"),
        pytest.param('{"log": {"entries": [', "traffic is not JSON", id="half a HAR file"),
        pytest.param('{"log": {}}', "traffic has no list log.entries", id="no entries"),
        pytest.param(
            '{"log": {"entries": 3}}', "no list log.entries", id="entries of another kind"
        ),
        pytest.param('{"log": {"a": ' + "[" * 100_000, "is not JSON", id="a deep HAR file"),
        pytest.param('{"a":' + "[" * 100_000, "Line 1 is", id="a deep line"),
        pytest.param(har(None), "Entry 1 is '{\"request\": null}'", id="no entry is a request"),
    ],
)
def test_a_file_without_requests_is_refused_with_what_was_tried(tmp_path, data, told):
    with pytest.raises(TrafficUnreadable, match=told):
        read(tmp_path, data)


def test_an_endless_line_is_one_unread_line(tmp_path):
    endless = "x" * (3 * MAX_LINE_BYTES)

    requests, reader = read(tmp_path, f"{endless}\n{OURS}\n")

    assert (1, 1) == (len(requests), reader.unread)
