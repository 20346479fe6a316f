import json

import pytest

from overgrow.text import (
    ago,
    count_text,
    duration_text,
    exception_text,
    join_or,
    percent_number,
    percent_text,
    printable,
    rfc3339,
)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        pytest.param("plain ä 5%", "plain ä 5%", id="what a terminal only shows stays"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="an escape sequence"),
        pytest.param("a\u202eb", "a\\u202eb", id="a direction that hides text"),
        pytest.param("a\u2028b", "a\\u2028b", id="a line separator"),
        pytest.param("a\udcffb", "a\\udcffb", id="a surrogate"),
        pytest.param("a\n\tb", "a\n\tb", id="lines and tabs stay"),
    ],
)
def test_text_for_a_terminal_cannot_command_it(text, safe):
    assert safe == printable(text)


def test_a_line_end_is_written_out_where_it_may_forge_a_line():
    assert "a\\nb" == printable("a\nb", keep="")


def test_an_error_that_cannot_say_itself_is_named():
    class Mute(Exception):
        def __str__(self):
            raise KeyError

    assert ("why", "no text, as its __str__ raises KeyError") == (
        exception_text(ValueError("why")),
        exception_text(Mute()),
    )


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "route", "0 routes"),
        (1, "route", "1 route"),
        (1200, "rule", "1,200 rules"),
        (2, "mismatch", "2 mismatches"),
        (1, "mismatch", "1 mismatch"),
    ],
)
def test_a_count_agrees_with_its_noun(count, noun, text):
    assert text == count_text(count, noun)


@pytest.mark.parametrize(
    ("words", "text"),
    [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
)
def test_words_are_joined_as_a_choice(words, text):
    assert text == join_or(words)


@pytest.mark.parametrize(
    ("hundredths", "text"),
    [(0, "0"), (1_000, "10"), (10_000, "100"), (1_234, "12.34"), (1, "0.01")],
)
def test_percents_are_written_as_short_as_they_are(hundredths, text):
    assert (text, f"{text}%") == (
        json.dumps(percent_number(hundredths)),
        percent_text(hundredths),
    )


def test_a_time_is_utc_to_the_second():
    assert ("1970-01-01T00:00:10Z", "1970-01-01T00:00:10Z") == (rfc3339(10), rfc3339(10.9))


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (-5, "just now"),
        (0.9, "just now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3_600, "1 h ago"),
        (90_000, "25 h ago"),
        (2 * 86_400, "2 days ago"),
    ],
)
def test_an_age_is_said_as_people_say_it(age_s, text):
    assert text == ago(age_s)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0123, "12.3 ms"), (1, "1 s"), (12.34, "12.3 s")]
)
def test_a_duration_has_three_digits(seconds, text):
    assert text == duration_text(seconds)
