from overgrow.resilience.reset_files import ResetWatcher


def test_reset_is_seen_by_workers(overgrow):
    resets = ResetWatcher(overgrow.folder / ".overgrow")

    code, told = overgrow.json("breaker", "reset", "orders")

    assert (0, "orders") == (code, told["route"])
    assert ["orders"] == resets.new_requests()


def test_reset_tells_when_it_takes_effect(overgrow):
    assert "within a second or two" in overgrow("breaker", "reset", "orders").stdout


def test_a_route_that_is_none_is_told_with_the_nearest(overgrow):
    told = overgrow.fails("breaker", "reset", "order")

    assert "Did you mean orders or order-detail? [unknown-route]" in told
    assert not (overgrow.folder / ".overgrow/breakers").exists()


def test_reset_works_while_the_table_has_problems(overgrow):
    overgrow.table.write_text(overgrow.table.read_text().replace("migrated", "nowhere"))

    assert 0 == overgrow("breaker", "reset", "orders").exit_code


def test_a_table_that_cannot_be_read_is_told_with_its_problem(overgrow):
    overgrow.table.write_text("version: [")

    assert "[yaml-syntax]" in overgrow.fails("breaker", "reset", "orders")


def test_a_state_folder_that_cannot_be_written_is_told(overgrow):
    state = overgrow.folder / ".overgrow"
    state.mkdir()
    (state / "breakers").write_text("a file")

    assert "[state-unwritable]" in overgrow.fails("breaker", "reset", "orders")
