from __future__ import annotations

import pytest

from overgrow.shadow.redact.query import MAX_QUERY_CHARS, redact_query

SHOWN = [
    "page=2",
    "sort=price&order=desc",
    "q=winter+boots",
    "from=2026-01-02",
    "flag",
    "empty=",
    "filter[size]=42",
    "a=1&a=2&&b=3",
    "utm_source=news",
]


@pytest.mark.parametrize("query", SHOWN)
def test_a_query_of_names_numbers_and_words_is_shown(query):
    assert query == redact_query(query)


HIDDEN = [
    pytest.param("token=abc", "token=REDACTED", id="a credential by its name"),
    pytest.param("user[password]=blue", "user[password]=REDACTED", id="a name in brackets"),
    pytest.param("sig=abc&x=1", "sig=REDACTED&x=1", id="a signature of the conventions"),
    pytest.param("X-Amz-Credential=me", "X-Amz-Credential=REDACTED", id="cloud storage"),
    pytest.param("mail=a%40b.example", "mail=REDACTED", id="an address"),
    pytest.param("card=4111111111111111", "card=REDACTED", id="a long number"),
    pytest.param("id=9f86d081884c", "id=REDACTED", id="a random text"),
    pytest.param("pass%77ord=blue", "pass%77ord=REDACTED", id="an encoded name"),
    pytest.param("eyJhbGciOi.9f8=1&page=2", "REDACTED&page=2", id="data in place of a name"),
    pytest.param("9f86d081884c", "REDACTED", id="data alone"),
    pytest.param("=9f86d081884c", "=", id="no name"),
]


@pytest.mark.parametrize(("query", "expected"), HIDDEN)
def test_what_looks_like_data_is_hidden(query, expected):
    assert expected == redact_query(query)


def test_a_long_query_is_cut():
    shown = redact_query("page=2&" * MAX_QUERY_CHARS)

    assert len(shown) < MAX_QUERY_CHARS + 20
    assert shown.endswith("...")
