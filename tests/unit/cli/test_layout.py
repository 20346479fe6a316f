from overgrow.cli.columns import columns

ROWS = [("NAME", "N"), ("a", "10"), ("a-long-name", "2")]


def test_columns_are_as_wide_as_their_widest_cell():
    assert "NAME         N\na            10\na-long-name  2" == columns(ROWS)


def test_a_column_can_stand_flush_right():
    assert "NAME          N\na            10\na-long-name   2" == columns(ROWS, frozenset({1}))


def test_a_first_cell_that_does_not_fit_stands_above_its_row():
    assert "NAME     N\na        10\na-long-name\n         2" == columns(ROWS, width=11)


def test_what_fits_is_left_alone():
    assert columns(ROWS) == columns(ROWS, width=15)


def test_without_room_for_names_every_name_stands_above():
    assert "NAME\n  N\na\n  10\na-long-name\n  2" == columns(ROWS, width=4)


def test_long_cells_are_folded_where_names_above_leave_too_little_room():
    rows = [("NAME", "PATH", "N"), ("orders", "/orders/with/a/long/path", "10"), ("a", "/b", "2")]

    assert [
        "NAME",
        "  PATH          N",
        "orders",
        "  /orders/with  10",
        "  /a/long/path",
        "a",
        "  /b            2",
    ] == columns(rows, width=18).splitlines()


def test_cells_are_folded_between_words_and_stay_wide_enough_to_read():
    lines = columns([("A", "on shop.test, if x", "abcdefghijklmnopqrstuvwxyz")], width=10)

    assert [
        "A",
        "  on            abcdefghijkl",
        "  shop.test,    mnopqrstuvwx",
        "  if x          yz",
    ] == lines.splitlines()


def test_numbers_are_never_folded():
    assert "  1234567890123" in columns([("ab", "1234567890123")], frozenset({1}), width=10)
