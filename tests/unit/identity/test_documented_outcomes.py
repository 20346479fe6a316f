"""Every reason why nobody is signed in stands in docs/sharing-a-login.md, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from overgrow.routing.identity import RefusalReason

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sharing-a-login.md"


def test_every_reason_of_a_refusal_is_documented():
    section = (
        PAGE.read_text("utf-8").partition("## Why nobody is signed in")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)

    assert set(get_args(RefusalReason)) == set(re.findall(r"`([a-z-]+)`", " ".join(rows)))
