"""Which paths an answer has; every difference of two answers stands at one of them or beside it."""

from __future__ import annotations

import pytest

from overgrow.shadow.findings.shapes import MAX_NODES, path_shapes_of
from overgrow.shadow.values.snapshot import ResponseSnapshot

ANSWERS = [
    pytest.param(
        "application/json",
        b'{"a": [1, {"b c": 2}]}',
        {"$", "$.a", "$.a[*]", '$.a[*]["b c"]'},
        id="JSON",
    ),
    pytest.param(
        "text/html",
        b"<ul class=x><li>a<li>b</ul>",
        {"html:/ul", "html:/ul/@class", "html:/ul/li[*]", "html:/ul/li[*]/text()"},
        id="HTML",
    ),
    pytest.param("text/plain", b"a\nb", {"text:line[*]"}, id="text"),
    pytest.param("image/png", b"\0", {"bytes", "bytes[*]"}, id="bytes"),
    pytest.param("application/json", b"{", {"text:line[*]"}, id="no JSON"),
    pytest.param("text/html", b"<i>" * 200, {"text:line[*]"}, id="HTML too deep"),
    pytest.param("application/json", b" " * 5_000_000, {"bytes", "bytes[*]"}, id="too large"),
]


@pytest.mark.parametrize(("kind", "body", "shapes"), ANSWERS)
def test_a_body_has_these_paths(kind, body, shapes):
    assert {"status"} | shapes == path_shapes_of(
        ResponseSnapshot(200, ((b"content-type", kind.encode()),), body)
    )


def test_a_head_has_these_paths():
    head = (
        (b"etag", b"a"),
        (b"date", b"now"),
        (b"set-cookie", b"s=1; Path=/"),
        (b"content-type", b"image/png"),
    )

    assert {"header:etag", "cookie:s", "cookie:s;path"} < path_shapes_of(
        ResponseSnapshot(200, head)
    )


def test_of_a_large_document_the_first_values_are_looked_at():
    body = b"{" + b",".join(b'"k%d": 1' % at for at in range(MAX_NODES + 5)) + b"}"

    found = path_shapes_of(ResponseSnapshot(200, ((b"content-type", b"application/json"),), body))

    assert len(found) == MAX_NODES + 1
