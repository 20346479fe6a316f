import errno
import io
import json
import os
import threading
from collections import deque

import pytest

from overgrow.exchange import Failure, FellBack, TraceIds
from overgrow.observe.access_log import json_lines, target
from overgrow.observe.access_log import writer as log_writer
from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.access_log.target import StreamTarget
from overgrow.observe.access_log.writer import AccessLog, take_chunks
from overgrow.routing.identity import Identity
from overgrow.routing.model import Decision
from tests.locking import who_does_not_wait
from tests.unit.observe.exchanges import decision, exchange, head

# Python 3.12 warns of a fork beside threads; here the child only counts, logs or waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

PIPE_BUF = 4096


def log_to(stream, on_drop=None):
    return AccessLog(StreamTarget(stream), JsonLines(), on_drop)


def told(**given):
    return json.loads(JsonLines().format_line(exchange(**given)))


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb", buffering=0) as writer:
        yield reader, writer


def test_a_line_has_these_fields():
    assert told() == {
        "@timestamp": "2023-11-14T22:13:20.250000Z",
        "log.level": "info",
        "message": "200 /orders/17",
        "ecs.version": "8.17.0",
        "event.dataset": "overgrow.access",
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.domain": "shop.test",
        "http.version": "1.1",
        "url.path": "/orders/17",
        "client.address": "203.0.113.9",
        "http.response.status_code": 200,
        "http.request.body.bytes": 0,
        "http.response.body.bytes": 300,
        "event.duration": 3_000_000,
        "overgrow.first_byte": 2_000_000,
        "overgrow.route": "orders",
        "overgrow.side": "migrated",
        "overgrow.reason": "target",
        "overgrow.revision": "0123456789ab",
    }


@pytest.mark.parametrize(
    ("host", "domain"),
    [("shop.test:8443", "shop.test"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")],
)
def test_the_domain_has_no_port(host, domain):
    assert told(head=head(host=host))["url.domain"] == domain


def test_a_fallback_says_what_migrated_answered():
    line = told(side="legacy", fallback=FellBack("migrated-crash", 500, "KeyError: 'name'"))

    assert line["overgrow.side"] == "legacy"
    assert line["overgrow.fallback.code"] == "migrated-crash"
    assert line["overgrow.fallback.status"] == 500


def test_a_failure_says_code_party_stage_and_detail():
    line = told(status=502, failure=Failure("legacy-connect", "connect", "legacy", 'refused "x"'))

    assert {
        "error.code": "legacy-connect",
        "error.message": 'refused "x"',
        "overgrow.failure.party": "legacy",
        "overgrow.failure.stage": "connect",
    }.items() <= line.items()


def test_a_request_no_route_took_is_logged_as_default():
    assert told(decision=Decision(None, "legacy", "default", "abc"))["overgrow.route"] == "default"


def test_the_query_is_not_logged():
    line = JsonLines().format_line(exchange(head=head(b"/reset?token=s3cret&mail=a@b.test")))

    assert json.loads(line)["url.path"] == "/reset"
    assert "s3cret" not in line
    assert "b.test" not in line


def test_cookies_referer_and_user_agent_are_not_logged():
    private = [(b"cookie", b"PRIVATE"), (b"referer", b"PRIVATE"), (b"user-agent", b"PRIVATE")]

    assert "PRIVATE" not in JsonLines().format_line(exchange(head=head(headers=private)))


def test_trace_and_request_ids_are_passed_on_to_the_log():
    trace = b"4bf92f3577b34da6a3ce929d0e0e4736"
    headers = [(b"traceparent", b"00-%s-00f067aa0ba902b7-01" % trace), (b"x-request-id", b'r"1')]

    line = told(head=head(headers=headers))

    assert (trace.decode(), 'r"1') == (line["trace.id"], line["http.request.id"])


@pytest.mark.parametrize("trace", [None, TraceIds("ab" * 16, "cd" * 8, is_sampled=True)])
def test_headers_that_come_twice_make_no_field_twice(trace):
    # Elasticsearch refuses such a line: a client could keep its requests out of the log.
    of_client = b"00-" + b"12" * 16 + b"-00f067aa0ba902b7-01"
    sent = [(b"traceparent", of_client), (b"x-request-id", b"first")]
    again = [(b"traceparent", of_client), (b"x-request-id", b"second")]
    line = JsonLines().format_line(exchange(head=head(headers=[*sent, *again]), trace=trace))

    pairs = json.loads(line, object_pairs_hook=list)
    assert len(pairs) == len(dict(pairs))
    assert ("first", trace and trace.trace_id) == (
        dict(pairs)["http.request.id"],
        dict(pairs).get("trace.id"),
    )


@pytest.mark.parametrize(
    "value",
    [b"", b"00-xyz", b'00-"}{"evil":"yes","a":"aaaaaaaaaaaaa-00f067aa0ba902b7-01', b"\xff" * 60],
)
def test_a_malformed_traceparent_is_left_out(value):
    assert "trace.id" not in told(head=head(headers=[(b"traceparent", value)]))


@pytest.mark.parametrize(
    "target",
    [b'/"\\', b"/a\nb", b"/\x00\x1f", b"/\xff\xc3\xa9", b"*", b"/%2F%22"],
    ids=["quotes", "newline", "control", "not ASCII", "asterisk", "escapes"],
)
def test_whatever_the_path_holds_it_is_one_line_of_json_that_says_it(target):
    line = JsonLines().format_line(exchange(head=head(target)))

    assert json.loads(line)["url.path"] == target.decode("latin-1")
    assert line.isascii()
    assert line.index("\n") == len(line) - 1


def test_a_line_always_fits_one_write_to_a_pipe():
    huge = "\x01" * 9000
    failure = Failure("legacy-connect", "connect", "legacy", huge)
    request = head(
        b"/" + b"\x01" * 9000,
        method=huge,
        host=huge,
        client=huge,
        headers=[(b"x-request-id", b"\x01" * 9000)],
    )

    line = JsonLines().format_line(exchange(head=request, failure=failure))

    assert len(line) <= PIPE_BUF
    assert json.loads(line)["url.path"].endswith("...")


def test_what_clients_choose_does_not_fill_the_memory():
    lines = JsonLines()

    for number in range(3 * json_lines._MAX_REMEMBERED):
        lines.format_line(exchange(head=head(host=f"{number}.test")))

    assert len(lines._remembered) <= json_lines._MAX_REMEMBERED


def test_decisions_are_told_apart_by_revision():
    lines = JsonLines()
    texts = [
        lines.format_line(exchange(decision=decision()._replace(revision=revision)))
        for revision in ("aaa", "bbb", "aaa")
    ]

    assert ["aaa", "bbb", "aaa"] == [json.loads(text)["overgrow.revision"] for text in texts]


def test_lines_reach_the_stream_without_being_asked(pipe):
    reader, writer = pipe
    log = log_to(writer)

    log.record(exchange())

    assert json.loads(reader.readline())["url.path"] == "/orders/17"
    log.close()


def test_closing_writes_what_waits(pipe):
    reader, writer = pipe
    log = log_to(writer)
    for _ in range(20):
        log.record(exchange())

    log.close()
    log.close()
    writer.close()

    assert len(reader.readlines()) == 20


def test_a_log_that_was_closed_can_go_on(pipe):
    reader, writer = pipe
    log = log_to(writer)
    log.record(exchange())
    log.close()

    log.record(exchange(status=404))
    log.close()

    assert [200, 404] == [
        json.loads(reader.readline())["http.response.status_code"] for _ in range(2)
    ]


def test_no_thread_runs_before_the_first_line(pipe):
    before = threading.active_count()

    log_to(pipe[1])

    assert threading.active_count() == before


def test_a_full_pipe_does_not_stop_the_caller_and_the_gap_is_told(pipe, monkeypatch):
    monkeypatch.setattr(log_writer, "MAX_WAITING", 500)
    reader, writer = pipe
    dropped = []
    log = log_to(writer, dropped.append)

    for _ in range(3000):  # a pipe holds 64 KiB, some 110 lines; nobody reads
        log.record(exchange())
    lost = log.dropped_lines
    lines = []
    while sum(dropped) < lost or "dropped" not in lines[-1]:
        lines.append(reader.readline().decode())
    log.close()

    assert lost >= 2000
    assert lost == sum(dropped)
    assert f"{dropped[-1]} access-log lines were dropped" in json.loads(lines[-1])["message"]
    assert len([line for line in lines if "dropped" not in line]) == 3000 - lost


def test_closing_gives_up_on_a_reader_that_does_not_read(pipe, monkeypatch):
    monkeypatch.setattr(log_writer, "CLOSE_S", 0.05)
    reader, writer = pipe
    log = log_to(writer)
    for _ in range(500):
        log.record(exchange())

    log.close()

    assert log._waiting
    for _ in range(500):  # and the thread ends once somebody reads
        reader.readline()


def test_a_reader_that_went_away_is_survived():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as writer:
        log = log_to(writer)
        log.record(exchange())
        log.close()

    assert not log._waiting


def test_a_stream_that_somebody_made_non_blocking_loses_nothing(pipe):
    reader, writer = pipe
    os.set_blocking(writer.fileno(), False)
    log = log_to(writer)
    for _ in range(500):
        log.record(exchange())

    lines = [reader.readline() for _ in range(500)]
    log.close()

    assert all(json.loads(line)["overgrow.route"] == "orders" for line in lines)


def test_a_stream_without_a_descriptor_is_written_to():
    stream = io.StringIO()
    log = log_to(stream)

    log.record(exchange())
    log.close()

    assert json.loads(stream.getvalue())["message"] == "200 /orders/17"


def test_processes_sharing_a_pipe_do_not_mix_their_lines(pipe):
    reader, writer = pipe
    workers = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            log = log_to(writer)
            for _ in range(400):
                log.record(exchange(head=head(b"/orders/" + b"9" * 300)))
            log.close()
            os._exit(0)
        workers.append(pid)
    writer.close()
    lines = reader.readlines()
    for pid in workers:
        os.waitpid(pid, 0)

    assert len(lines) == 1200
    assert {json.loads(line)["overgrow.side"] for line in lines} == {"migrated"}


def test_a_forked_child_does_not_repeat_its_parents_lines(pipe):
    reader, writer = pipe
    log = log_to(writer)
    log.record(exchange(status=201))
    pid = os.fork()
    if pid == 0:
        log.record(exchange(status=202))
        log.close()
        os._exit(0)
    os.waitpid(pid, 0)
    log.close()
    writer.close()

    assert sorted(json.loads(line)["http.response.status_code"] for line in reader) == [201, 202]


def test_chunks_hold_whole_lines_and_no_more_than_asked():
    taken = list(take_chunks(deque(["aaaa\n", "bbbb\n", "cccc\n", "d" * 20 + "\n"]), 12))

    assert taken == [b"aaaa\nbbbb\n", b"cccc\n", b"d" * 20 + b"\n"]


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        pytest.param(8, [8, 4], id="exactly the most is one chunk"),
        pytest.param(7, [4, 4, 4], id="one byte less is not"),
    ],
)
def test_a_chunk_holds_exactly_the_most_bytes_at_most(most, sizes):
    assert sizes == [len(chunk) for chunk in take_chunks(deque(["abc\n"] * 3), most)]


def test_a_write_to_a_pipe_holds_whole_lines_and_at_most_pipe_buf(pipe, monkeypatch):
    written = []
    write = os.write
    monkeypatch.setattr(
        target.os, "write", lambda fd, data: written.append(data) or write(fd, data)
    )
    log = log_to(pipe[1])

    for _ in range(60):
        log.record(exchange())
    log.close()

    assert len(written) > 1
    assert {(len(data) <= PIPE_BUF, data[-1:]) for data in written} == {(True, b"\n")}


def test_what_a_short_write_left_over_is_written_next(pipe, monkeypatch):
    reader, writer = pipe
    write = os.write
    monkeypatch.setattr(target.os, "write", lambda fd, data: write(fd, data[:10]))
    log = log_to(writer)

    log.record(exchange())
    log.close()

    assert json.loads(reader.readline())["overgrow.route"] == "orders"


def test_exactly_the_most_lines_wait(pipe, monkeypatch):
    monkeypatch.setattr(log_writer, "MAX_WAITING", 3)
    log = log_to(pipe[1])
    monkeypatch.setattr(log, "_start", lambda: None)

    for _ in range(5):
        log.record(exchange())

    assert (len(log._waiting), log.dropped_lines) == (3, 2)


def test_values_too_long_to_repeat_are_not_kept():
    lines = JsonLines()

    lines.format_line(exchange(head=head(host="h" * 1000)))

    assert not [values for values in lines._remembered if "h" * 1000 in values]


def test_lines_lost_to_a_reader_that_is_gone_are_counted_and_said_once(pipe, caplog):
    reader, writer = pipe
    reader.close()
    dropped = []
    log = log_to(writer, dropped.append)

    for _ in range(3):
        log.record(exchange())
        log.close()

    assert (log.dropped_lines, sum(dropped)) == (3, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "access-log-lost why='Broken pipe'"
    ]


def test_lines_that_wait_for_a_reader_that_hangs_can_be_told_meanwhile(pipe, monkeypatch):
    monkeypatch.setattr(log_writer, "MAX_WAITING", 3)
    dropped = []
    log = log_to(pipe[1], dropped.append)
    monkeypatch.setattr(log, "_start", lambda: None)

    for _ in range(5):
        log.record(exchange())
    log.report_drops()
    log.report_drops()

    assert dropped == [2]


def test_the_line_after_half_a_line_begins_anew(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "overgrow")
    real, room = os.write, [100]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, bytes(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(target.os, "write", write)
    with (tmp_path / "log").open("w") as stream:
        log = log_to(stream)
        log.record(exchange())
        log.close()
        room[0] = 100_000
        log.record(exchange())
        log.close()
    lines = (tmp_path / "log").read_text().splitlines()

    assert len(lines[0]) == 100
    assert json.loads(lines[1])["overgrow.route"] == "orders"
    assert "access-log-found dropped=1" in caplog.text


def test_one_thread_tells_of_lost_lines_or_begins_to_write_at_a_time():
    log = log_to(io.StringIO())
    beginning = {"closing": log.close, "starting": log._start}

    assert who_does_not_wait(log._reporting_drops, {"reporting": log.report_drops}) == []
    assert who_does_not_wait(log._starting, beginning) == []
    log.close()


def test_two_first_lines_begin_one_thread():
    log = log_to(io.StringIO())
    log._start()
    first = log._thread
    log._start()
    same = log._thread is first
    log.close()

    assert same


def test_a_known_user_is_logged_as_a_keyed_hash():
    def hash_of(user, key):
        decision = exchange().decision._replace(identity=Identity(user))
        line = JsonLines(lambda: key).format_line(exchange(decision=decision))
        assert user not in line
        return json.loads(line)["user.hash"]

    first = hash_of("ann@shop.example", b"key")
    assert first == hash_of("ann@shop.example", b"key")
    assert len({first, hash_of("bob@shop.example", b"key"), hash_of("ann@shop.example", b"x")}) == 3
    assert "user.hash" not in told()


def test_calls_of_legacy_by_a_view_are_logged():
    decision = exchange().decision._replace(legacy_calls=2)

    assert told(decision=decision)["overgrow.legacy_calls"] == 2
    assert "overgrow.legacy_calls" not in told()
