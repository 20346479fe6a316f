from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.table.editing.rewrite import (
    apply_changes,
    changes_for,
    is_same_state,
    lines_to_change,
    parse_goal,
    require_safe_edit,
    share_of,
    state_of,
)
from overgrow.table.reading.parse import parse_drafts
from overgrow.table.reading.problems import EditRefused

HEAD = "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n"


def rewritten(text: str, to: str, *, name: str = "x", env=None) -> str:
    draft = next(one for one in parse_drafts(text, env or {}) if one.name == name)
    after = apply_changes(text, draft, changes_for(draft, parse_goal(to)))
    return require_safe_edit(
        parse_drafts(text, env or {}), after, [name], str(parse_goal(to)), env or {}
    )


@pytest.mark.parametrize(
    ("entry", "to", "expected"),
    [
        pytest.param("- {path: /x, target: legacy}", "migrated", "- {path: /x, target: migrated}", id="flow"),
        pytest.param("- {target: legacy, path: /x}", "5%", "- {target: legacy, canary: 5%, path: /x}", id="flow, first"),
        pytest.param('- {"path": "/x", "target": "legacy"}', "5%", '- {"path": "/x", "target": "legacy", "canary": "5%"}', id="JSON"),
        pytest.param("- path: /x\n  target: legacy", "5%", "- path: /x\n  target: legacy\n  canary: 5%", id="no line end"),
        pytest.param("- target: legacy\n  path: /x\n", "5%", "- target: legacy\n  canary: 5%\n  path: /x\n", id="target beside the dash"),
        pytest.param("-   path: /x\n    target:   legacy\r\n", "5%", "-   path: /x\n    target:   legacy\r\n    canary: 5%\r\n", id="indent and CRLF of the line"),
        pytest.param("- path: /x\n  target:\n    legacy # é\n", "5%", "- path: /x\n  target:\n    legacy # é\n  canary: 5%\n", id="value on the next line"),
        pytest.param("- path: /x # é\n  target: 'legacy'\n", "gone", "- path: /x # é\n  target: 'gone'\n", id="single quotes after other letters"),
        pytest.param("- path: /x\n  canary: 5%\n  target: gone\n", "7%", "- path: /x\n  canary: 7%\n  target: legacy\n", id="canary before target"),
        pytest.param("- path: /x\n  target: ${T:-legacy}\n", "5%", "- path: /x\n  target: ${T:-legacy}\n  canary: 5%\n", id="a variable that says so already"),
        pytest.param("- {path: /y, target: &t legacy}\n- path: /x\n  target: *t # é\n", "5%", "- {path: /y, target: &t legacy}\n- path: /x\n  target: *t # é\n  canary: 5%\n", id="an alias that says so already"),
        pytest.param("- {path: /y, target: &t legacy}\n- {path: /x, target: *t}", "5%", "- {path: /y, target: &t legacy}\n- {path: /x, target: *t, canary: 5%}", id="an alias in braces"),
        pytest.param("- path: /x\n  target: &t legacy\n- {path: /y, target: *t}", "5%", "- path: /x\n  target: &t legacy\n  canary: 5%\n- {path: /y, target: *t}", id="an anchor that says so already"),
    ],
)  # fmt: skip
def test_only_the_scalars_meant_change(entry, to, expected):
    assert HEAD + expected == rewritten(HEAD + entry, to)


@pytest.mark.parametrize(
    ("entry", "to", "code"),
    [
        pytest.param("- {path: /x, target: '${T:-legacy}'}", "gone", "variable-value", id="variable"),
        pytest.param("- {path: /x, target: &t legacy}\n- {path: /y, target: *t}", "gone", "anchored-value", id="anchor"),
        pytest.param("- {path: /y, target: &t legacy}\n- {path: /x, target: *t}", "gone", "anchored-value", id="alias"),
        pytest.param("- &r {path: /x, target: legacy}", "5%", "anchored-value", id="a whole route with an anchor"),
        pytest.param("- {path: /x, target: legacy, canary: '${C:-5%}'}", "legacy", "variable-value", id="canary"),
        pytest.param("- path: /x\n  target: >-\n    legacy\n", "gone", "shape-unknown", id="block scalar"),
        pytest.param('- {path: /x, target: "leg\\x61cy"}', "gone", "shape-unknown", id="escape"),
        pytest.param("- {path: /x}", "5%", "shape-unknown", id="no target"),
        pytest.param("- path: /x\n  ? target\n  : legacy\n", "5%", "shape-unknown", id="explicit key"),
        pytest.param("- {path: /x, target: [legacy]}", "gone", "shape-unknown", id="a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_safely_is_refused(entry, to, code):
    with pytest.raises(EditRefused) as caught:
        rewritten(HEAD + entry, to)

    assert caught.value.code == code


def test_a_refusal_names_the_line():
    with pytest.raises(EditRefused, match=r"routes\.yaml:5:11: target comes from the environment"):
        rewritten(HEAD + "- path: /x\n  target: ${T:-legacy}\n", "gone")


def test_an_edit_that_breaks_the_yaml_is_refused():
    with pytest.raises(EditRefused, match=r"entry of x \(line 4\) .* cannot be edited safely"):
        require_safe_edit(
            parse_drafts(f"{HEAD}- {{path: /x, target: legacy}}", {}),
            "routes: [",
            ["x"],
            "gone",
            {},
        )


STATES = st.sampled_from(["legacy", "migrated", "gone", "0%", "0.01%", "12.5%", "100%"])
ENTRY = "# é\n- path: /x # c\n  target: legacy\t# d\n  methods: [GET]\n- {path: /y, target: gone}"


@given(st.lists(STATES, max_size=6))
def test_after_any_flips_the_route_says_the_last_and_the_rest_is_untouched(states):
    text = HEAD + ENTRY
    for to in states:
        text = rewritten(text, to, name="get-x")
    first, second = parse_drafts(text, {})

    assert is_same_state(state_of(first), states[-1] if states else "legacy")
    assert state_of(second) == "gone"
    kept = [line for line in text.splitlines() if "target: " not in line and "canary" not in line]
    assert kept == [line for line in (HEAD + ENTRY).splitlines() if "target: " not in line]


@pytest.mark.parametrize(
    ("state", "share"), [("legacy", 0), ("gone", 0), ("0.25%", 25), ("migrated", 10_000)]
)
def test_a_state_sends_a_share_to_migrated(state, share):
    assert share == share_of(state)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a\nb\nc", "a\nx\nc", 'line 2 becomes "x"'),
        ("a\nb\nc", "a\nb\nx\nc", 'after line 2 comes "x"'),
        ("a\nb", "a\nb\nx", 'after line 2 comes "x"'),
        ("a\nb\nc", "a\nx\ny\nc", 'line 2 becomes "x", "y"'),
        ("a\nb\nc\nd", "a\nx\ny\nd", 'lines 2-3 become "x", "y"'),
        ("a\nb\nc", "a\nc", "line 2 goes"),
    ],
)
def test_the_lines_to_change_by_hand_are_said(before, after, said):
    assert said == lines_to_change(before, after)
