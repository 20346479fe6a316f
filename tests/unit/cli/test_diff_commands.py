import time
from itertools import product

import pytest
import yaml

from overgrow.shadow.rules.rules import Rules
from tests.unit.cli.found import answer, compared, learned, put

ORDER = {"id": 7, "total": 1900, "placed_at": "2026-11-20T09:14:00Z", "tags": ["a", "b"]}
LATE = {**ORDER, "placed_at": "2026-11-20T09:14:02Z"}
TEXT = {**ORDER, "total": "1900"}
MORE = {**ORDER, "total": 1905}
TURNED = {**ORDER, "tags": ["b", "a"]}


def pairs(candidate, count=1, route="orders", **given):
    return [compared(route, answer(ORDER), answer(candidate), **given)] * count


@pytest.fixture
def state(overgrow):
    return overgrow.folder / ".overgrow"


@pytest.fixture
def find(state):
    """Put what was found into the store."""
    return lambda *records: put(state, *records)


def top(overgrow, *words):
    return overgrow.json("diff", "top", *words)[1]


def rules_in(overgrow, name="orders"):
    return yaml.safe_load((overgrow.folder / f"compare/{name}.yaml").read_text())["rules"]


# --- top ------------------------------------------------------------------------------------------


def test_top_has_the_gravest_first_then_the_most_frequent(overgrow, find):
    find(*pairs(LATE, 2), *pairs(MORE, 9), *pairs(TEXT))

    assert [("high", 1), ("medium", 9), ("medium", 2)] == [
        (each["severity"], each["count"]) for each in top(overgrow)
    ]


def test_top_as_json_has_exactly_the_keys_that_are_promised(overgrow, find):
    find(*pairs(LATE))
    (told,) = top(overgrow)

    assert [
        "group",
        "route",
        "answered_by",
        "open",
        "undecided",
        "severity",
        "count",
        "first_seen",
        "last_seen",
        "differences",
    ] == list(told)
    assert [
        {
            "kind": "value",
            "path": "$.placed_at",
            "legacy": "str",
            "migrated": "str",
            "gap": None,
            "gap_s": 2.0,
            "covered": False,
        }
    ] == told["differences"]


def test_top_of_one_route_leaves_the_others_out(overgrow, find):
    find(*pairs(LATE), *pairs(LATE, route="cart"))

    assert ["cart"] == [each["route"] for each in top(overgrow, "--route", "cart")]


def test_top_of_a_route_that_is_none_tells_the_nearest(overgrow, find):
    find(*pairs(LATE))

    assert "Did you mean orders" in overgrow.fails("diff", "top", "--route", "order")


def test_top_is_cut_at_the_limit_and_says_how_much_is_left(overgrow, find):
    find(*pairs(LATE), *pairs(TEXT), *pairs(MORE))

    lines = overgrow("diff", "top", "--limit", "1").stdout.splitlines()

    assert (3, "and 2 more: --limit 3") == (len(lines), lines[-1])
    assert 1 == len(top(overgrow, "--limit", "1"))


def test_where_nothing_differs_top_says_so(overgrow, find):
    find(*pairs(ORDER))

    assert "No differences.\n" == overgrow("diff", "top").stdout


def test_a_group_of_two_kinds_names_both_and_counts_the_rest(overgrow, find):
    find(*pairs({**LATE, "total": "1", "id": "x", "new": 1}))

    line = overgrow("diff", "top").stdout.splitlines()[1]

    assert ("extra $.new, type $.id and 2 more" in line, "status" in line) == (True, False)


def test_a_group_with_another_status_names_the_status_first(overgrow, find):
    find(compared("orders", answer(ORDER), answer({}, 500)))

    assert overgrow("diff", "top").stdout.splitlines()[1].startswith("status, missing $.id")


def test_long_paths_fit_eighty_columns(overgrow, find):
    path = "a_member_with_a_long_name", "and_another_one", "and_the_last_of_them"
    one, other = 1, "x"
    for name in path:
        one, other = {name: one}, {name: other}
    find(compared("orders", answer(one), answer(other)))

    head, above, row = overgrow("diff", "top", COLUMNS="80").stdout.splitlines()

    assert f"type $.{'.'.join(reversed(path))}" == above
    assert max(len(head), len(row)) <= 80


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "top"],
        ["diff", "show", "abcd"],
        ["diff", "proposals"],
        ["diff", "accept", "abcd", "--reason", "x"],
        ["shadow", "restart", "orders", "--reason", "x"],
    ],
    ids=" ".join,
)
def test_without_a_store_there_is_no_evidence_yet_and_none_is_made(overgrow, words):
    code, told = overgrow.json(*words)

    assert (1, "no-evidence") == (code, told["error"]["code"])
    assert "There is no evidence yet" in told["error"]["message"]
    assert not (overgrow.folder / ".overgrow").exists()


def test_a_store_of_an_unknown_kind_is_refused_without_its_password(overgrow):
    told = overgrow.fails("diff", "top", OVERGROW_STORE_URL="mysql://u:secret@h/db")

    assert ("[no-evidence]" in told, "secret" in told) == (True, False)


# --- show -----------------------------------------------------------------------------------------


def shown(overgrow, *words):
    key = top(overgrow, "--all")[0]["group"]
    return overgrow("diff", "show", key[:4], *words).stdout


def test_show_tells_exact_paths_pairs_and_the_rule_that_would_cover_it(overgrow, find):
    find(*pairs(LATE, 3))

    text = shown(overgrow)

    assert "orders, medium, 3 times" in text
    assert "value  $.placed_at  str -> str, at most 2 s apart" in text
    assert "$.placed_at: <str 20> -> <str 20>" in text
    assert "compare/orders.yaml:\n  $.placed_at  timestamp_within 2s" in text


def test_show_keeps_no_value(overgrow, find):
    find(*pairs(LATE))

    assert "09:14" not in shown(overgrow, "--json") + shown(overgrow)


def test_show_as_json_adds_rules_and_redacted_examples(overgrow, find):
    find(*pairs(LATE))
    told = overgrow.json("diff", "show", top(overgrow)[0]["group"])[1]

    assert [{"path": "$.placed_at", "how": "timestamp_within 2s"}] == told["rules"]
    assert ["at", "asked", "control", "candidate", "differences"] == list(told["examples"][0])


def test_what_is_grave_is_to_be_mended_rather_than_accepted(overgrow, find):
    find(*pairs(TEXT))

    assert "fix them rather than accept them" in shown(overgrow)


def test_an_unknown_group_is_told_with_the_nearest(overgrow, find):
    find(*pairs(LATE))
    key = top(overgrow)[0]["group"][:8]
    wrong = f"{key[:7]}{'0' if key[7] != '0' else '1'}"

    told = overgrow.fails("diff", "show", wrong)

    assert f"Did you mean {key}? [unknown-mismatch]" in told


@pytest.mark.parametrize("text", ["", "a", "%", "xyz", "0" * 17])
def test_text_that_is_no_id_matches_nothing(overgrow, find, text):
    find(*pairs(LATE))

    assert "[unknown-mismatch]" in overgrow.fails("diff", "show", text)


def test_a_group_seen_in_both_directions_is_shown_once_for_each(overgrow, find):
    find(*pairs(LATE), *pairs(LATE, side="migrated"))

    assert 2 == shown(overgrow).count("users     were served by")


def test_what_a_rule_covers_in_an_open_group_is_marked(overgrow, find):
    find(*pairs({**LATE, "total": "1"}))
    accept(overgrow, "--path", "$.placed_at")

    text = shown(overgrow)

    assert "a rule covers it" in next(
        line for line in text.splitlines() if "  $.placed_at " in line
    )
    assert "a rule covers it" not in next(
        line for line in text.splitlines() if "  $.total " in line
    )


def test_a_group_that_rules_cover_says_where_they_stand(overgrow, find):
    find(*pairs(LATE))
    accept(overgrow)

    assert "It is accepted: rules in compare/orders.yaml cover it." in shown(overgrow)


def test_of_a_pair_that_differs_everywhere_the_first_differences_are_shown(overgrow, find):
    names = [f"member_{letter}" for letter in "abcdefghijkl"]
    sides = dict.fromkeys(names, 1), dict.fromkeys(names, 2)
    find(compared("orders", *map(answer, sides)))

    assert "and 4 more (--json)" in shown(overgrow)


def test_a_pair_too_large_to_store_is_left_out_of_the_examples(overgrow, find):
    names = [f"{'member_' * 40}{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]
    find(compared("orders", answer(dict.fromkeys(names, 1)), answer(dict.fromkeys(names, 2))))

    assert "orders, high, 1 time" in shown(overgrow)


def sharing_four_digits():
    """Two comparisons whose groups' ids begin alike."""
    seen = {}
    for letters in product("abcdefgh", repeat=4):
        name = f"member_{'_'.join(letters)}"
        found = compared("orders", answer({}), answer({name: 1}))
        before = seen.setdefault(found.group.key[:4], found)
        if before is not found:
            return before, found
    raise AssertionError("4096 ids, no two of which begin alike")


def test_the_beginning_of_two_ids_is_refused_with_both(overgrow, find):
    both = sharing_four_digits()
    find(*both)

    told = overgrow.fails("diff", "show", both[0].group.key[:4])

    assert all(each.group.key in told for each in both)
    assert "Write more characters of the id. [unknown-mismatch]" in told


# --- accept ---------------------------------------------------------------------------------------


def accept(overgrow, *words, at=0, reason="fine"):
    key = top(overgrow, "--all")[at]["group"]
    return overgrow("diff", "accept", key[:8], "--reason", reason, *words)


@pytest.mark.parametrize(
    ("candidate", "path", "how"),
    [
        pytest.param(LATE, "$.placed_at", {"timestamp_within": "2s"}, id="near times"),
        pytest.param(MORE, "$.total", {"tolerance": 5.0}, id="near numbers"),
        pytest.param(TURNED, "$.tags", "unordered", id="another order"),
        pytest.param(TEXT, "$.total", "ignore", id="another type, however near"),
        pytest.param({**ORDER, "new": 1}, "$.new", "ignore", id="something added"),
    ],
)
def test_the_narrowest_rule_is_written_and_closes_the_group(overgrow, find, candidate, path, how):
    find(*pairs(candidate))

    done = accept(overgrow)

    assert (0, [(path, how)]) == (
        done.exit_code,
        [(rule["path"], rule["how"]) for rule in rules_in(overgrow)],
    )
    assert [] == top(overgrow)


def test_a_rule_carries_author_reason_and_expiry(overgrow, find):
    find(*pairs(LATE))
    key = top(overgrow)[0]["group"]

    words = ("diff", "accept", key, "--reason", "two clocks: both #1", "--days", "7")
    code, told = overgrow.json(*words, LOGNAME="ada")

    (rule,) = rules_in(overgrow)
    assert (0, "ada", "two clocks: both #1") == (code, rule["author"], rule["reason"])
    week = time.time() + 7 * 86_400
    assert rule["expires"].isoformat() == time.strftime("%Y-%m-%d", time.gmtime(week))
    names = ["group", "route", "file", "rules", "covered", "open_groups", "hides", "restarted"]
    assert names == list(told)
    assert (key, True, 0) == (told["group"], told["covered"], told["open_groups"])


def test_what_stands_in_the_file_stays_comments_included(overgrow, find):
    find(*pairs(LATE))
    file = overgrow.folder / "compare/orders.yaml"
    file.parent.mkdir()
    before = (
        "# mind the gap\nversion: 1\nrules:\n  - path: $.total  # cents\n    how: ignore\n"
        "    author: bob\n    reason: x\n    expires: 2030-01-01\n"
    )
    file.write_text(before)
    file.chmod(0o640)

    accept(overgrow)

    assert (True, 0o640) == (file.read_text().startswith(before), file.stat().st_mode & 0o777)
    assert ["$.total", "$.placed_at"] == [rule["path"] for rule in rules_in(overgrow)]


def test_a_rules_file_that_is_a_symlink_stays_one(overgrow, find):
    find(*pairs(LATE))
    real = overgrow.folder / "shared.yaml"
    real.write_text("version: 1\nrules: []\n")
    (overgrow.folder / "compare").mkdir()
    (overgrow.folder / "compare/orders.yaml").symlink_to(real)

    accept(overgrow)

    assert (overgrow.folder / "compare/orders.yaml").is_symlink()
    assert "$.placed_at" in real.read_text()


def test_routes_may_share_a_file_by_name(overgrow, find):
    find(*pairs(LATE))
    text = overgrow.table.read_text()
    shadow = "    target: legacy\n    shadow: {percent: 5%, compare: common}\n"
    overgrow.table.write_text(text.replace("    target: legacy\n", shadow, 1))

    accept(overgrow)

    assert ["$.placed_at"] == [rule["path"] for rule in rules_in(overgrow, "common")]


ROWS = {"rows": [{"v": 1}, {"v": 2}]}


def row(at):
    return {"rows": [{"v": "x"} if n == at else each for n, each in enumerate(ROWS["rows"])]}


@pytest.mark.parametrize(
    ("places", "path"),
    [
        pytest.param([1, 1], "$.rows[1].v", id="one place"),
        pytest.param([0, 1], "$.rows[*].v", id="several places"),
    ],
)
def test_a_rule_is_for_the_one_place_at_which_all_pairs_differ(overgrow, find, places, path):
    find(*(compared("orders", answer(ROWS), answer(row(at))) for at in places))

    accept(overgrow)

    assert [path] == [rule["path"] for rule in rules_in(overgrow)]
    assert [] == top(overgrow)


def test_a_path_that_a_person_writes_is_the_rules(overgrow, find):
    find(compared("orders", answer(ROWS), answer(row(1))))

    accept(overgrow, "--path", "$.rows[*].v")

    assert ["$.rows[*].v"] == [rule["path"] for rule in rules_in(overgrow)]


def test_path_accepts_one_difference_and_leaves_the_group_open(overgrow, find):
    find(*pairs({**LATE, "total": "1"}))

    done = accept(overgrow, "--path", "$.placed_at")

    assert "is still open: no rule covers $.total." in done.stdout
    assert "1 group of orders open." in done.stdout
    assert ["$.placed_at"] == [rule["path"] for rule in rules_in(overgrow)]


def test_the_one_place_of_a_difference_may_be_named_too(overgrow, find):
    find(compared("orders", answer(ROWS), answer(row(1))))

    accept(overgrow, "--path", "$.rows[1].v")

    assert ["$.rows[1].v"] == [rule["path"] for rule in rules_in(overgrow)]


def test_a_group_that_stays_open_is_not_covered_in_json(overgrow, find):
    find(*pairs({**LATE, "total": "1"}))
    key = top(overgrow)[0]["group"]

    words = ("diff", "accept", key, "--path", "$.placed_at", "--reason", "x")
    told = overgrow.json(*words)[1]

    assert (False, 1, False) == (told["covered"], told["open_groups"], told["restarted"])


@pytest.mark.parametrize(("words", "left"), [([], 1), (["--restart"], 0), (["--no-restart"], 1)])
def test_accepting_a_group_deletes_evidence_only_when_asked(overgrow, find, words, left):
    find(*pairs(LATE))

    accept(overgrow, *words)

    assert left == len(top(overgrow, "--all"))


def test_a_group_is_accepted_for_every_route(overgrow, find):
    find(*pairs(LATE), *pairs(LATE, route="cart"))
    key = next(each["group"] for each in top(overgrow) if each["route"] == "orders")

    told = overgrow.json("diff", "accept", key, "--everywhere", "--reason", "x")[1]

    assert ["_all.yaml"] == [each.name for each in (overgrow.folder / "compare").iterdir()]
    assert ["cart"] == [each["route"] for each in told["hides"]]


def test_how_overrules_what_would_be_narrowest(overgrow, find):
    find(*pairs(LATE))

    accept(overgrow, "--how", "timestamp_within 5m")

    assert {"timestamp_within": "5m"} == rules_in(overgrow)[0]["how"]


def test_a_rule_too_narrow_for_what_was_found_leaves_it_open_and_says_so(overgrow, find):
    find(*pairs(MORE))

    done = accept(overgrow, "--how", "tolerance 0.5")

    assert (0, True) == (done.exit_code, "Pairs found before stay open" in done.stdout)
    assert 1 == len(top(overgrow))


@pytest.mark.parametrize("how", ["", "ignor", "tolerance", "tolerance -1", "timestamp_within 5"])
def test_a_way_to_compare_that_is_none_is_bad_usage(overgrow, find, how):
    find(*pairs(LATE))

    told = overgrow.misused("diff", "accept", "abcd", "--reason", "x", "--how", how)

    assert "Write ignore, unordered" in told


@pytest.mark.parametrize("words", [[], ["--reason", " "], ["--reason", "x", "--days", "0"]])
def test_a_rule_without_reason_or_days_is_bad_usage(overgrow, words):
    overgrow.misused("diff", "accept", "abcd", *words)


def test_a_group_that_rules_cover_is_not_accepted_twice(overgrow, find):
    find(*pairs(LATE))
    accept(overgrow)

    done = accept(overgrow)

    assert (1, True) == (done.exit_code, "already accepted" in done.stderr)
    assert 1 == len(rules_in(overgrow))


def test_a_path_that_does_not_differ_is_refused_with_those_that_do(overgrow, find):
    find(*pairs(LATE))

    done = accept(overgrow, "--path", "$.total")

    assert (1, True) == (done.exit_code, "Open paths: $.placed_at. [no-rule]" in done.stderr)


def test_a_path_that_has_a_narrower_rule_is_refused_with_its_line(overgrow, find):
    find(*pairs(MORE))
    accept(overgrow, "--how", "tolerance 0.5")

    done = accept(overgrow)

    assert (1, True) == (done.exit_code, "[rule-exists]" in done.stderr)
    assert "compare/orders.yaml:3 already has a rule for $.total: tolerance 0.5" in done.stderr


def test_a_file_with_problems_is_left_alone_and_its_problems_told(overgrow, find):
    find(*pairs(LATE))
    file = overgrow.folder / "compare/orders.yaml"
    file.parent.mkdir()
    file.write_text("version: 1\nrules:\n  - path: $.a\n")
    key = top(overgrow)[0]["group"]

    code, told = overgrow.json("diff", "accept", key, "--reason", "x")

    assert (1, "rules-unusable") == (code, told["error"]["code"])
    assert {"orders"} == {problem["route"] for problem in told["error"]["problems"]}
    assert "version: 1\nrules:\n  - path: $.a\n" == file.read_text()


def test_rules_in_a_file_with_problems_hide_nothing_and_that_is_noted(overgrow, find):
    find(*pairs(LATE))
    accept(overgrow)
    file = overgrow.folder / "compare/orders.yaml"
    file.write_text(f"{file.read_text()}  - path: $.a\n")

    done = overgrow("diff", "top")

    assert "$.placed_at" in done.stdout
    assert "no rule in compare/orders.yaml applies" in done.stderr


def test_a_rule_that_expired_opens_its_group_again_and_that_is_noted(overgrow, find):
    find(*pairs(LATE))
    accept(overgrow)
    file = overgrow.folder / "compare/orders.yaml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-1], "    expires: 2020-01-01", ""]))

    done = overgrow("diff", "top")

    assert "$.placed_at" in done.stdout
    assert "the rule for $.placed_at expired on 2020-01-01" in done.stderr


def test_a_rule_that_is_removed_opens_what_it_covered_at_capture(overgrow, find):
    find(*pairs(LATE))
    accept(overgrow)
    file = overgrow.folder / "compare/orders.yaml"
    find(compared("orders", answer(ORDER), answer(TEXT), rules=Rules.none))
    file.unlink()

    assert 2 == len(top(overgrow))


def test_a_difference_at_a_hidden_step_gets_no_rule(overgrow, find):
    stored = {"by_user": {"u81f3ac90b2": 1}}, {"by_user": {"u81f3ac90b2": "x"}}
    find(compared("orders", *map(answer, stored)))

    done = accept(overgrow)

    assert (1, True) == (done.exit_code, "part of its path is hidden" in done.stderr)
    assert "No rule can be written for it" in shown(overgrow)


def test_a_folder_that_cannot_be_made_is_told(overgrow, find):
    find(*pairs(LATE))
    key = top(overgrow)[0]["group"]
    (overgrow.folder / "compare").write_text("a file")

    assert "[rules-unusable]" in overgrow.fails("diff", "accept", key, "--reason", "x")


# --- proposals ------------------------------------------------------------------------------------


def twice(count):
    """Pairs of answers of one side in which a token differs."""
    for number in range(count):
        tokens = [f"{number * 2 + at:032x}" for at in (1, 2)]
        yield tuple(answer({**ORDER, "token": token}) for token in tokens)


def test_noise_that_was_learned_is_proposed_and_accepted_by_its_id(overgrow, find):
    find(learned("orders", *twice(40)))
    (told,) = overgrow.json("diff", "proposals")[1]

    done = overgrow("diff", "accept", told["proposal"], "--reason", "a token")

    assert ("orders", "$.token", "same_shape", 40, 40, 40) == (
        told["route"],
        told["path"],
        told["how"],
        told["seen"],
        told["different"],
        told["explained"],
    )
    assert (0, ["$.token"]) == (done.exit_code, [rule["path"] for rule in rules_in(overgrow)])
    assert [] == overgrow.json("diff", "proposals")[1]


def test_proposals_of_all_workers_and_hours_are_one(overgrow, find):
    pairs_of_two = list(twice(40))
    find(learned("orders", *pairs_of_two[:20]))
    find(learned("orders", *pairs_of_two[20:]))

    assert [40] == [each["seen"] for each in overgrow.json("diff", "proposals")[1]]


def test_older_pairs_are_judged_anew_by_an_accepted_proposal(overgrow, find):
    pairs_of_two = list(twice(40))
    find(learned("orders", *pairs_of_two), compared("orders", *pairs_of_two[0]))
    (told,) = overgrow.json("diff", "proposals")[1]

    done = overgrow("diff", "accept", told["proposal"], "--reason", "a token")

    assert "No groups of orders open." in done.stdout


def test_too_few_pairs_propose_nothing(overgrow, find):
    find(learned("orders", *twice(5)))

    assert overgrow("diff", "proposals").stdout.startswith("No noise was found")


def test_proposals_of_one_route_leave_the_others_out(overgrow, find):
    find(learned("orders", *twice(40)))

    assert [] == overgrow.json("diff", "proposals", "--route", "cart")[1]
    text = overgrow("diff", "proposals", "--route", "orders").stdout
    assert "same_shape (value): differs in 40 of 40 pairs, explains 40" in text


def test_a_proposal_may_be_accepted_in_another_way(overgrow, find):
    find(learned("orders", *twice(40)))
    (told,) = overgrow.json("diff", "proposals")[1]

    overgrow("diff", "accept", told["proposal"], "--reason", "x", "--how", "ignore")

    assert ["ignore"] == [rule["how"] for rule in rules_in(overgrow)]


def test_an_unknown_proposal_is_told(overgrow, find):
    find(learned("orders", *twice(40)))

    told = overgrow.fails("diff", "accept", "p0000000", "--reason", "x")

    assert "overgrow diff proposals lists them. [unknown-mismatch]" in told
