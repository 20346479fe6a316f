"""Requests that two readers may frame in two ways, end to end: refused, or forwarded as these bytes.

corpus/NAME.http is what a client sends, at once, on one connection. NAME.expected says why, what the
client sees, and which bytes legacy really gets of requests that arrive whole:

    RFC SECTION and reason
    STATUS[ CODE], ...             "closed" at the end: the connection ends after these answers
    bytes to legacy
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.front.ends import OK, End, request

CORPUS = Path(__file__).with_name("corpus")
CASES = sorted(CORPUS.glob("*.http"))


def case(path):
    why, answers, legacy = path.with_suffix(".expected").read_bytes().split(b"\n", 2)
    return pytest.param(
        path.read_bytes(), answers.decode(), legacy, id=f"{path.stem}: {why.decode()}"
    )


@pytest.mark.parametrize(("sent", "answers", "headers_for_legacy"), [case(path) for path in CASES])
def test_what_could_be_read_in_two_ways_is_read_in_one(wire, sent, answers, headers_for_legacy):
    told, got = conversation(wire, sent, answers)

    assert (answers, headers_for_legacy) == (told, got)


def test_every_case_has_an_expectation_and_every_expectation_a_case():
    expected = {path.stem for path in CORPUS.glob("*.expected")}

    assert {path.stem for path in CASES} == expected
    assert len(CASES) > 60


def conversation(wire, sent, answers):
    """What the client is told, and what legacy got; where the connection goes on, it goes on right.

    A marker that follows must be the very next thing that legacy sees: nothing was left between.
    """
    got = []

    def script(end: End) -> None:
        while (found := end.message()).is_whole:
            got.append(found.raw)
            end.send(OK)

    marker = request("GET", "/marker")
    with wire.legacy.scripted(script):
        client = wire.client()
        client.send(sent)
        *asked, last = answers.split(", ")
        told = [told_by(client) for _ in ([*asked, last] if last != "closed" else asked)]
        if last == "closed":
            assert b"" == client.to_end()
            told.append("closed")
        else:
            client.send(marker)
            assert 200 == client.message().status
            assert got.pop().startswith(b"GET /marker HTTP/1.1\r\nhost: shop.example\r\n")
    return ", ".join(told), b"".join(got)


def told_by(client):
    found = client.message()
    return f"{found.status} {found.code}".strip()
