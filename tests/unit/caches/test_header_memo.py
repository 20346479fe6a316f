"""What a connection remembers of headers is written down, field by field."""

from __future__ import annotations

import re
from pathlib import Path

from overgrow.caches.header_memo import NOT_READ, HeaderMemo

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture.md"


def test_the_page_has_a_row_for_each_field_of_a_memo():
    section = PAGE.read_text("utf-8").partition("## What a connection remembers")[2]
    rows = re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE)

    assert sorted(rows) == sorted(HeaderMemo.__slots__)


def test_a_memo_begins_with_what_its_block_says_alone():
    memo = HeaderMemo([(b"host", b"shop.example")], "shop.example")

    assert (memo.host, memo.is_public) == ("shop.example", False)
    assert (memo.forwarded, memo.log_fields, memo.traceparent) == (None, None, NOT_READ)
    assert memo == [(b"host", b"shop.example")]
