"""The fuzz targets hold for their seeds and for a few mutations, and notice what is broken."""

from __future__ import annotations

import pytest

from benchmarks import fuzz, fuzz_targets
from benchmarks.fuzz_seeds import SEEDS
from benchmarks.fuzz_targets import TARGETS, Broken

CASES = [(name, seed) for name, seeds in SEEDS.items() for seed in seeds]
TWO_TYPES = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n"


@pytest.fixture(autouse=True)
def _loop_is_closed():
    yield
    fuzz_targets.close()


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_every_promise_holds_for_the_seeds(name, seed):
    TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_every_promise_holds_for_a_few_mutations(name, capsys):
    assert fuzz.search_blindly(name, fuzz.Bounds(seconds=30, runs=200, seed=7)) == 0
    assert "200 runs" in capsys.readouterr().out


def test_a_seed_makes_the_same_mutations_again(monkeypatch):
    tried = []
    monkeypatch.setitem(TARGETS, "request", tried.append)

    for _ in range(2):
        fuzz.search_blindly("request", fuzz.Bounds(seconds=30, runs=50, seed=3))

    assert tried[:50] == tried[50:]
    assert len({*tried}) > 20


def test_a_parser_more_lenient_than_the_next_one_is_noticed(monkeypatch):
    fuzz_targets.request(TWO_TYPES)
    monkeypatch.setattr("overgrow.server.request_parser._SINGLE", frozenset())

    with pytest.raises(Broken, match="gunicorn reads another"):
        fuzz_targets.request(TWO_TYPES)


def test_an_answer_that_another_reader_reads_otherwise_is_noticed(monkeypatch):
    shortened = fuzz_targets.answer_in

    def answer_in(pieces, leniencies, method):
        return shortened(pieces, leniencies, method)._replace(body=b"hell")

    monkeypatch.setattr(fuzz_targets, "answer_in", answer_in)

    with pytest.raises(Broken, match="h11 reads another"):
        fuzz_targets.response(SEEDS["response"][0])


def test_what_depends_on_the_cuts_is_noticed(monkeypatch):
    real = fuzz_targets.answer_in

    def answer_in(pieces, leniencies, method):
        return real(pieces[:1], leniencies, method)

    monkeypatch.setattr(fuzz_targets, "answer_in", answer_in)

    with pytest.raises(Broken, match="depends on the cuts"):
        fuzz_targets.response(SEEDS["response"][0])


def test_a_second_request_that_goes_out_with_the_first_is_noticed(monkeypatch):
    real = fuzz_targets.forwarded

    def forwarded(asked):
        wire, target = real(asked)
        return wire + SEEDS["request"][0], target

    monkeypatch.setattr(fuzz_targets, "forwarded", forwarded)

    with pytest.raises(Broken, match="not one request"):
        fuzz_targets.passage(SEEDS["request"][0])


def test_the_bytes_that_break_a_promise_are_printed(capsys):
    def target(data):
        raise Broken(data)

    with pytest.raises(Broken):
        fuzz.told(target)(b"\x00x")

    assert capsys.readouterr().out == "broken by b'\\x00x'\n"
