import gzip
import json
import os

import pytest

from overgrow.observe.board import claim_slot
from overgrow.table.running import describe_front_door
from tests.unit.table.test_running import holding

ROUTE_KEYS = [
    "name",
    "path",
    "prefix",
    "methods",
    "host",
    "headers",
    "query",
    "cookies",
    "priority",
    "target",
    "canary",
    "shadow",
    "fallback",
    "group",
    "reversible",
    "line",
]


def test_check_tells_routes_and_revision(overgrow):
    done = overgrow("check")

    assert (0, "routes.yaml: ok, 3 routes, revision 742dc5e00c9a\n") == (
        done.exit_code,
        done.stdout,
    )


def test_check_as_json_has_exactly_the_keys_that_are_promised(overgrow):
    assert (0, {"ok": True, "revision": "742dc5e00c9a", "problems": []}) == overgrow.json("check")


def log_of(overgrow, *targets):
    line = '192.0.2.7 - - [30/Nov/2026:01:00:00 +0000] "GET {} HTTP/1.1" 200 12\n'
    log = overgrow.table.with_name("access.log")
    log.write_text("".join(line.format(target) for target in targets))
    return str(log)


def test_check_tells_whose_recorded_requests_change_side(overgrow):
    log = log_of(overgrow, "/orders", "/orders", "/nothing")
    before = overgrow.table.with_name("before.yaml")
    before.write_text(overgrow.table.read_text())
    overgrow.table.write_text(
        overgrow.table.read_text().replace("target: legacy", "target: migrated", 1)
    )

    done = overgrow("check", "--no-app", "--against", str(before), "--traffic", log)

    assert (0, "2 requests (66.7%) change side") == (
        done.exit_code,
        done.stdout.splitlines()[1].partition(": ")[2],
    )
    assert ["legacy", "migrated", "2", "66.7%", "GET", "/orders"] == (
        done.stdout.splitlines()[3].split()[1:]
    )


def test_check_as_json_lists_what_changes_side_and_what_does_not(overgrow):
    log = log_of(overgrow, "/orders/7", "no request")

    code, told = overgrow.json("check", "--no-app", "--traffic", log)

    assert (0, 1, 1, 1) == (
        code,
        told["traffic"]["requests"],
        told["traffic"]["unread"],
        told["traffic"]["changed"],
    )


def test_check_refuses_traffic_without_a_request_and_names_the_first_line(overgrow):
    log = overgrow.table.with_name("access.log")
    log.write_text("nothing of the kind\n")

    told = overgrow.fails("check", "--no-app", "--traffic", str(log))

    assert "Line 1 is 'nothing of the kind'" in told
    assert "[traffic-unreadable]" in told


def test_check_refuses_a_second_file_of_traffic(overgrow):
    table = str(overgrow.table)

    told = overgrow.misused("check", "--traffic", table, "--traffic", table)

    assert "more than one file. Join logs" in told


def test_check_refuses_a_damaged_compressed_log_without_a_traceback(overgrow):
    log = overgrow.table.with_name("access.log.gz")
    data = bytearray(gzip.compress(b'{"url.path": "/a", "http.request.method": "GET"}\n' * 9))
    data[12:20] = b"\xff" * 8
    log.write_bytes(data)

    told = overgrow.fails("check", "--no-app", "--traffic", str(log))

    assert (True, True) == ("access.log.gz cannot be read" in told, "[traffic-unreadable]" in told)


def test_check_compares_no_traffic_with_a_table_that_has_problems(overgrow):
    log = log_of(overgrow, "/orders")
    overgrow.table.write_text("version: 1\n")

    code, told = overgrow.json("check", "--no-app", "--traffic", log)

    assert (1, False) == (code, "traffic" in told)


def test_check_prints_every_problem_in_file_order(overgrow):
    overgrow.table.write_text(overgrow.table.read_text().replace("target: legacy", "target: nil"))

    lines = overgrow.fails("check").splitlines()

    assert ["routes.yaml:9:13:", "routes.yaml:17:13:"] == [line.split()[0] for line in lines]


def test_a_problem_as_json_has_seven_keys(overgrow):
    overgrow.table.write_text("version: 1\n")

    code, told = overgrow.json("check")

    assert (1, False, None) == (code, told["ok"], told["revision"])
    assert ["code", "file", "line", "column", "route", "message", "fix"] == list(
        told["problems"][0]
    )


def test_check_names_the_rule_that_the_app_lacks(overgrow):
    overgrow.table.write_text(overgrow.table.read_text().replace("/orders/<int:id>", "/nothing"))

    assert "[app-rule-missing]" in overgrow.fails("check")


def test_check_without_the_app_says_what_it_skipped(overgrow):
    overgrow.app.unlink()

    done = overgrow("check", "--no-app")

    assert (0, True) == (done.exit_code, "its rules were not checked" in done.stderr)


def test_check_of_a_broken_app_is_a_problem_beside_those_of_the_table(overgrow):
    overgrow.app.write_text("1/0\n")
    overgrow.table.write_text(overgrow.table.read_text().replace("version: 1", "version: 2"))

    code, told = overgrow.json("check")

    assert (1, ["app-import", "version"]) == (code, [one["code"] for one in told["problems"]])
    assert "shop.py:1" in told["problems"][0]["message"]


def test_an_app_that_ends_the_process_is_a_problem_too(overgrow):
    overgrow.app.write_text("import sys\nsys.exit(7)\n")

    code, told = overgrow.json("check")

    assert (1, ["app-import"]) == (code, [one["code"] for one in told["problems"]])
    assert "sys.exit(7)" in told["problems"][0]["message"]


def test_what_the_app_prints_does_not_mix_with_json(overgrow):
    overgrow.app.write_text("print('hello')\n" + overgrow.app.read_text())

    assert 0 == overgrow.json("check")[0]


def test_check_takes_a_file_and_finds_the_app_beside_it(overgrow):
    other = overgrow.folder / "other"
    other.mkdir()
    overgrow.table.rename(other / "new.yaml")
    overgrow.app.rename(other / "shop.py")

    done = overgrow("check", "other/new.yaml")

    assert (0, True) == (done.exit_code, done.stdout.startswith("other/new.yaml: ok"))


def test_check_notes_an_app_that_running_workers_have_not_taken(overgrow):
    slot = claim_slot(overgrow.folder / ".overgrow/board")
    slot.publish({"app": "shop:former"})

    done = overgrow("check")
    slot.release()

    assert (0, True) == (done.exit_code, "[app-needs-restart]" in done.stderr)


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        pytest.param(lambda table: table.unlink(), "overgrow init", id="no file"),
        pytest.param(
            lambda table: (table.unlink(), table.mkdir()), "routes.yaml/routes.yaml", id="a folder"
        ),
        pytest.param(
            lambda table: (table.unlink(), table.symlink_to(table)),
            "Point the symbolic link at the file",
            id="a link to itself",
        ),
        pytest.param(
            lambda table: (table.unlink(), table.symlink_to("/proc/self/mem")),
            "Fix the file system it is on, or name another file with --config.",
            id="a file that cannot be read",
        ),
    ],
)
@pytest.mark.parametrize("words", [["check"], ["routes"], ["explain", "/"], ["flip", "a", "gone"]])
def test_a_table_that_cannot_be_read_is_told_with_its_fix(overgrow, make, fix, words):
    make(overgrow.table)

    told = overgrow.fails(*words)

    assert (True, True) == (fix in told, "[file-missing]" in told)


def test_check_tells_a_file_that_is_not_there_in_its_own_shape(overgrow):
    overgrow.table.unlink()

    code, told = overgrow.json("check")

    assert (1, False, None) == (code, told["ok"], told["revision"])
    assert [("file-missing", "routes.yaml", 1)] == [
        (one["code"], one["file"], one["line"]) for one in told["problems"]
    ]


def test_check_as_json_tells_people_every_problem_too(overgrow):
    overgrow.table.write_text("version: 2\nlegacy: {}\n")

    done = overgrow("check", "--json")

    assert (1, True) == (done.exit_code, json.loads(done.stdout)["ok"] is False)
    assert ["[version]", "[required]"] == [
        line.rpartition(" ")[2] for line in done.stderr.splitlines()[1:]
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_that_this_user_may_not_read_is_told(overgrow):
    overgrow.table.chmod(0)

    assert "Give this user the right to read it." in overgrow.fails("routes")


def test_routes_lists_them_in_matching_order_with_conditions_and_lines(overgrow):
    lines = overgrow("routes").stdout.splitlines()

    assert ["cart", "orders", "order-detail", "(default)"] == [
        line.split()[0] for line in lines[1:5]
    ]
    assert "shop.example, header:x-beta='1'" in lines[1]
    assert ["legacy", "13"] == lines[1].split()[-2:]
    assert "legacy is http://127.0.0.1:9000" == lines[-1]


def test_routes_say_all_that_decides_about_a_route(overgrow):
    more = "canary: 5%\n    shadow: 2.5%\n    fallback: true\n    group: pay\n    priority: 3\n"
    overgrow.table.write_text(f"{overgrow.table.read_text()}    {more}")

    assert "legacy canary 5% (shadow 2.5%, fallback, group pay, priority 3)" in (
        overgrow("routes").stdout
    )


def test_a_long_name_has_a_line_of_its_own_on_a_narrow_screen(overgrow):
    name = "get-" + "very-" * 12 + "long"
    overgrow.table.write_text(overgrow.table.read_text().replace("order-detail", name))

    lines = overgrow("routes", COLUMNS="80").stdout.splitlines()

    assert name in lines
    assert [] == [line for line in lines if len(line) > 80]


def test_a_pipe_gets_one_line_per_route(overgrow):
    name = "get-" + "very-" * 12 + "long"
    overgrow.table.write_text(overgrow.table.read_text().replace("order-detail", name))

    lines = overgrow("routes").stdout.splitlines()

    assert ["migrated", "10"] == next(line for line in lines if name in line).split()[-2:]


def test_routes_as_json_has_every_key_of_every_route(overgrow):
    code, told = overgrow.json("routes")

    assert (0, [ROUTE_KEYS] * 3) == (code, [list(route) for route in told])


def test_routes_of_an_invalid_table_prints_its_problems(overgrow):
    overgrow.table.write_text("version: [")

    assert "routes.yaml:2:1: " in overgrow.fails("routes")


def test_routes_of_an_invalid_table_as_json_is_an_error(overgrow):
    overgrow.table.write_text("version: [")

    code, told = overgrow.json("routes")

    assert (1, "invalid-table", ["yaml-syntax"]) == (
        code,
        told["error"]["code"],
        [one["code"] for one in told["error"]["problems"]],
    )


def test_routes_never_imports_the_app(overgrow):
    overgrow.app.write_text("1/0\n")

    assert 0 == overgrow("routes").exit_code


KEPT = "  - {name: kept, prefix: /kept, target: gone, reversible: false}\n"


def with_last_good(overgrow, text):
    """A state folder beside the table, whose last-good table is this."""
    state = overgrow.folder / ".overgrow"
    state.mkdir()
    (state / "last-good.yaml").write_text(text)


def test_check_compares_with_the_table_that_took_effect_last(overgrow):
    with_last_good(overgrow, overgrow.table.read_text() + KEPT)
    done = overgrow("check", "--no-app")

    assert done.exit_code == 1
    assert "but here no route takes GET /kept" in done.stderr
    assert "[irreversible-weakened]" in done.stderr


def test_check_against_a_file_compares_with_that_one(overgrow):
    text = overgrow.table.read_text()
    with_last_good(overgrow, text)
    (overgrow.folder / "main.yaml").write_text(text + KEPT)
    found = json.loads(
        overgrow("check", "--json", "--against", str(overgrow.folder / "main.yaml")).stdout
    )

    assert [(one["code"], one["route"]) for one in found["problems"]] == [
        ("irreversible-weakened", "kept")
    ]


def test_check_against_an_invalid_file_says_what_is_wrong_with_that_file(overgrow):
    (overgrow.folder / "main.yaml").write_text("version: 2\n")
    done = overgrow("check", "--against", str(overgrow.folder / "main.yaml"))

    assert done.exit_code == 1
    assert "main.yaml:1:10: version is 2" in done.stderr


def test_check_takes_a_last_good_table_that_says_nothing_for_none(overgrow):
    with_last_good(overgrow, "version: 2\n")

    assert overgrow("check").exit_code == 0


def test_check_notes_a_file_that_may_be_half_written(overgrow):
    text = overgrow.table.read_text()
    with_last_good(overgrow, text)
    overgrow.table.write_text(text[: text.index("  - name: cart")])
    done = overgrow("check", "--no-app")

    assert done.exit_code == 0
    assert "[half-written]" in done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a folder"])
@pytest.mark.parametrize(
    "words", [("check",), ("check", "--no-app"), ("routes",), ("explain", "/")]
)
def test_a_table_that_is_no_regular_file_fails_at_once(overgrow, make, words):
    overgrow.table.unlink()
    make(overgrow.table)
    done = overgrow(*words)

    assert 1 == done.exit_code
    assert "[file-missing]" in done.stderr
    assert "directory" in done.stderr or "it is a FIFO, not a regular file" in done.stderr


def test_check_tells_of_certificates_that_cannot_be_used(overgrow):
    secure = "url: https://127.0.0.1:9000\n  tls_ca: nowhere.pem"
    text = overgrow.table.read_text().replace("url: http://127.0.0.1:9000", secure)
    overgrow.table.write_text(text)

    assert "which cannot be used: No such file or directory" in overgrow.fails("check")


@pytest.fixture
def running_demo(overgrow):
    """A front door, as its lock tells it, that serves another table than the usual one."""
    table = overgrow.folder / "demo.yaml"
    table.write_text(overgrow.table.read_text().replace("order-detail", "order-page"))
    (overgrow.folder / ".overgrow").mkdir()
    with holding(overgrow.folder / ".overgrow", describe_front_door(table, "a", "b")):
        yield table


def test_commands_read_the_table_of_the_front_door_that_runs_here(overgrow, running_demo):
    done = overgrow("routes")

    assert "order-page" in done.stdout
    assert "note: the front door that runs on .overgrow serves demo.yaml" in done.stderr


@pytest.mark.parametrize("asked", [("--config", "routes.yaml"), ()])
def test_a_table_that_is_named_is_the_one_that_is_read(overgrow, running_demo, monkeypatch, asked):
    if not asked:
        monkeypatch.setenv("OVERGROW_CONFIG", "routes.yaml")

    done = overgrow("routes", *asked)

    assert ("order-detail" in done.stdout, "") == (True, done.stderr)
    assert running_demo.exists()
