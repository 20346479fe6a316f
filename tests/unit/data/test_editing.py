"""The stage of a table in data.yaml, changed byte for byte."""

from __future__ import annotations

import pytest

from overgrow.data.database import DataError
from overgrow.data.editing import write_stage

HEAD = "version: 1\ndatabase: sqlite:///x\ntables:\n"
BLOCK = HEAD + "  orders:  # moves\n    owner: flask\n    from: rows  # legacy\n    key: [id]\n"


def written(text, stage="live"):
    return write_stage(text.encode(), "orders", stage, file="data.yaml", env={}).decode()


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_only_the_word_changes(quote):
    text = BLOCK + f"    stage: {quote}none{quote}  # now\n  users: {{owner: legacy}}\n"

    assert written(text) == text.replace("none", "live")


def test_a_missing_stage_is_added_below_the_source():
    assert written(BLOCK) == BLOCK.replace("# legacy\n", "# legacy\n    stage: live\n")


def test_line_ends_and_byte_order_mark_stay():
    text = "\ufeff" + BLOCK.replace("\n", "\r\n")

    assert written(text) == text.replace("# legacy\r\n", "# legacy\r\n    stage: live\r\n")


def test_a_stage_is_added_in_braces():
    text = HEAD + "  orders: {owner: flask, from: rows, key: [id]}\n"

    assert written(text) == text.replace("rows,", "rows, stage: live,")


def test_a_shared_value_is_refused_with_its_line():
    text = BLOCK + "    stage: *now\n"
    text = text.replace("version: 1", "version: 1 # &now")
    text = text.replace("key: [id]", "key: [id]\n    routes: [&now none]")

    with pytest.raises(DataError, match=r"data.yaml:9: the stage of orders"):
        written(text)
