"""Every error of every command: a reason on standard error, JSON if asked for, never a traceback."""

from __future__ import annotations

import json

import pytest

from overgrow.cli.failures import FAILURES
from overgrow.table.reading.problems import REFUSALS


@pytest.mark.parametrize(
    "words",
    [
        ["flip", "orders"],
        ["flip", "orders", "legacy", "--timeout", "x"],
        ["explain", "orders"],
        ["status", "--admin", "nowhere"],
        ["override", "both"],
        ["nothing"],
        ["routes", "--what"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_json_too_where_json_is_asked_for(overgrow, words):
    plain, done = overgrow(*words), overgrow(*words, "--json")

    told = json.loads(done.stdout)["error"]
    assert (2, 2, "") == (plain.exit_code, done.exit_code, plain.stdout)
    assert ("usage", "", []) == (told["code"], told["fix"], told["problems"])
    assert f"Error: {told['message']}" in done.stderr


def test_a_setting_that_cannot_be_used_is_json_too(overgrow):
    code, told = overgrow.json("check", OVERGROW_WORKERS="x")

    assert (2, "usage") == (code, told["error"]["code"])
    assert "OVERGROW_WORKERS is 'x'" in told["error"]["message"]


@pytest.mark.parametrize(
    ("in_the_way", "words"),
    [
        ("board/board.lock", ["check"]),
        ("flips.jsonl", ["flip", "orders", "10%"]),
        ("flips.jsonl", ["rollback"]),
        ("kill/x", ["resume"]),
        ("store.sqlite3", ["shadow", "status"]),
        ("store.sqlite3", ["diff", "top"]),
        ("store.sqlite3", ["gate", "orders"]),
        ("last-good.yaml", ["explain", "/orders"]),
    ],
    ids=str,
)
def test_a_state_folder_with_wrong_contents_is_reported_without_traceback(
    overgrow, in_the_way, words
):
    (overgrow.folder / ".overgrow" / in_the_way).mkdir(parents=True)
    done = overgrow(*words, "--json")

    told = json.loads(done.stdout)
    assert done.exit_code in {0, 1}
    if "error" in told:
        assert told["error"]["code"] in {**FAILURES, **REFUSALS}
        assert told["error"]["message"] in done.stderr


def test_what_the_system_refuses_unforeseen_is_told_with_the_file(overgrow, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied", "/some/where")

    monkeypatch.setattr("overgrow.cli.table.load_valid_table", refused)
    code, told = overgrow.json("routes")

    assert (1, "file-unusable") == (code, told["error"]["code"])
    assert "/some/where: Permission denied." == told["error"]["message"]
