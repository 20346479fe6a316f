"""Paths, methods and blanks as other tools have them: each gets the right spelling, none is refused unseen."""

import pytest

from overgrow.routing.rules import parse_rule, segments_of_prefix
from overgrow.table.reading.foreign_spelling import (
    HTTP_METHODS,
    find_invisible,
    find_invisible_structure,
    may_be_foreign,
    suggest_method,
    suggest_spelling,
)
from overgrow.table.reading.parse import parse

TABLE = """version: 1
legacy: {{url: http://127.0.0.1:9000}}
routes:
  - {{name: a, {}, target: legacy}}
"""
FOREIGN = [
    ("/items/:id", "path: /items/<id>"),
    (r"/items/:id(\d+)", "path: /items/<int:id>"),
    ("/items/:id(.:format)", "path: /items/<id>"),
    ("/items/{id}", "path: /items/<id>"),
    ("/items/{id:int}/edit", "path: /items/<int:id>/edit"),
    ("/items/{id:[0-9]+}", "path: /items/<int:id>"),
    ("/items/{id?}", "path: /items/<id>"),
    ("/files/{name:path}", "prefix: /files"),
    ("/items/.*", "prefix: /items"),
    ("/items/*", "prefix: /items"),
    ("/items/**", "prefix: /items"),
    ("/items/*/edit", "path: /items/<name>/edit"),
    ("/items/<int:pk>/$", "path: /items/<int:pk>/"),
    ("^/items/[0-9]+$", "path: /items/<int:id>"),
    ("^items/(?P<pk>[0-9]+)/$", "path: /items/<int:pk>/"),
    ("/items/<id:int>", "path: /items/<int:id>"),
    ("http://shop.example:8080/items", "path: /items and host: shop.example"),
    ("https://shop.example", "path: / and host: shop.example"),
]
OURS = [
    "/",
    "/items",
    "/items/",
    "/items/<id>",
    "/items/<int(min=1, max=9):id>",
    "/a/<path:rest>",
    "/v1/items:batch",
    "/@me",
    "/price/$5",
    "/static/app.v1.js",
    "/~ash/",
]


def notes_of(field):
    loaded = parse(TABLE.format(field).encode(), file="routes.yaml", env={}, rules=None)
    assert loaded.table is not None, loaded.problems
    return [(note.code, note.fix) for note in loaded.notes]


@pytest.mark.parametrize(("text", "expected"), FOREIGN, ids=[text for text, _ in FOREIGN])
def test_a_path_of_another_tool_gets_our_spelling(text, expected):
    assert expected == suggest_spelling(text, "path")


@pytest.mark.parametrize(("text", "expected"), FOREIGN, ids=[text for text, _ in FOREIGN])
def test_a_suggested_spelling_is_a_valid_path_or_prefix(text, expected):
    field, _, rest = expected.partition(": ")
    written = rest.partition(" and ")[0]

    assert parse_rule(written) if field == "path" else segments_of_prefix(written)
    assert suggest_spelling(written, field) is None


@pytest.mark.parametrize("text", OURS)
def test_a_path_in_our_spelling_is_left_alone(text):
    assert suggest_spelling(text, "path") is None
    assert notes_of(f'path: "{text}"') == []


@pytest.mark.parametrize("text", [text for text, _ in FOREIGN])
def test_a_table_says_what_a_foreign_path_means(text):
    """A problem where the text can be no path, a note where it can, and the same fix in both."""
    expected = suggest_spelling(text, "path")
    document = TABLE.format(f"path: '{text}'").encode()

    loaded = parse(document, file="routes.yaml", env={}, rules=None)

    [told] = [*loaded.problems, *loaded.notes]
    assert told.code in {"path-syntax", "foreign-spelling"}
    assert f"Write {expected}" in told.fix


def test_a_prefix_with_a_star_gets_the_prefix_alone():
    assert [("foreign-spelling", "Write prefix: /api, if that is meant.")] == notes_of(
        'prefix: "/api/*"'
    )


def test_the_quick_look_misses_no_foreign_path_that_can_be_a_path():
    quiet = [text for text, _ in FOREIGN if notes_of_foreign(text) and not may_be_foreign(text)]

    assert [] == quiet


def notes_of_foreign(text):
    loaded = parse(TABLE.format(f"path: '{text}'").encode(), file="r", env={}, rules=None)
    return loaded.notes


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GTE", "GET"), ("DELTE", "DELETE"), ("POTS", "POST"), ("XYZZY", ""), ("MKCOL", None)],
)
def test_a_method_that_http_does_not_know_gets_the_nearest_one(method, expected):
    assert expected == suggest_method(method)


def test_a_table_notes_a_method_that_http_does_not_know():
    assert [("method-unusual", "Did you mean GET?")] == notes_of("path: /a, methods: [GTE, POST]")


def test_every_usual_method_is_known():
    assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"} <= HTTP_METHODS


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u00a0", "U+00A0 NO-BREAK SPACE"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u00ad", "U+00AD SOFT HYPHEN"),
        ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\u2060", "U+2060 WORD JOINER"),
        ("\u3000", "U+3000 IDEOGRAPHIC SPACE"),
    ],
)
class TestInvisible:
    def test_in_a_path_it_is_a_note_with_its_code_point(self, character, name):
        assert name == find_invisible(f"/a{character}b")
        assert ["invisible-character"] == [code for code, _ in notes_of(f'path: "/a{character}b"')]

    @pytest.mark.parametrize(
        ("before", "at"),
        [
            ("  - {name: a, path: /a, target: legacy}\n", (5, 1)),
            ("  - {name: a, path: /a, target: legacy}\n    ", (5, 5)),
        ],
    )
    def test_as_indentation_it_is_a_problem_at_its_place(self, character, name, before, at):
        head = "version: 1\nlegacy: {url: http://127.0.0.1:9000}\nroutes:\n"
        text = f"{head}{before}{character}  - {{name: b, path: /b, target: legacy}}\n"

        loaded = parse(text.encode(), file="routes.yaml", env={}, rules=None)

        [told] = loaded.problems
        assert ("invisible-character", at) == (told.code, (told.line, told.column))
        assert told.message.startswith(name)

    def test_behind_the_colon_of_a_key_it_is_a_problem(self, character, name):
        [found] = find_invisible_structure(f"version: 1\nlegacy:{character}x\n")

        assert (name, 2, 8) == found


def test_a_byte_order_mark_at_the_start_is_none_of_it():
    text = "\ufeffversion: 1\nlegacy: {url: http://127.0.0.1:9000}\n"

    loaded = parse(text.encode(), file="routes.yaml", env={}, rules=None)

    assert ((), ()) == (loaded.problems, loaded.notes)


def test_a_file_that_is_not_utf_8_has_this_problem_alone():
    data = "version: 1\nlegacy:\n\u00a0 url: http://h\n".encode() + b"# caf\xe9\n"

    loaded = parse(data, file="routes.yaml", env={}, rules=None)

    assert [("not-utf-8", 4)] == [(each.code, each.line) for each in loaded.problems]
