"""Rules that a person accepts: what they cover, and how they come into the file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from overgrow.cli.evidence.accept import accept
from overgrow.shadow.review.drafting import HOW, RuleWish, draft_rules
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.review.rules_text import (
    append_rules,
    read_rules_text,
    text_with_rules,
    write_rules_text,
)
from overgrow.shadow.rules.comparators import Ignore
from overgrow.shadow.rules.rules import Rule
from tests.disk import came_whole, disk_calls

RULE = Rule("$.a", Ignore(), "ada", "why", date(2030, 1, 1))
OTHER = Rule("$.b", Ignore(), "ada", "why", date(2030, 1, 1))


def found(kind: str, path: str = "$.a", **more: Any) -> Any:
    given = {"control": "str", "candidate": "str", "place": "", "one_type": True, "alike": False}
    told = {"kind": kind, "path": path, "gap": None, "gap_s": None, **given, **more}
    return SimpleNamespace(**told)


def test_a_rule_covers_the_kinds_that_were_found_and_no_other():
    parts = [found("missing"), found("value")]

    assert [rule.kinds for rule in draft_rules(parts, RuleWish(how=Ignore()))] == [
        ("missing", "value")
    ]


@pytest.mark.parametrize("part", [found("untold", "$"), found("value", "$.<key 9>")])
def test_no_rule_is_drafted_for_what_was_hidden_or_cut(part):
    assert draft_rules([part]) == []


def test_an_accepted_rule_survives_a_power_cut(tmp_path, monkeypatch):
    made = disk_calls(monkeypatch)
    append_rules(tmp_path / "compare/orders.yaml", "orders", [RULE])

    assert came_whole(made, "orders.yaml")


def test_a_file_of_rules_keeps_its_mode_and_stays_a_link(tmp_path):
    real, link = tmp_path / "real.yaml", tmp_path / "orders.yaml"
    append_rules(real, "orders", [RULE])
    real.chmod(0o640)
    link.symlink_to(real)
    append_rules(link, "orders", [OTHER])

    assert (link.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o640)
    assert "$.b" in real.read_text()


def test_a_second_rule_for_a_path_is_refused_and_changes_nothing(tmp_path):
    path = Path(tmp_path / "orders.yaml")
    append_rules(path, "orders", [RULE])
    before = path.read_bytes()

    with pytest.raises(ReviewRefused, match="has a rule for"):
        append_rules(path, "orders", [RULE])
    assert path.read_bytes() == before


def test_a_file_that_changed_since_it_was_read_is_not_overwritten(tmp_path):
    path = tmp_path / "orders.yaml"
    before = read_rules_text(path)
    append_rules(path, "orders", [OTHER])

    with pytest.raises(ReviewRefused, match="changed by somebody else") as refused:
        write_rules_text(path, before, text_with_rules(path, before, "orders", [RULE]))
    assert ("changed-meanwhile", True) == (refused.value.code, b"$.b" in path.read_bytes())


def test_the_help_of_accept_lists_every_comparator():
    [how] = [each for each in accept.params if each.name == "how"]

    assert how.help.startswith(f"{HOW}. ")
