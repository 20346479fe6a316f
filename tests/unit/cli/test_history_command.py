import pytest


@pytest.fixture
def moved(overgrow):
    """A flip with a reason, another of another route, and a rollback of it."""
    overgrow("flip", "orders", "migrated", "--reason", "compared for a day")
    overgrow("flip", "order-detail", "legacy")
    overgrow("rollback")
    return overgrow


def journal_of(overgrow):
    return overgrow.folder / ".overgrow/flips.jsonl"


def test_the_latest_change_comes_first_with_who_and_why(moved):
    code, told = moved.json("history")

    assert 0 == code
    assert [
        ("rollback", "order-detail", "legacy", "migrated"),
        ("flip", "order-detail", "migrated", "legacy"),
        ("flip", "orders", "legacy", "migrated"),
    ] == [(each["action"], each["route"], each["from"], each["to"]) for each in told["entries"]]
    assert "compared for a day" == told["entries"][-1]["why"]
    assert all(each["who"] and each["at"] for each in told["entries"])
    assert [] == told["broken"]


def test_a_flip_that_was_undone_says_when(moved):
    _, told = moved.json("history")

    assert [None, told["entries"][0]["at"], None] == [each["undone"] for each in told["entries"]]


def test_people_read_a_line_per_change_and_the_reason_below_it(moved):
    lines = moved("history", "orders").stdout.splitlines()

    assert lines[0].endswith("flip orders: legacy -> migrated")
    assert "  why: compared for a day" == lines[1]
    assert 2 == len(lines)


def test_a_route_and_a_number_narrow_it(moved):
    _, told = moved.json("history", "order-detail", "--last", "1")

    assert [("rollback", "order-detail")] == [
        (each["action"], each["route"]) for each in told["entries"]
    ]


def test_kills_and_resumes_are_part_of_it(overgrow):
    overgrow("rollback", "--all")
    overgrow("resume")

    assert ["resume", "kill"] == [
        line.rpartition(" ")[2] for line in overgrow("history").stdout.splitlines()
    ]


def test_no_history_is_said_and_makes_no_folder(overgrow):
    done = overgrow("history")

    assert (0, f"Nothing is recorded in {overgrow.folder / '.overgrow'}.\n") == (
        done.exit_code,
        done.stdout,
    )
    assert not (overgrow.folder / ".overgrow").exists()


def test_it_needs_neither_a_sound_table_nor_the_app(moved):
    moved.table.write_text("version: [")
    moved.app.unlink()

    assert 3 == len(moved.json("history")[1]["entries"])


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "machines"])
def test_a_line_that_was_changed_is_a_problem(moved, as_json):
    journal_of(moved).write_text(journal_of(moved).read_text().replace("orders", "Orders", 1))
    done = moved("history", *(["--json"] if as_json else []))

    assert 1 == done.exit_code
    assert "line 2 does not follow line 1: one was changed" in done.stderr
    assert "[history-broken]" in done.stderr
    assert "order-detail" in done.stdout


def test_a_line_that_a_kill_cut_short_is_a_note(moved):
    with journal_of(moved).open("a") as journal:
        journal.write('{"prev": "12')
    done = moved("history")

    assert 0 == done.exit_code
    assert "line 4 is incomplete" in done.stderr
    assert done.stderr.startswith("note: ")


def test_a_number_below_one_is_misuse(overgrow):
    assert "--last" in overgrow.misused("history", "--last", "0")


def test_what_a_record_says_cannot_command_the_terminal(overgrow):
    overgrow("flip", "orders", "migrated", "--reason", "\x1b]0;owned\x07fine \u202eold")

    told = overgrow("history").stdout
    assert "why: \\x1b]0;owned\\x07fine \\u202eold" in told


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\xff\xfe\x00\x01", id="bytes"),
        pytest.param(b"\x00" * 40, id="zeros, as a power cut leaves them"),
        pytest.param(b"no line of ours", id="text"),
        pytest.param(b"[" * 9999, id="nested too deep"),
    ],
)
def test_a_line_that_something_else_wrote_is_exit_1_and_named(moved, line):
    with journal_of(moved).open("ab") as journal:
        journal.write(line + b"\n")
    done = moved("history")

    assert 1 == done.exit_code
    assert "line 4 is not a line of this history: something else wrote it" in done.stderr


def test_a_line_end_in_a_reason_or_a_name_forges_no_entry(overgrow, monkeypatch):
    forged = "x\n2026-01-01T00:00:00.000Z  root  kill\r\x1b[2K\u2028"
    monkeypatch.setenv("LOGNAME", forged)
    overgrow("flip", "orders", "migrated", "--reason", f"{forged}y")
    lines = overgrow("history").stdout.splitlines()

    assert [False, True] == [line.startswith("  why: x\\n2026") for line in lines]
    assert "\x1b" not in "".join(lines)


def test_a_line_end_in_a_reason_is_kept_for_programs(overgrow):
    overgrow("flip", "orders", "migrated", "--reason", "one\ntwo")

    assert "one\ntwo" == overgrow.json("history")[1]["entries"][0]["why"]


def test_a_kill_that_is_recorded_is_told_once_while_its_file_stands_there(overgrow):
    overgrow("rollback", "--all")
    done = overgrow("history")

    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["kill"]
    assert done.stderr == ""


@pytest.mark.parametrize(("more", "count"), [((), 20), (("--last", "22"), 22)])
def test_the_last_twenty_changes_are_told_unless_more_are_asked_for(overgrow, more, count):
    for _ in range(12):
        overgrow("rollback", "--all")
        overgrow("resume")

    assert len(overgrow.json("history", *more)[1]["entries"]) == count
