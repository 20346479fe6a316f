"""Pages for browsers where the front door answers by itself; texts for everybody else."""

import asyncio

import pytest

from overgrow.exchange import FAILURES, Failure, Inbound, Reply, failure_reply
from overgrow.path.error_pages import ErrorPages, prefers_html, render_page
from overgrow.process.error_page_files import MAX_BYTES, read_error_pages
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision
from overgrow.settings import SettingError

CHROMIUM = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
BUSY = Failure("legacy-busy", "queue", "legacy", "who knows", retry_after_s=2)


def ask(reply, accept=CHROMIUM, templates=None):
    """Return the reply as a client with an Accept header gets it."""

    class Fixed:
        async def serve(self, _inbound, _decision):
            return reply

    headers = [] if accept is None else [(b"accept", accept)]
    head = Head("GET", b"/", headers, "", "", "http", "")
    decision = Decision(None, "legacy", "default", "r")
    pages = ErrorPages(Fixed(), templates or {})
    return asyncio.run(pages.serve(Inbound(head, None, None), decision))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (CHROMIUM, True),
        (b"TEXT/HTML", True),
        (b"application/json, text/html;level=1;q=0.5", True),
        (b"text/html;q=0, application/json", False),
        (b"text/html; q=0.0", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"text/htmlx", False),
        (b"", False),
    ],
)
def test_accept_says_whether_a_client_is_a_browser(accept, expected):
    assert expected == prefers_html([(b"host", b"x"), (b"accept", accept)])


def test_a_browser_gets_a_page_with_the_status_and_headers_of_the_text():
    text, page = failure_reply(BUSY), ask(failure_reply(BUSY))

    headers = dict(page.headers)
    assert (503, b"text/html; charset=utf-8", b"2", b"legacy-busy") == (
        page.status,
        headers[b"content-type"],
        headers[b"retry-after"],
        headers[b"x-overgrow-error"],
    )
    assert [name for name, _ in text.headers] == [name for name, _ in page.headers]
    assert str(len(page.body)).encode() == headers[b"content-length"]
    assert b"The application is busy" in page.body
    assert b"who knows" not in page.body


@pytest.mark.parametrize("accept", [None, b"*/*", b"application/json"])
def test_a_program_gets_the_short_text(accept):
    assert failure_reply(BUSY).body == ask(failure_reply(BUSY), accept).body


def test_a_real_response_with_a_noted_failure_is_not_replaced():
    reply = Reply(
        500,
        [(b"content-type", b"text/plain")],
        b"mine",
        Failure("migrated-crash", "head", "migrated"),
    )

    assert b"mine" == ask(reply).body


@pytest.mark.parametrize("code", FAILURES)
def test_every_code_has_a_page_without_placeholders_left(code):
    page = render_page(Failure(code, "read", "front"), {})

    assert "$" not in page
    assert code in page


@pytest.mark.parametrize(
    ("templates", "expected"),
    [
        ({"error": "any"}, "any"),
        ({"error": "any", "503": "status"}, "status"),
        ({"error": "any", "503": "status", "legacy-busy": "code"}, "code"),
        (
            {"error": "$status $title $code $retry_after $$5 $other"},
            "503 Service Unavailable legacy-busy 2 $5 $other",
        ),
    ],
)
def test_a_template_of_the_team_is_filled_the_nearest_first(templates, expected):
    assert expected == ask(failure_reply(BUSY), templates=templates).body.decode()


def test_the_files_of_a_folder_are_the_templates(tmp_path):
    (tmp_path / "502.html").write_text("five")
    (tmp_path / "logo.svg").write_text("<svg/>")

    assert {"502": "five"} == read_error_pages(tmp_path)
    assert {} == read_error_pages(None)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("legacy-conect.html", b"x", "is named for no error"),
        ("502.html", b"x" * (MAX_BYTES + 1), "is larger than 256 KiB"),
        ("502.html", b"\xff", "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_fix(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(SettingError, match=told):
        read_error_pages(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "a file", "a folder in place of a file"])
def test_a_folder_that_cannot_be_read_is_refused(tmp_path, kind):
    folder = tmp_path / "pages"
    if kind == "a file":
        folder.write_text("")
    elif kind != "missing":
        (folder / "502.html").mkdir(parents=True)

    with pytest.raises(SettingError, match=r"OVERGROW_ERROR_PAGES: .*cannot be read"):
        read_error_pages(folder)
