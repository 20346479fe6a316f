"""What lies exactly at a bound of a comparison or of what is kept of it, and one beyond."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import date

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.content import MAX_CODINGS, MAX_MEMBERS, unpack_body
from overgrow.shadow.compare.json_bodies import unique_member_values
from overgrow.shadow.compare.redacting import redact_response
from overgrow.shadow.redact.redact import MAX_BODY_BYTES, MAX_KEYS, MAX_SHOWN_CHARS
from overgrow.shadow.rules.comparators import Ignore, SameShape
from overgrow.shadow.rules.rules import Rule, ShownPath
from overgrow.shadow.values.difference import Likeness
from overgrow.shadow.values.snapshot import ResponseSnapshot

JSON = (b"content-type", b"application/json")


def kept(value: object, show: frozenset[str] = frozenset()) -> str:
    """What is kept of a JSON body."""
    return redact_response(ResponseSnapshot(200, (JSON,), json.dumps(value).encode()), show).body


def headed(*lines: str) -> ResponseSnapshot:
    pairs = (line.partition(": ")[::2] for line in lines)
    return ResponseSnapshot(200, tuple((name.encode(), value.encode()) for name, value in pairs))


def paths(control: ResponseSnapshot, candidate: ResponseSnapshot) -> list[str]:
    return [each.path for each in compare(control, candidate).differences]


# What is kept of an answer.


def test_as_many_keys_as_are_kept_are_all_kept():
    names = [f"{first}{second}" for first in "abcdefgh" for second in "aeioulr"]

    whole = json.loads(kept(dict.fromkeys(names[:MAX_KEYS], 1)))
    cut = json.loads(kept(dict.fromkeys(names[: MAX_KEYS + 1], 1)))

    assert list(whole) == names[:MAX_KEYS]
    assert list(cut) == [*names[:MAX_KEYS], "..."]
    assert cut["..."] == "<1 more>"


def test_a_text_of_as_many_characters_as_are_shown_is_shown():
    show = frozenset({"$.note"})

    assert "y" * MAX_SHOWN_CHARS in kept({"note": "y" * MAX_SHOWN_CHARS}, show)
    assert kept({"note": "y" * (MAX_SHOWN_CHARS + 1)}, show) == '{"note": "<str 81>"}'


def test_of_a_body_beyond_the_largest_that_is_read_its_size_is_kept():
    assert kept("y" * (MAX_BODY_BYTES - 2)) == f'"<str {MAX_BODY_BYTES - 2}>"'
    assert kept("y" * (MAX_BODY_BYTES - 1)) == f"<json {MAX_BODY_BYTES + 1} bytes>"


# What is packed.


def packed(coding: str, body: bytes) -> ResponseSnapshot:
    return ResponseSnapshot(200, ((b"content-encoding", coding.encode()),), body)


@pytest.mark.parametrize(("members", "is_read"), [(MAX_MEMBERS, True), (MAX_MEMBERS + 1, False)])
def test_a_packed_body_has_so_many_members_at_most(members, is_read):
    content = unpack_body(packed("gzip", gzip.compress(b"y") * members))

    assert (content.body == b"y" * members, not content.trouble) == (is_read, is_read)


@pytest.mark.parametrize(("times", "is_read"), [(MAX_CODINGS, True), (MAX_CODINGS + 1, False)])
def test_a_body_is_packed_so_many_times_at_most(times, is_read):
    body = b"text"
    for _ in range(times):
        body = gzip.compress(body)
    content = unpack_body(packed(", ".join(["gzip"] * times), body))

    assert (content.body == b"text", not content.trouble) == (is_read, is_read)


def test_deflate_is_read_with_and_without_its_head():
    bare = zlib.compressobj(wbits=-15)
    bodies = (zlib.compress(b"text"), bare.compress(b"text") + bare.flush())

    assert [unpack_body(packed("deflate", body)).body for body in bodies] == [b"text", b"text"]


# What two heads say.


@pytest.mark.parametrize(
    ("control", "candidate", "expected"),
    [
        pytest.param(
            ["cache-control: no-store"], ["cache-control: max-age=9"], ["header:cache-control"],
            id="Cache-Control",
        ),
        pytest.param(
            ["content-encoding: gzip", 'etag: W/"1"'], ['etag: "1"'], ["header:content-encoding"],
            id="the tag of who packs is a weak one",
        ),
        pytest.param(
            ["set-cookie: a=1; Max-Age=0"], ["set-cookie: a=; Max-Age=0"], [],
            id="the value of a cookie that is deleted",
        ),
        pytest.param(
            ["set-cookie: a=1; Max-Age=9"], ["set-cookie: a=1; Max-Age=10"], ["cookie:a;max-age"],
            id="ages are exact",
        ),
    ],
)  # fmt: skip
def test_heads_differ_in_what_means_another_thing(control, candidate, expected):
    assert paths(headed(*control), headed(*candidate)) == expected


DATE = "date: Sun, 29 Nov 2026 10:00:00 GMT"


def expiring(seconds: int) -> ResponseSnapshot:
    return headed(DATE, f"expires: Sun, 29 Nov 2026 10:00:{seconds:02} GMT")


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        pytest.param(30, 32, True, id="as far apart as clocks may be"),
        pytest.param(30, 33, False, id="further apart"),
        pytest.param(0, 1, False, id="over, and not over"),
    ],
)
def test_times_to_live_are_alike_up_to_two_seconds(one, other, is_alike):
    assert (paths(expiring(one), expiring(other)) == []) is is_alike


# Rows and rules.


def test_members_that_two_rows_share_tell_no_rows_apart():
    assert unique_member_values([{"id": 1}, {"id": 2}], "id") == [1, 2]
    assert unique_member_values([{"id": 1}, {"id": 1}], "id") is None


@pytest.mark.parametrize(("pieces", "allowed"), [((2,), True), ((1,), False), ((1, 2), False)])
def test_a_rule_about_one_piece_of_a_text_is_about_no_other(pieces, allowed):
    assert SameShape((2,)).allows("value", Likeness(alike=True, pieces=pieces)) is allowed


def test_a_rule_is_about_its_path_and_nothing_below_it():
    rule = Rule("$.items[*]", Ignore(), "ada", "why", date(2030, 1, 1))

    assert [rule.is_about_path(path) for path in ("$.items[3]", "$.items[3].id")] == [True, False]


def test_a_leave_to_show_counts_on_its_last_day():
    leave = ShownPath("$.note", "ada", "why", date(2030, 1, 1))

    assert [leave.applies(date(2030, 1, day)) for day in (1, 2)] == [True, False]
