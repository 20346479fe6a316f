"""Routes of one group move in one rename, and routes that require something ask the gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from overgrow.table.editing.flip import Actor, Readiness, flip, rollback
from overgrow.table.editing.history import read_history
from overgrow.table.reading.parse import AppRule
from overgrow.table.reading.problems import EditRefused

TABLE = """\
version: 1
legacy: {url: 'http://h'}
routes:
  - {name: pay, path: /pay, target: legacy, group: checkout}   # the form's POST
  - name: other
    path: /other
    target: legacy
  - name: cart
    path: /cart
    group: checkout
    target: 'legacy'  # the form
    require: {clean: 299}
"""


class Shop:
    """A table in a folder and the commands on it."""

    def __init__(self, folder: Path, text: str = TABLE) -> None:
        self.config = folder / "routes.yaml"
        self.config.write_text(text)
        self.state = folder / "state"
        self.state.mkdir()
        self.given = {"env": {}, "who": "kim", "now": lambda: "2026-01-01T00:00:00Z"}

    def flip(self, name: str, to: str, **more):
        return flip(self.config, self.state, name, to, Actor(**(self.given | more)))

    def rollback(self, name: str | None = None, **more):
        return rollback(self.config, self.state, name, Actor(**(self.given | more)))

    def refused(self, call, *arguments, **more) -> EditRefused:
        before = self.text
        with pytest.raises(EditRefused) as caught:
            call(*arguments, **more)
        assert self.text == before
        return caught.value

    @property
    def text(self) -> str:
        return self.config.read_text()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def ready(*reasons: str, **evidence):
    return lambda _route, _clean: Readiness(reasons, evidence)


def test_a_group_flip_changes_every_member_and_nothing_else(shop):
    flipped = shop.flip("group:checkout", "10%")
    expected = TABLE.replace("/pay, target: legacy", "/pay, target: legacy, canary: 10%")

    assert shop.text == expected.replace("# the form\n", "# the form\n    canary: 10%\n")
    assert (flipped.route, flipped.from_, flipped.to) == ("group:checkout", "legacy", "10%")


def test_a_group_flip_is_one_line_of_history(shop):
    shop.flip("group:checkout", "10%")
    (line,) = map(json.loads, (shop.state / "flips.jsonl").read_text().splitlines())

    assert (line["route"], line["from"], line["to"]) == ("group:checkout", "legacy", "10%")
    assert line["changes"] == [["canary", None, "10%", "pay"], ["canary", None, "10%", "cart"]]


def test_a_group_flip_to_where_all_members_stand_writes_nothing(shop):
    assert shop.flip("group:checkout", "legacy").changes == ()
    assert read_history(shop.state).entries == ()


@pytest.mark.parametrize("name", [None, "group:checkout"])
def test_a_rollback_undoes_a_group_flip_whole(shop, name):
    shop.flip("group:checkout", "10%")
    shop.flip("group:checkout", "25%")
    undone = [shop.rollback(name) for _ in range(2)]

    assert [(one.route, one.from_, one.to) for one in undone] == [
        ("group:checkout", "25%", "10%"),
        ("group:checkout", "10%", "legacy"),
    ]
    assert shop.text == TABLE
    assert shop.refused(shop.rollback, name).code == "nothing-to-undo"


def test_rollbacks_restore_groups_and_single_routes_byte_for_byte(shop):
    flips = [("group:checkout", "10%"), ("other", "migrated"), ("group:checkout", "gone")]
    for name, to in flips:
        shop.flip(name, to)
    undone = [shop.rollback().route for _ in flips]

    assert undone == [name for name, _ in reversed(flips)]
    assert shop.text == TABLE


@pytest.mark.parametrize(
    ("command", "arguments", "fix"),
    [
        ("flip", ["cart", "gone"], "Run overgrow flip group:checkout gone."),
        ("flip", ["pay", "10%"], "Run overgrow flip group:checkout 10%."),
        ("rollback", ["pay"], "Run overgrow rollback group:checkout."),
    ],
)
def test_a_member_alone_does_not_move(shop, command, arguments, fix):
    refused = shop.refused(getattr(shop, command), *arguments)

    assert (refused.code, refused.fix) == ("group-member", fix)
    assert "pay, cart" in refused.message


@pytest.mark.parametrize(
    ("name", "fix"),
    [("group:chekout", "Did you mean group:checkout?"), ("group:mail", "Write group: NAME")],
)
def test_a_group_without_members_is_refused(shop, name, fix):
    refused = shop.refused(shop.flip, name, "gone")

    assert refused.code == "unknown-group"
    assert fix in refused.fix


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param("'legacy'  #", "${T:-legacy}  #", "variable-value", id="variable"),
        pytest.param("'legacy'  #", "&t legacy  #", "anchored-value", id="anchor"),
        pytest.param("'legacy'  #", ">-\n      legacy\n    #", "shape-unknown", id="block"),
    ],
)
def test_one_member_that_cannot_be_edited_keeps_all_where_they_are(tmp_path, old, new, code):
    shop = Shop(tmp_path, TABLE.replace(old, new))

    assert shop.refused(shop.flip, "group:checkout", "gone").code == code


def test_one_irreversible_member_keeps_the_group_from_legacy(tmp_path):
    text = TABLE.replace("legacy, group", "migrated, group").replace("'legacy'", "migrated")
    shop = Shop(tmp_path, text.replace("    require", "    reversible: false\n    require"))
    refused = shop.refused(shop.flip, "group:checkout", "legacy")

    assert refused.code == "irreversible"
    assert "cart has reversible: false (line 12)" in refused.message


def test_a_split_group_is_mended_by_a_flip_that_cannot_be_undone(tmp_path):
    shop = Shop(tmp_path, TABLE.replace("'legacy'", "migrated"))

    assert shop.flip("group:checkout", "legacy").from_ == "split"
    refused = shop.refused(shop.rollback)
    assert refused.code == "would-be-invalid"
    assert "flip group:checkout legacy" in refused.fix


def test_a_member_changed_by_hand_keeps_the_group_flip_from_being_undone(shop):
    shop.flip("group:checkout", "10%")
    shop.config.write_text(shop.text.replace("canary: 10%}", "canary: 5%}"))
    shop.config.write_text(shop.text.replace("legacy, canary: 10%", "legacy, canary: 5%"))
    refused = shop.refused(shop.rollback)

    assert refused.code == "not-as-written"
    assert "the file says pay is 5%" in refused.message


def test_a_member_that_joined_later_keeps_the_flip_from_being_undone(shop):
    shop.flip("group:checkout", "10%")
    joined = "name: other\n    group: checkout\n    canary: 10%\n"
    shop.config.write_text(shop.text.replace("name: other\n", joined))
    refused = shop.refused(shop.rollback)

    assert refused.code == "would-be-invalid"
    assert [problem.code for problem in refused.problems] == ["group-split"]


def test_a_flip_recorded_by_the_first_version_is_undone(shop):
    shop.flip("other", "10%")
    path = shop.state / "flips.jsonl"
    path.write_text(path.read_text().replace(', "other"]]', "]]"))
    shop.rollback()

    assert shop.text == TABLE


def test_the_apps_rules_are_asked_for_a_whole_group(shop):
    refused = shop.refused(
        shop.flip, "group:checkout", "10%", rules=lambda: [AppRule("/cart", None)]
    )

    assert [problem.route for problem in refused.problems] == ["pay"]


def test_a_read_only_file_is_refused_with_the_lines_of_every_member(shop):
    shop.config.chmod(0o444)
    refused = shop.refused(shop.flip, "group:checkout", "5%")

    assert "line 4 becomes" in refused.fix
    assert 'after line 11 comes "canary: 5%"' in refused.fix


# --- the gate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["migrated", "100%"])
@pytest.mark.parametrize(
    ("gate", "said"),
    [
        pytest.param(ready("12 of 299 comparisons"), "cart: 12 of 299 comparisons", id="closed"),
        pytest.param(None, "cart requires 299 clean comparisons", id="nobody counts"),
    ],
)
def test_a_closed_gate_keeps_clients_from_migrated(shop, to, gate, said):
    refused = shop.refused(shop.flip, "group:checkout", to, gate=gate)

    assert refused.code == "gate-closed"
    assert said in refused.message


def test_an_open_gate_lets_through_and_its_evidence_is_kept(shop):
    asked = []

    def gate(route, clean):
        asked.append((route, clean))
        return Readiness((), {"clean": 312})

    shop.flip("group:checkout", "migrated", gate=gate)
    entry = read_history(shop.state).entries[0]

    assert asked == [("cart", 299)]
    assert (entry.evidence, entry.why) == ({"cart": {"clean": 312}}, None)
    assert entry.overruled == ()


def test_a_reason_opens_a_closed_gate_and_is_kept_with_what_the_gate_saw(shop):
    shop.flip("group:checkout", "migrated", gate=ready("too few", clean=3), why="night, no users")
    entry = read_history(shop.state).entries[0]

    assert (entry.why, entry.evidence) == ("night, no users", {"cart": {"clean": 3}})
    assert entry.overruled == ("cart: too few",)


@pytest.mark.parametrize("to", ["50%", "gone"])
def test_the_gate_is_asked_only_where_everybody_goes_to_migrated(shop, to):
    shop.flip("group:checkout", to, gate=ready("closed"))

    assert shop.rollback().to == "legacy"


def test_a_rollback_to_migrated_asks_no_gate(shop):
    shop.flip("group:checkout", "migrated", gate=ready())
    shop.flip("group:checkout", "legacy")

    assert shop.rollback().to == "migrated"


def test_a_reason_is_kept_where_no_gate_stands(shop):
    shop.flip("other", "gone", why="unused since May")

    assert read_history(shop.state).entries[0].why == "unused since May"


def test_an_empty_reason_opens_no_closed_gate(shop):
    refused = shop.refused(shop.flip, "group:checkout", "migrated", gate=ready("too few"), why="")

    assert refused.code == "gate-closed"
