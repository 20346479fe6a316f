"""The copying of old rows: bounds, checkpoints, throttles, a database that goes away, and edits in the middle."""

from __future__ import annotations

import http.server
import threading

import pytest

from overgrow.data import throttle
from overgrow.data.backfill import Backfill, FillPace, FillSurroundings, process_identity
from overgrow.data.database import DatabaseAway, DataError
from overgrow.data.ledger import read_state, write_state
from overgrow.data.throttle import ThrottleGate, Throttles
from overgrow.data.verify import verify
from tests.unit.data.shops import DATA, NEW, OLD, Shop, declare
from tests.unit.data.test_staging import step


def stocked(shop, count=1_000):
    values = ", ".join(f"({n}, 'r', 'c', NULL, {n})" for n in range(1, count + 1))
    shop.write(
        f"INSERT INTO order_rows (id, reference, customer, placed_at, total_cents) VALUES {values}"
    )
    step(shop, "dual_write")
    return shop


def state_of(shop):
    with shop.database.read() as connection:
        return read_state(connection, "orders")


class Watch:
    """Is told how far the copying is, and ends it after some reports."""

    def __init__(self, ends_after=None):
        self.reports, self.ends_after = [], ends_after

    def around(self):
        return FillSurroundings(self.reports.append, self.is_over, lambda _: None)

    def is_over(self):
        return self.ends_after is not None and len(self.reports) >= self.ends_after


def copy(shop, watch=None, **pace):
    return Backfill(
        shop.database, shop.mapping(), FillPace(**pace), (watch or Watch()).around()
    ).run()


def test_rows_are_copied_in_batches(shop):
    watch = Watch()
    state = copy(stocked(shop), watch, most_rows=100)

    assert ("done", 1_000, 1_000) == (state.fill_state, state.fill_rows, state.fill_total)
    assert len(watch.reports) > 9
    assert verify(shop.database, shop.mapping()).is_equal


def test_a_stopped_copy_goes_on_with_the_next_row(shop):
    stocked(shop)
    first = copy(shop, Watch(ends_after=3), most_rows=100)
    copied = [row[0] for row in shop.rows("SELECT id FROM orders WHERE id < 1000 ORDER BY id")]
    shop.write("UPDATE order_rows SET customer = 'later' WHERE id = 2")
    second = copy(shop)

    assert (first.fill_state, second.fill_state) == ("stopped", "done")
    assert copied == list(range(1, first.fill_rows + 1))
    assert (1_000, first.fill_started) == (second.fill_rows, second.fill_started)


def test_the_last_key_is_fixed_at_the_start(shop):
    stocked(shop)
    copy(shop, Watch(ends_after=1), most_rows=10)
    shop.write(
        "INSERT INTO order_rows (id, reference, customer, total_cents) VALUES (5000, 'r', 'c', 1)"
    )

    assert copy(shop).fill_rows == 1_000
    assert verify(shop.database, shop.mapping()).rows_new == 1_001


def test_an_empty_table_is_done_at_once(shop):
    step(shop, "dual_write")

    assert ("done", 0) == ((state := copy(shop)).fill_state, state.fill_rows)


def test_stale_rows_of_an_earlier_move_are_corrected(shop):
    shop.write(
        "INSERT INTO orders (id, reference, customer_name, total, note) VALUES (7, 'x', 'x', 99, 'own')"
    )
    stocked(shop)
    copy(shop)

    assert verify(shop.database, shop.mapping()).is_equal
    assert shop.rows("SELECT note FROM orders WHERE id = 7") == [("own",)]


def test_keys_of_two_columns_are_copied_in_order(database_url, tmp_path):
    shop = Shop(database_url, tmp_path, DATA.replace("key: [id]", "key: [reference, id]"))
    plain = "PRIMARY KEY (reference, id))"
    shop.create(
        OLD.replace("{serial}", "INTEGER NOT NULL").removesuffix(")") + f", {plain}",
        NEW.replace("{serial}", "INTEGER NOT NULL").removesuffix(")") + f", {plain}",
    )
    values = ", ".join(f"({n}, '{n % 7}', 'c', NULL, {n})" for n in range(500))
    shop.write(f"INSERT INTO order_rows VALUES {values}")
    step(shop, "dual_write")

    assert copy(shop, most_rows=37).fill_rows == 500
    assert verify(shop.database, shop.mapping(), range_rows=50).is_equal
    shop.database.close()


def test_it_is_refused_before_dual_write(shop):
    with pytest.raises(
        DataError, match="orders is at none; rows are copied at dual_write and shadow"
    ):
        copy(shop)


def test_an_edit_of_the_mapping_in_the_middle_is_refused(shop):
    stocked(shop)
    copy(shop, Watch(ends_after=1), most_rows=10)
    shop.table = declare(shop.url, DATA.replace("/ 100.0", "/ 100.00")).tables["orders"]

    with pytest.raises(
        DataError, match="the mapping of orders was edited in the middle of its backfill"
    ):
        copy(shop)


def test_a_live_holder_on_another_host_is_left_alone(shop):
    stocked(shop)
    with shop.database.write() as connection:
        write_state(
            connection,
            "orders",
            fill_state="running",
            fill_holder='{"host": "other", "pid": 7}',
            fill_beat=9e12,
        )

    with pytest.raises(DataError, match="pid 7 on other copies orders already"):
        copy(shop)


def test_a_holder_that_was_killed_is_replaced(shop):
    stocked(shop)
    dead = {**process_identity(), "pid": 1, "began": "never"}
    with shop.database.write() as connection:
        write_state(
            connection,
            "orders",
            fill_state="running",
            fill_holder=str(dead).replace("'", '"'),
            fill_beat=9e12,
        )

    assert copy(shop).fill_state == "done"


def test_a_process_that_lost_its_place_stops(shop):
    stocked(shop)

    class Thief(Watch):
        def is_over(self):
            with shop.database.write() as connection:
                write_state(connection, "orders", fill_holder='{"host": "other", "pid": 7}')
            return False

    with pytest.raises(DataError, match="another process has taken over"):
        copy(shop, Thief())


def test_a_pause_holds_the_copy_until_it_is_resumed(shop):
    stocked(shop)
    told = []

    def note(progress):
        told.append(progress.waits_for)
        with shop.database.write() as connection:
            wanted = "pause" if len(told) == 1 else "run"
            write_state(connection, "orders", fill_wanted=wanted)

    around = FillSurroundings(note, lambda: False, lambda _: None)
    state = Backfill(shop.database, shop.mapping(), FillPace(most_rows=100), around).run()

    assert ("done", "it is paused") == (state.fill_state, told[1])


def test_a_database_that_went_away_is_awaited(shop):
    stocked(shop)
    calls = []

    def hold(_connection):
        calls.append(1)
        if len(calls) in (2, 3):
            raise DatabaseAway("data-away", "it went away")

    watch = Watch()
    assert copy(shop, watch, hold=hold, most_rows=300).fill_state == "done"
    assert [one.waits_for for one in watch.reports if one.waits_for] == ["it went away"] * 2


def test_a_database_that_stays_away_ends_the_copy(shop):
    stocked(shop)

    def hold(_connection):
        raise DatabaseAway("data-away", "it went away")

    with pytest.raises(DatabaseAway):
        copy(shop, hold=hold, patience_s=-1.0)


def gate(**given):
    return ThrottleGate(Throttles(**given).checks(), now=iter(range(100)).__next__)


def reason(shop, **given):
    with shop.database.read() as connection:
        return gate(**given)(connection)


def test_a_file_holds_while_it_exists(shop, tmp_path):
    flag = tmp_path / "wait"
    assert reason(shop, file=flag) is None

    flag.touch()
    assert reason(shop, file=flag) == f"{flag} exists"


def test_a_query_holds_while_it_gives_a_value(shop):
    assert reason(shop, query="SELECT 0") is None
    assert reason(shop, query="SELECT 3") == "the throttle query gave 3"
    assert reason(shop, query="SELECT nonsense").startswith("the throttle query failed: ")


def test_the_load_holds_while_it_is_high(shop, monkeypatch):
    monkeypatch.setattr(throttle.os, "getloadavg", lambda: (3.0, 0.0, 0.0))

    assert reason(shop, max_load=2.0) == "the load is 3.0, above 2"
    assert reason(shop, max_load=4.0) is None


def test_an_address_holds_unless_it_answers_200(shop):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200 if self.path == "/free?a=1" else 429)
            self.end_headers()

        def log_message(self, *_args):
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert reason(shop, http=f"{address}/free?a=1") is None
        assert reason(shop, http=address) == f"127.0.0.1:{server.server_port} answered 429"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "does not answer" in reason(shop, http=address)


def test_a_throttle_is_asked_again_only_after_a_while(shop):
    asked = []
    times = iter([0.0, 0.0, 0.1, 0.6, 0.6])
    check = ThrottleGate([lambda _: asked.append(1)], now=times.__next__)
    with shop.database.read() as connection:
        for _ in range(3):
            check(connection)

    assert len(asked) == 2
