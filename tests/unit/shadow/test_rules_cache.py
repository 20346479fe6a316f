"""Rules are those of the file as it stands today."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from datetime import date

import pytest

from overgrow.routing.model import Route
from overgrow.shadow.rules.cache import RulesCache
from overgrow.shadow.rules.rules import Rules
from tests.unit.shadow.mirrored import Now

ORDERS = Route("orders", path="/orders")
RULE = """
  - path: {path}
    how: ignore
    author: ada
    reason: it changes
    expires: 2030-01-02
"""


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def days():
    return [date(2026, 1, 1)]


@pytest.fixture
def paths(tmp_path, now, days):
    """The paths of the rules that apply to a route now."""
    book = RulesCache(tmp_path, today=lambda: days[-1], stopwatch=now)

    def asked(route=ORDERS):
        now.forward(1.01)
        return [rule.path for rule in asyncio.run(book.rules_of(route)).rules]

    asked.book = book
    return asked


def write(folder, *paths, name="orders"):
    rules = "".join(RULE.format(path=path) for path in paths)
    (folder / f"{name}.yaml").write_text(f"version: 1\nrules:{rules}")


def test_no_file_no_rules(paths):
    assert paths() == []


def test_rules_for_every_route_come_after_its_own(tmp_path, paths):
    write(tmp_path, "$.own")
    write(tmp_path, "$.shared", name="_all")

    assert ["$.own", "$.shared"] == paths()
    assert ["$.shared"] == paths(Route("cart", path="/cart"))


def test_a_mistake_in_the_rules_for_every_route_leaves_the_others(tmp_path, paths):
    write(tmp_path, "$.own")
    write(tmp_path, "a mistake", name="_all")

    assert ["$.own"] == paths()


def test_a_mistake_in_the_rules_of_a_route_leaves_it_none(tmp_path, paths):
    write(tmp_path, "a mistake")
    write(tmp_path, "$.shared", name="_all")

    assert [] == paths()
    assert ["$.shared"] == paths(Route("cart", path="/cart"))


def test_rules_for_every_route_are_read_again_when_they_change(tmp_path, paths):
    write(tmp_path, "$.shared", name="_all")
    before = paths()

    write(tmp_path, "$.shared", "$.more", name="_all")

    assert (["$.shared"], ["$.shared", "$.more"]) == (before, paths())


def test_a_routes_rules_stand_under_its_name(tmp_path, paths):
    write(tmp_path, "$.at")

    assert paths() == ["$.at"]


def test_a_route_may_name_another_file(tmp_path, paths):
    write(tmp_path, "$.shared", name="shop")

    assert paths(Route("orders", path="/orders", shadow_compare="shop")) == ["$.shared"]


def test_a_changed_file_is_read_again_and_a_removed_one_forgotten(tmp_path, paths):
    write(tmp_path, "$.at")
    before = paths()
    write(tmp_path, "$.at", "$.id")
    changed = paths()
    (tmp_path / "orders.yaml").unlink()

    assert (before, changed, paths()) == (["$.at"], ["$.at", "$.id"], [])


def test_the_disk_is_looked_at_once_a_second(tmp_path, paths, now):
    write(tmp_path, "$.at")
    paths()
    (tmp_path / "orders.yaml").unlink()
    now.forward(0.9)

    assert asyncio.run(paths.book.rules_of(ORDERS)).rules[0].path == "$.at"


def test_an_unchanged_file_is_not_parsed_again(tmp_path, paths, now):
    write(tmp_path, "$.at")
    paths()
    first = asyncio.run(paths.book.rules_of(ORDERS))
    now.forward(2)

    assert asyncio.run(paths.book.rules_of(ORDERS)) is first


def test_a_rule_ends_on_its_day_without_a_change_of_the_file(tmp_path, paths, days, caplog):
    write(tmp_path, "$.at")
    before = paths()
    days.append(date(2030, 1, 3))

    assert (before, paths()) == (["$.at"], [])
    assert "compare/orders.yaml:3: the rule for $.at expired on 2030-01-02" in caplog.text


def test_a_file_with_a_problem_gives_no_rules_and_is_named_once(tmp_path, paths, caplog):
    (tmp_path / "orders.yaml").write_text("version: 2\nrules: []")

    assert [paths(), paths()] == [[], []]
    assert [each.message for each in caplog.records] == [
        "compare/orders.yaml:1:10: version is not 1. Write version: 1. [version]"
    ]


def test_a_file_that_cannot_be_read_gives_no_rules(tmp_path, paths, caplog):
    (tmp_path / "orders.yaml").mkdir()

    assert asyncio.run(paths.book.rules_of(ORDERS)) == Rules.none
    assert "cannot be read" in caplog.text


def test_a_huge_file_gives_no_rules_and_is_not_read_whole(tmp_path, paths):
    write(tmp_path, "$.a")
    os.truncate(tmp_path / "orders.yaml", 1 << 28)
    tracemalloc.start()
    found = paths()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (found, most < 1 << 24) == ([], True)


def test_new_rules_of_the_same_size_and_time_are_seen(tmp_path, paths):
    write(tmp_path, "$.a")
    times = (tmp_path / "orders.yaml").stat()
    before = paths()
    write(tmp_path, "$.b")
    os.utime(tmp_path / "orders.yaml", ns=(times.st_atime_ns, times.st_mtime_ns))

    assert (["$.a"], ["$.b"]) == (before, paths())


def test_a_file_of_rules_that_is_a_fifo_gives_none_at_once(tmp_path, paths):
    os.mkfifo(tmp_path / "orders.yaml")

    assert paths() == []


def test_a_folder_that_hangs_leaves_the_rules_read_last(tmp_path, now, days, monkeypatch, caplog):
    write(tmp_path, "$.a")
    book = RulesCache(tmp_path, today=lambda: days[-1], stopwatch=now, patience_s=0.25)
    answers = threading.Event()
    real = os.stat

    def hanging(path, *args, **kwargs):
        if str(path).startswith(str(tmp_path)):
            answers.wait(60)
        return real(path, *args, **kwargs)

    async def story():
        async with asyncio.timeout(60):
            while not (first := await book.rules_of(ORDERS)):  # noqa: ASYNC110 - threads
                await asyncio.sleep(0.005)
        monkeypatch.setattr(os, "stat", hanging)
        write(tmp_path, "$.b")
        now.forward(1.01)
        silent = [await book.rules_of(ORDERS) for _ in range(3)]
        answers.set()
        async with asyncio.timeout(60):
            while (healed := await book.rules_of(ORDERS)) == first:  # noqa: ASYNC110 - threads
                await asyncio.sleep(0.005)
        return first, silent, healed

    first, silent, healed = asyncio.run(story())
    assert silent == [first] * 3
    assert [rule.path for rule in healed.rules] == ["$.b"]
    assert caplog.text.count("orders.yaml cannot be read in time") == 1


HALVES = [
    pytest.param("version: 1\nrules:" + RULE.format(path="$.a"), id="a rule less"),
    pytest.param("", id="an empty file"),
    pytest.param("version: 1\nrules:" + RULE.format(path="$.a") * 2 + "  - path: $.b", id="a cut"),
    pytest.param(
        "version: 1\nrules:"
        + RULE.format(path="$.a")
        + "  - {how: ignore, author: ada, reason: r, expires: 2030-01-02, path: $.b}",
        id="the end of a line missing",
    ),
]


@pytest.mark.parametrize("half", HALVES)
def test_half_of_a_file_written_in_place_leaves_the_rules_read_last(tmp_path, paths, half):
    write(tmp_path, "$.a", "$.b.c")
    before = paths()
    (tmp_path / "orders.yaml").write_text(half)
    meanwhile = [paths(), paths(), paths()]

    assert [before] * 3 == meanwhile
    assert paths() != before


def test_half_of_a_file_applies_once_it_stood_for_three_seconds(tmp_path):
    now = Now(0.0)
    book = RulesCache(tmp_path, today=lambda: date(2030, 1, 1), stopwatch=now)

    def count() -> int:
        return len(asyncio.run(book.rules_of(ORDERS)).rules)

    write(tmp_path, "$.a", "$.b")
    found = [count()]
    write(tmp_path, "$.a")
    for at_s in (2.0, 4.0, 5.0):
        now.seconds = at_s
        found.append(count())

    assert found == [2, 2, 2, 1]


def test_half_of_a_file_is_told_of_only_where_it_stays(tmp_path, paths, caplog):
    write(tmp_path, "$.a", "$.b")
    paths()
    (tmp_path / "orders.yaml").write_text("version: 1\nrules:\n  - pa")
    paths()
    write(tmp_path, "$.a", "$.c")

    assert paths() == ["$.a", "$.c"]
    assert caplog.records == []


def test_a_renamed_file_with_fewer_rules_applies_at_once(tmp_path, paths):
    write(tmp_path, "$.a", "$.b")
    paths()
    write(tmp_path, "$.a", name="new")
    (tmp_path / "new.yaml").replace(tmp_path / "orders.yaml")

    assert paths() == ["$.a"]
