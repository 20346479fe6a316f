"""The formats of the access log for people and for programs that read Apache's: hostile text stays text."""

import re
import unicodedata

import pytest

from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import Failure, FellBack
from overgrow.observe.access_log.combined_lines import CombinedLines
from overgrow.observe.access_log.short_lines import ShortLines
from overgrow.routing.model import Decision
from tests.unit.observe.exchanges import exchange, head

PIPE_BUF = 4096
# As strict readers have it: fields without blanks, quoted fields in which only \" is a quote.
COMBINED = re.compile(
    r'(\S+) - - \[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} \+0000)\] "(\S+) (\S+) HTTP/[\d.]+" '
    r'(\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\n'
)
HOSTILE = [
    pytest.param(b"/\x1b]0;owned\x07", id="an escape sequence"),
    pytest.param(b"/\xe2\x80\xaetxt.exe", id="a mark that reverses text"),
    pytest.param(b'/a" 200 1 "x', id="quotes"),
    pytest.param(b"/a\n127.0.0.1 - - forged", id="a line end"),
    pytest.param(b"/a\\", id="a backslash before the quote"),
    pytest.param(b"/" + b'"' * 9000, id="long, and of quotes"),
    pytest.param(b"/" + b"\x9b31m" * 2000, id="long, and of control bytes"),
]


def short(*, is_colored=False, **given):
    return ShortLines(is_colored=is_colored).format_line(exchange(**given))


def combined(**given):
    return CombinedLines().format_line(exchange(**given))


def test_a_short_line_says_who_answered_what_and_how_fast(monkeypatch):
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)

    assert short() == "22:13:20 200 migrated    3 ms GET /orders/17 (orders, target)\n"


def test_a_short_line_names_a_failure_and_what_legacy_replaced():
    failure = Failure("legacy-closed", "body", "legacy", "detail")
    line = short(status=502, failure=failure, fallback=FellBack("migrated-crash", 500, "secret"))

    assert line.endswith("(orders, target) legacy-closed instead of migrated-crash\n")


def test_a_short_line_of_a_client_that_left_has_no_status():
    assert " --- migrated " in short(status=0)


def test_a_request_that_no_route_took_is_shown_as_default():
    assert "(default, default)" in short(decision=Decision(None, "legacy", "default", "abc"))


@pytest.mark.parametrize(
    ("status", "color"), [(200, "32"), (304, "36"), (404, "33"), (502, "31"), (0, "31")]
)
def test_a_status_has_the_color_of_its_class(status, color):
    assert f"\x1b[{color}m{status or '---'}\x1b[0m" in short(is_colored=True, status=status)


def test_a_short_line_without_color_has_no_escape_sequence():
    assert "\x1b" not in short(status=502, failure=Failure("legacy-closed", "body", "legacy"))


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("lines", [ShortLines(is_colored=False), CombinedLines()], ids=type)
def test_hostile_text_is_one_printable_line_that_fits_a_pipe(lines, target):
    request = head(
        target,
        method=target.decode("latin-1"),
        client=target.decode("latin-1"),
        headers=[(b"referer", target), (b"user-agent", target)],
    )
    line = lines.format_line(exchange(head=request))

    assert line.index("\n") == len(line) - 1 < PIPE_BUF
    assert {"Cc"} >= {unicodedata.category(each) for each in line} & {"Cc", "Cf", "Zl"}
    assert line[:-1].isascii()
    assert line[:-1].isprintable()


@pytest.mark.parametrize("lines", [ShortLines(is_colored=False), CombinedLines()], ids=type)
def test_no_format_shows_a_query(lines):
    headers = [(b"referer", b"http://shop.test/reset?token=s3cret#s3cret")]
    request = head(b"/reset?token=s3cret", headers=headers)

    assert "s3cret" not in lines.format_line(exchange(head=request))


def test_a_combined_line_is_apaches():
    headers = [(b"referer", b"http://shop.test/orders?page=2"), (b"user-agent", b'curl/8 "x"')]

    assert combined(head=head(headers=headers)) == (
        '203.0.113.9 - - [14/Nov/2023:22:13:20 +0000] "GET /orders/17 HTTP/1.1" 200 300 '
        '"http://shop.test/orders" "curl/8 \\"x\\""\n'
    )


def test_a_combined_line_has_a_dash_for_what_is_absent():
    line = combined(head=head(client="", headers=[]), response_bytes=0)

    assert (True, True) == (line.startswith("- - - ["), line.endswith('200 - "-" "-"\n'))


def test_a_client_that_left_has_nginxs_status_in_a_combined_line():
    assert '" 499 ' in combined(status=0)


@pytest.mark.parametrize("target", HOSTILE)
def test_a_strict_reader_reads_every_combined_line(target):
    text = target.decode("latin-1")
    request = head(target, headers=[(b"referer", target), (b"user-agent", target)], client=text)
    found = COMBINED.fullmatch(combined(head=request))

    assert found
    assert (found[3], found[5]) == ("GET", "200")


def test_the_months_do_not_follow_the_locale(monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "Nov. 2023 auf Deutsch")

    assert "[14/Nov/2023:22:13:20 +0000]" in combined()


def test_a_connection_that_repeats_its_headers_keeps_their_fields():
    memo = HeaderMemo([(b"user-agent", b"curl/8")], host="shop.test")
    lines = CombinedLines()
    first = lines.format_line(exchange(head=head(headers=memo)))

    assert (memo.log_fields, True) == (' "-" "curl/8"', first.endswith(' "-" "curl/8"\n'))
