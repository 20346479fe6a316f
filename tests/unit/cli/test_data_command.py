"""`overgrow data check` and `status`: the file as people and programs see it."""

from __future__ import annotations

DATA = """\
version: 1
database: sqlite:///shop.sqlite3
tables:
  users: {owner: legacy}
  basket: {owner: shared}
"""


def test_a_missing_file_is_named_with_its_fix(overgrow):
    assert "data.yaml does not exist. Write version: 1" in overgrow.fails("data", "check")


def test_every_problem_is_printed_with_its_place(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA.replace("shared", "sharde"))

    assert "data.yaml:5:19: tables.basket.owner is sharde. Did you mean shared?" in overgrow.fails(
        "data", "check"
    )


def test_problems_as_json(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA.replace("shared", "sharde"))

    code, printed = overgrow.json("data", "check")

    assert (1, False, "owner-syntax") == (code, printed["ok"], printed["problems"][0]["code"])


def test_status_shows_owner_and_stage(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA)

    code, printed = overgrow.json("data", "status")

    assert (0, ["legacy", "shared"]) == (code, [table["owner"] for table in printed])
