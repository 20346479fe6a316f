from proxy.cli.layout import columns

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
