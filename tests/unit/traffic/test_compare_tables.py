from overgrow.routing.match import Matcher
from overgrow.table.reading.parse import parse
from overgrow.traffic.compare_tables import RouteAndSide, SideChange, compare_tables
from overgrow.traffic.request_lines import RequestLine

TABLE = """version: 1
legacy: {url: http://127.0.0.1:9000}
routes:
  - {name: item, path: /items/<int:id>, methods: [GET], target: TARGET}
  - {name: list, path: /items, target: legacy}
"""


def matcher(target="legacy", table=TABLE):
    loaded = parse(table.replace("TARGET", target).encode(), file="routes.yaml", env={}, rules=None)
    assert loaded.table is not None, loaded.problems
    return Matcher(loaded.table)


def gets(*targets):
    return [RequestLine("GET", target.encode()) for target in targets]


def test_requests_that_change_side_are_counted_by_route():
    requests = gets("/items/1", "/items/2", "/items", "/other")

    found = compare_tables(requests, matcher(), matcher("migrated"))

    change = SideChange(RouteAndSide("item", "legacy"), RouteAndSide("item", "migrated"))
    assert (4, {change: 2}, {change: "GET /items/1"}) == (
        found.requests,
        found.changes,
        found.examples,
    )


def test_without_a_table_before_legacy_answered_everything():
    found = compare_tables(gets("/items/1", "/items"), None, matcher("migrated"))

    assert {
        SideChange(RouteAndSide("default", "legacy"), RouteAndSide("item", "migrated")): 1
    } == found.changes


def test_a_route_of_another_name_on_the_same_side_is_no_change():
    found = compare_tables(gets("/items"), None, matcher())

    assert (0, {RouteAndSide("list", "legacy"): 1}) == (found.changed_requests, found.routes)


def test_a_canary_without_an_identity_is_a_side_of_its_own():
    canary = TABLE.replace("target: TARGET", "target: legacy, canary: 12.5%")

    found = compare_tables(gets("/items/1"), matcher(), matcher(table=canary))

    assert ["canary 12.5%"] == [str(change.after) for change in found.changes]


def test_a_client_that_is_recorded_decides_a_canary():
    canary = TABLE.replace("target: TARGET", "target: legacy, canary: 50%").replace(
        "routes:", "cohort: {by: [ip], salt: s}\nroutes:"
    )
    requests = [RequestLine("GET", b"/items/1", client=f"192.0.2.{at}") for at in range(200)]

    found = compare_tables(requests, matcher(), matcher(table=canary))

    assert {RouteAndSide("item", "legacy"), RouteAndSide("item", "migrated")} == set(found.routes)
    assert 60 < found.changed_requests < 140  # half of 200, five standard deviations


def test_a_host_of_the_record_is_matched():
    hosted = TABLE.replace("methods: [GET]", "host: shop.example")
    requests = [RequestLine("GET", b"/items/1", host) for host in ("shop.example", "other.example")]

    found = compare_tables(requests, None, matcher("migrated", hosted))

    assert 1 == found.changed_requests
