"""The recommended way ends without a warning, and a broken file is told in one true line."""

from __future__ import annotations

import pytest


def test_canary_then_migrated_leaves_no_note(overgrow):
    for to in ("5%", "100%", "migrated"):
        assert 0 == overgrow("flip", "orders", to).exit_code

    assert "canary" not in overgrow("check").stderr


def test_a_rollback_to_migrated_leaves_no_note(overgrow):
    for to in ("5%", "migrated", "legacy"):
        overgrow("flip", "orders", to)
    overgrow("rollback")

    assert "canary" not in overgrow("check").stderr


def test_a_canary_that_somebody_wrote_beside_migrated_is_noted(overgrow):
    text = overgrow.table.read_text()
    overgrow.table.write_text(text.replace("target: migrated", "target: migrated\n    canary: 5%"))

    assert "[canary-dormant]" in overgrow("check").stderr


def test_a_history_that_cannot_be_read_costs_no_note(overgrow):
    for to in ("5%", "migrated"):
        overgrow("flip", "orders", to)
    journal = overgrow.folder / ".overgrow" / "flips.jsonl"
    journal.unlink()
    journal.mkdir()

    done = overgrow("check")

    assert (0, True) == (done.exit_code, "[canary-dormant]" in done.stderr)


def test_a_canary_of_all_clients_reads_as_migrated(overgrow):
    overgrow("flip", "orders", "100%")
    line = next(one for one in overgrow("routes").stdout.splitlines() if one.startswith("orders "))

    assert "migrated (canary 100%)" in line


@pytest.mark.parametrize("command", ["check", "routes"])
def test_a_broken_file_is_told_in_one_line(overgrow, command):
    overgrow.table.write_text("version: 1\napp: nothing_like_that:create_app\n  legacy: {\n")
    overgrow.app.unlink()

    lines = overgrow.fails(command).splitlines()

    assert 1 == len(lines), lines
    assert lines[0].startswith("routes.yaml:3:")
