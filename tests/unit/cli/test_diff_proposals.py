"""`overgrow diff proposals` and `diff accept --proposals`: what is shown, asked, written and begun anew."""

from __future__ import annotations

import json
import time
from datetime import date

import pytest
import yaml

from overgrow.evidence import NoiseLearned
from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.rules.file import parse_rules_file
from overgrow.shadow.values.snapshot import ResponseSnapshot
from tests.unit.cli.found import answer, compared, learned, put

ORDER = {"id": 7, "total": 1900}
COUNT = 40


@pytest.fixture
def find(overgrow):
    """Put what was found into the store."""
    return lambda *records: put(overgrow.folder / ".overgrow", *records)


def tokens(name="token", count=COUNT):
    """Pairs of answers of one side in which a token differs."""
    for number in range(count):
        drawn = [f"{number * 2 + at:032x}" for at in (1, 2)]
        yield tuple(answer({**ORDER, name: token}) for token in drawn)


@pytest.fixture
def noisy(overgrow, find):
    """Two routes of which a token was learned each."""
    find(learned("orders", *tokens()), learned("cart", *tokens("nonce")))
    return overgrow


def paths_in(overgrow, name):
    file = overgrow.folder / f"compare/{name}.yaml"
    return (
        [each["path"] for each in yaml.safe_load(file.read_text())["rules"]]
        if file.exists()
        else []
    )


def accept(overgrow, *words, typed=None):
    return overgrow("diff", "accept", "--proposals", "--reason", "noise", *words, typed=typed)


def test_all_proposals_are_shown_and_written_after_one_question(noisy):
    done = accept(noisy, typed="write\n")

    assert (0, ["$.token"], ["$.nonce"]) == (
        done.exit_code,
        paths_in(noisy, "orders"),
        paths_in(noisy, "cart"),
    )
    assert 1 == done.stdout.count("Write 2 rules, and reset the evidence of 2 routes?")
    assert "orders:\n  p" in done.stdout
    assert (
        "overgrow shadow restart --all --reason TEXT deletes what was found before." in done.stdout
    )


def test_an_answer_begins_the_evidence_of_their_routes_anew(noisy, find):
    find(compared("orders", answer(ORDER), answer({**ORDER, "total": "1"})))

    done = accept(noisy, typed="both\n")

    assert "cart, orders: the evidence was reset." in done.stdout
    assert [] == noisy.json("diff", "top")[1]


@pytest.mark.parametrize("typed", ["no\n", None], ids=["no", "nobody answers"])
def test_without_consent_nothing_is_written(noisy, typed):
    done = accept(noisy, typed=typed)

    assert (1, [], True) == (
        done.exit_code,
        paths_in(noisy, "orders"),
        "[not-accepted]" in done.stderr,
    )


def test_of_one_route_the_others_are_left(noisy):
    accept(noisy, "--route", "cart", "--yes")

    assert ([], ["$.nonce"]) == (paths_in(noisy, "orders"), paths_in(noisy, "cart"))


@pytest.mark.parametrize(
    ("words", "typed", "done"),
    [
        pytest.param(["--restart"], "y\n", (["$.token"], "reset"), id="yes to both"),
        pytest.param(["--restart"], "n\n", ([], "kept"), id="no to both"),
        pytest.param(["--no-restart"], "y\n", (["$.token"], "kept"), id="yes to the rules"),
        pytest.param(["--no-restart"], "n\n", ([], "kept"), id="no to the rules"),
        pytest.param([], "write\n", (["$.token"], "kept"), id="the rules alone"),
        pytest.param(["--yes"], None, (["$.token"], "kept"), id="no question"),
    ],
)
def test_what_was_agreed_is_done_and_no_more(noisy, find, words, typed, done):
    find(compared("orders", answer(ORDER), answer({**ORDER, "total": "1"})))

    accept(noisy, *words, typed=typed)

    evidence = "kept" if noisy.json("diff", "top")[1] else "reset"
    assert done == (paths_in(noisy, "orders"), evidence)


def test_question_and_proposals_leave_the_json_alone(noisy):
    done = accept(noisy, "--json", typed="write\n")

    assert ["cart", "orders"] == [each["route"] for each in json.loads(done.stdout)["files"]]
    assert "Write 2 rules" in done.stderr
    assert "$.token" in done.stderr


def test_equal_proposals_of_two_routes_have_ids_of_their_own(overgrow, find):
    find(learned("orders", *tokens()), learned("cart", *tokens()))

    found = overgrow.json("diff", "proposals")[1]

    assert (2, 2) == (len(found), len({each["proposal"] for each in found}))


def test_a_script_accepts_and_begins_anew_without_a_question(noisy):
    code, told = noisy.json(
        "diff", "accept", "--proposals", "--yes", "--restart", "--reason", "noise"
    )

    assert (0, ["cart", "orders"], [["$.nonce"], ["$.token"]]) == (
        code,
        told["restarted"],
        [[rule["path"] for rule in file["rules"]] for file in told["files"]],
    )


def test_rules_for_every_route_stand_in_one_file(overgrow, find):
    find(learned("orders", *tokens()), learned("cart", *tokens()))

    accept(overgrow, "--yes", "--everywhere")

    assert ["$.token"] == paths_in(overgrow, "_all")
    assert [] == overgrow.json("diff", "proposals")[1]


def test_nothing_to_accept_is_said_and_is_no_failure(overgrow, find):
    find(learned("orders", *tokens(count=3)))

    done = accept(overgrow)

    assert (0, "No noise was found that would justify a rule.\n") == (done.exit_code, done.stdout)


def test_a_rule_that_cannot_stand_in_its_file_keeps_no_other_from_it(noisy):
    folder = noisy.folder / "compare"
    folder.mkdir()
    (folder / "orders.yaml").write_text(
        "version: 1\nrules:\n  - path: $.token\n    how: ignore\n    author: bob\n    reason: x\n"
        "    expires: 2020-01-01\n"
    )

    done = accept(noisy, "--yes")

    assert (0, ["$.nonce"]) == (done.exit_code, paths_in(noisy, "cart"))
    assert "not added: compare/orders.yaml:3 already has a rule for $.token" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["abcd", "--proposals"], id="a group and all proposals"),
        pytest.param([], id="neither"),
        pytest.param(["abcd", "--yes"], id="yes to one"),
        pytest.param(["abcd", "--route", "orders"], id="a route of one"),
        pytest.param(["--proposals", "--how", "ignore"], id="a way for all"),
        pytest.param(["--proposals", "--path", "$.a"], id="a path for all"),
    ],
)
def test_options_that_say_nothing_together_are_bad_usage(noisy, words):
    noisy.misused("diff", "accept", *words, "--reason", "x")


def test_a_proposal_tells_what_it_would_hide_of_what_was_found(overgrow, find):
    wrong = compared(
        "orders", answer({**ORDER, "token": f"{9:032x}"}), answer({**ORDER, "token": f"{7:032x}"})
    )
    find(learned("orders", *tokens()), wrong, wrong)

    (told,) = overgrow.json("diff", "proposals")[1]
    text = overgrow("diff", "proposals").stdout

    assert [("value", "$.token", "medium", 2, True)] == [
        (each["kind"], each["path"], each["severity"], each["count"], each["sure"])
        for each in told["hides"]
    ]
    assert "      hides value $.token, medium, 2 times in" in text


def test_accepting_a_group_tells_what_else_its_rule_hides(overgrow, find):
    late, gone = {**ORDER, "at": "x", "note": 1}, {**ORDER, "note": 1}
    find(
        compared("orders", answer({**late, "id": 1}), answer({**gone, "id": "1"})),
        compared("orders", answer(late), answer({**gone, "note": "y"})),
    )
    key = overgrow.json("diff", "top")[1][0]["group"]

    told = overgrow.json("diff", "accept", key, "--path", "$.at", "--reason", "x")[1]

    assert [("missing", "$.at", "high")] == [
        (each["kind"], each["path"], each["severity"]) for each in told["hides"]
    ]
    assert key not in {each["group"] for each in told["hides"]}


def test_a_rule_of_other_kinds_leaves_the_rest_of_a_proposal(overgrow, find):
    pairs = [
        (answer({**ORDER, "hint": "red"}), answer({**ORDER, "hint": "blue"} if n % 2 else ORDER))
        for n in range(60)
    ]
    find(learned("orders", *pairs))
    (overgrow.folder / "compare").mkdir()
    (overgrow.folder / "compare/orders.yaml").write_text(
        "version: 1\nrules:\n  - path: $.hint\n    how: ignore\n    kinds: [value]\n    author: bob\n"
        "    reason: x\n    expires: 2100-01-01\n"
    )

    (told,) = overgrow.json("diff", "proposals")[1]
    done = accept(overgrow, "--yes")

    assert (["extra", "missing"], 0) == (told["kinds"], done.exit_code)
    assert ["$.hint", "$.hint"] == paths_in(overgrow, "orders")
    assert [] == overgrow.json("diff", "proposals")[1]


def test_rules_for_every_route_are_listed_once_and_judge_all(overgrow, find):
    pair = compared("orders", answer(ORDER), answer({**ORDER, "new": 1}))
    other = compared("cart", answer(ORDER), answer({**ORDER, "new": 1}))
    find(pair, other)
    key = overgrow.json("diff", "top", "--route", "orders")[1][0]["group"]

    overgrow("diff", "accept", key, "--everywhere", "--reason", "a new field")

    assert [] == overgrow.json("diff", "top")[1]
    assert [("(all)", "$.new")] == [
        (each["route"], each["path"]) for each in overgrow.json("diff", "rules")[1]
    ]


@pytest.mark.parametrize(
    ("kinds", "accepted"),
    [
        pytest.param("[missing]", ["$.at", "$.at"], id="a rule for a loss"),
        pytest.param("[value]", ["$.at"], id="a rule for its value"),
    ],
)
def test_times_are_proposed_beside_a_rule_of_other_kinds(overgrow, find, kinds, accepted):
    times = [answer({**ORDER, "at": f"2026-11-22T10:00:0{second}Z"}) for second in (1, 2)]
    find(learned("orders", *[tuple(times)] * COUNT))
    (overgrow.folder / "compare").mkdir()
    (overgrow.folder / "compare/orders.yaml").write_text(
        f"version: 1\nrules:\n  - path: $.at\n    how: ignore\n    kinds: {kinds}\n    author: bob\n"
        "    reason: x\n    expires: 2100-01-01\n"
    )

    done = accept(overgrow, "--yes")

    assert (0, accepted) == (done.exit_code, paths_in(overgrow, "orders"))
    assert [] == overgrow.json("diff", "proposals")[1]


def test_noise_of_the_whole_answer_is_told_and_not_proposed(overgrow, find):
    pairs = [(ResponseSnapshot(200), ResponseSnapshot(503)) for _ in range(60)]
    find(learned("orders", *pairs))

    told = overgrow("diff", "proposals").stdout
    done = accept(overgrow, "--yes")

    note = "note: orders: status differs between two responses of legacy in 60 of 60 pairs."
    assert note in told
    assert (0, True) == (done.exit_code, note in done.stderr)
    assert not (overgrow.folder / "compare").exists()


def test_notes_are_entries_without_a_proposal_in_json(overgrow, find):
    find(learned("orders", *[(ResponseSnapshot(200), ResponseSnapshot(503)) for _ in range(60)]))

    _, [told] = overgrow.json("diff", "proposals")

    assert (None, "orders", "status", 60) == (
        told["proposal"],
        told["route"],
        told["path"],
        told["different"],
    )
    assert "differs between two responses of legacy" in told["note"]


RULE = """\
version: 1
rules:
  - path: $.token
    how: same_shape
    author: bob
    reason: a token
    expires: 2100-01-01
"""


def still(overgrow, *, rules=RULE):
    """A route with rules, of which legacy's token is always renewed, and migrated's never."""
    (overgrow.folder / "compare").mkdir()
    (overgrow.folder / "compare/orders.yaml").write_text(rules)
    agreed = parse_rules_file(RULE.encode(), file="c.yaml", today=date(2026, 11, 22)).rules
    same = answer({**ORDER, "token": "0" * 32})
    pairs = (measure_pair_noise("p", *pair, agreed, (same, same)) for pair in tokens())
    noise = sum(pairs, Noise.none)
    return NoiseLearned("orders", time.time(), noise.as_json())


def test_a_token_that_became_constant_under_its_rule_is_noted(overgrow, find):
    find(still(overgrow), compared("orders", answer(ORDER), answer(ORDER)))

    told = overgrow("diff", "proposals").stdout
    _, gate = overgrow.json("gate", "orders")

    note = f"at $.token, which a rule covers, two responses of legacy differed in {COUNT} pairs"
    assert note in told
    assert [True] == [note in each for each in gate["notes"]]
    assert f"  note: orders: {note}" in overgrow("gate", "orders").stdout


def test_of_a_rule_that_is_gone_nothing_is_noted(overgrow, find):
    find(
        still(overgrow, rules="version: 1\nrules: []\n"),
        compared("orders", answer(ORDER), answer(ORDER)),
    )

    _, gate = overgrow.json("gate", "orders")

    assert [] == gate["notes"]


def test_of_a_rule_elsewhere_nothing_is_noted(overgrow, find):
    find(
        still(overgrow, rules=RULE.replace("$.token", "$.nonce")),
        compared("orders", answer(ORDER), answer(ORDER)),
    )

    assert [] == overgrow.json("diff", "proposals")[1]


@pytest.mark.parametrize(
    ("path", "pair"),
    [
        pytest.param("$.token", next(tokens()), id="a rule that would be proposed"),
        pytest.param("status", (ResponseSnapshot(200), ResponseSnapshot(503)), id="a note"),
    ],
)
def test_where_a_rule_of_all_kinds_stands_nothing_is_proposed(overgrow, find, path, pair):
    find(learned("orders", *[pair] * 60))
    before = overgrow.json("diff", "proposals")[1]
    (overgrow.folder / "compare").mkdir()
    text = RULE.replace("$.token", path).replace("same_shape", "ignore")
    (overgrow.folder / "compare/orders.yaml").write_text(text)

    assert ([path], []) == (
        [each["path"] for each in before],
        overgrow.json("diff", "proposals")[1],
    )
