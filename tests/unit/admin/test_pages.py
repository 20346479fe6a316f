import os
import re
from threading import Event
from urllib.parse import urlencode

import pytest

from overgrow.admin import app as admin_app
from overgrow.admin.app import ENDPOINTS, create_admin
from overgrow.observe.board import claim_slot
from overgrow.observe.metrics import Metrics
from overgrow.routing.model import Legacy, Route, RouteTable
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import NOW_S, exchange

ORDERS = Route("orders", path="/orders/<int:id>", target="migrated", line=9)
LEDGER = Route("ledger", prefix="/ledger", target="migrated", reversible=False, line=12)
TABLE = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9000"), (ORDERS, LEDGER))
OUR_SCRIPT = r'<script type="module" src="/static/\w+\.js"></script>'
PROBLEM = {
    "code": "canary-out-of-range",
    "file": "routes.yaml",
    "line": 17,
    "column": 13,
    "route": "orders",
    "message": "canary is 120%; <b>the most is 100%</b>.",
    "fix": "Write 100%.",
}


@pytest.fixture
def view(tmp_path):
    view = View(tmp_path, TABLE)
    slot = claim_slot(view.board)
    slot.publish(
        {"revision": TABLE.revision, "since": SINCE, "killed": False, "reload_error": None}
    )
    view.slot = slot
    yield view
    slot.release()


@pytest.fixture
def clock():
    return [NOW_S]


@pytest.fixture
def client(view, clock):
    return create_admin(view, now=lambda: clock[0]).test_client()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def ready(**changes):
    worker = {"slot": 0, "pid": os.getpid(), "revision": TABLE.revision, "since": SINCE}
    plain = {
        "status": "ready",
        "revision": TABLE.revision,
        "agreed": True,
        "killed": False,
        "workers": [worker],
        "reload_error": None,
        "boot_error": None,
        "upstream": {"up": True, "since": None, "error": None},
    }
    return {**plain, **changes}


def test_healthz_is_ok(client):
    assert ("ok\n", 200) == (client.get("/healthz").text, client.get("/healthz").status_code)


def test_readyz_is_exactly_this_when_all_is_well(client):
    response = client.get("/readyz")

    assert (200, ready()) == (response.status_code, response.json)
    assert list(response.json) == list(ready())


def test_a_service_without_a_table_is_starting(client, view):
    view.table = None
    response = client.get("/readyz")

    assert (503, "starting", None) == (
        response.status_code,
        response.json["status"],
        response.json["revision"],
    )


def test_a_service_without_a_living_worker_is_starting(tmp_path):
    response = create_admin(View(tmp_path, TABLE)).test_client().get("/readyz")

    assert (503, ready(status="starting", workers=[], agreed=False)) == (
        response.status_code,
        response.json,
    )


def test_a_draining_service_is_not_ready(client, view):
    view.is_draining = True
    response = client.get("/readyz")

    assert (503, "draining") == (response.status_code, response.json["status"])


def test_workers_on_different_revisions_do_not_agree(client, view):
    late = claim_slot(view.board)
    late.publish({"revision": "older", "since": SINCE})

    told = client.get("/readyz").json

    assert (False, [0, 1]) == (told["agreed"], [worker["slot"] for worker in told["workers"]])
    late.release()


def test_a_refused_table_is_told_and_still_ready(client, view):
    view.reload_error = {"at": SINCE, "problems": [PROBLEM]}
    response = client.get("/readyz")

    assert (200, ready(reload_error=view.reload_error)) == (response.status_code, response.json)


def test_a_refused_table_is_told_by_a_worker_that_did_not_see_it_itself(client, view):
    other = claim_slot(view.board)
    error = {"at": SINCE, "problems": [PROBLEM]}
    other.publish({"revision": TABLE.revision, "since": SINCE, "reload_error": error})

    assert error == client.get("/readyz").json["reload_error"]
    other.release()


def test_a_killed_service_is_ready_and_lists_what_stays_migrated(client, view):
    view.is_killed = True
    response = client.get("/readyz")

    expected = ready(killed=True, agreed=False, irreversible=["ledger"])
    assert (200, expected) == (response.status_code, response.json)


def test_workers_agree_only_when_all_see_the_kill_file(client, view):
    view.is_killed = True
    before = client.get("/readyz").json["agreed"]
    view.slot.publish({"revision": TABLE.revision, "since": SINCE, "killed": True})

    assert (False, True) == (before, client.get("/readyz").json["agreed"])


def test_notes_are_told_when_there_are_any(client, view):
    notes = ["app: changed; restart to use it."]
    view.slot.publish({"revision": TABLE.revision, "since": SINCE, "notes": notes})

    assert ready(notes=notes) == client.get("/readyz").json


def test_a_note_of_two_workers_is_told_once(client, view):
    other = claim_slot(view.board)
    for slot in (view.slot, other):
        slot.publish({"revision": TABLE.revision, "since": SINCE, "notes": ["the same"]})
    told = client.get("/readyz").json["notes"]
    other.release()

    assert told == ["the same"]


def test_a_file_that_cannot_be_used_is_named_with_the_way_out(client, monkeypatch):
    def fails(*_):
        raise OSError(5, "Input/output error", "/srv/state/metrics")

    monkeypatch.setattr(admin_app, "exposition", fails)
    answer = client.get("/metrics")

    assert 503 == answer.status_code
    assert "/srv/state/metrics cannot be used: Input/output error." in answer.text
    assert "overgrow rollback --all" in answer.text


def test_metrics_are_those_of_all_workers(client, view):
    Metrics(view.metrics, 0).record(exchange())
    Metrics(view.metrics, 7).record(exchange())
    response = client.get("/metrics")

    assert (
        'overgrow_requests_total{route="orders",side="migrated",status="200"} 2.0' in response.text
    )
    assert 'overgrow_table_revision_info{revision="0123456789ab"} 1.0' in response.text
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metrics_are_openmetrics_for_a_client_that_prefers_it(client, method):
    asked = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    response = client.open("/metrics", method=method, headers=asked)

    expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert (200, expected) == (response.status_code, response.content_type)
    assert response.text.endswith("# EOF\n") == (method == "GET")


def test_routes_are_listed_in_matching_order(client):
    told = client.get("/api/routes").json

    assert [("orders", "/orders/<int:id>"), ("ledger", None)] == [
        (r["name"], r["path"]) for r in told
    ]
    assert "line" in told[0]


def test_status_is_readiness_and_the_split(client, view):
    Metrics(view.metrics, 0).record(exchange())

    told = client.get("/api/status").json

    rows = told.pop("routes")
    for name in ("connections", "local_calls", "sides"):
        told.pop(name)
    assert {**ready(), "breakers": []} == told
    assert [("orders", 1, 100.0), ("ledger", 0, None), ("default", 0, None)] == [
        (row["name"], row["requests"], row["live_share"]) for row in rows
    ]


def test_status_says_which_server_this_is_where_that_is_known(client, view):
    view.server = {"version": "0.1.0", "pid": 41, "started_at": SINCE}

    known = client.get("/api/status").json["server"]

    assert {**view.server, "uptime_s": 0} == {**known, "uptime_s": 0}
    view.server = None
    assert "server" not in client.get("/api/status").json


def test_the_page_says_its_version_where_that_is_known(client, view):
    view.server = {"version": "9.8.7", "pid": 41, "started_at": SINCE}

    assert "Version 9.8.7." in client.get("/").text
    view.server = None
    assert "Version" not in client.get("/").text


def test_status_tells_each_workers_breakers_that_are_not_closed(client, view):
    told = {"route": "orders", "side": "migrated", "state": "open"}
    view.slot.publish({"revision": TABLE.revision, "since": SINCE, "breakers": [told]})

    assert [{"slot": 0, **told}] == client.get("/api/status").json["breakers"]


def test_the_page_links_to_every_endpoint(client):
    page = client.get("/").text

    assert all(f'href="{path}"' in page for path in ENDPOINTS)
    assert "0123456789ab" in page


def test_the_page_tells_problems_as_text_not_as_markup(client, view):
    view.reload_error = {"at": SINCE, "problems": [PROBLEM]}

    page = client.get("/").text

    assert "&lt;b&gt;the most is 100%&lt;/b&gt;" in page


def test_an_unknown_path_names_what_there_is(client):
    response = client.get("/nowhere")

    assert (404, "text/plain; charset=utf-8") == (response.status_code, response.content_type)
    assert all(path in response.text for path in ENDPOINTS)


def test_errors_of_the_api_are_json(client):
    response = client.get("/api/nowhere")

    assert (404, "not-found") == (response.status_code, response.json["error"]["code"])
    assert "/api/status" in response.json["error"]["message"]


def test_a_method_that_is_not_there_is_405_and_says_which_are(client):
    response = client.put("/api/routes")

    assert (405, "method-not-allowed") == (response.status_code, response.json["error"]["code"])
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/api/status", "/nowhere", "/login", "/healthz", "/static/admin.css"]
)
def test_every_answer_is_hardened(client, path):
    with client.get(path) as response:
        headers = response.headers

    assert headers["Cache-Control"] == "no-store"
    assert sorted(headers["Content-Security-Policy"].split("; ")) == [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ]
    assert ("nosniff", "DENY") == (headers["X-Content-Type-Options"], headers["X-Frame-Options"])


def test_browsers_are_let_name_the_origin_of_our_forms(client):
    """Under no-referrer they send `Origin: null`, and nobody could log in."""
    assert "same-origin" == client.get("/login").headers["Referrer-Policy"]


def test_pages_need_nothing_their_policy_forbids(client):
    for path in ("/", "/login"):
        page = client.get(path).text

        assert "<script" not in re.sub(OUR_SCRIPT, "", page)
        assert "style=" not in page


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/api/routes", "/api/status", "/login", "/nowhere"]
)
def test_an_unknown_host_gets_nothing_and_learns_why(client, path):
    response = client.get(path, headers={"Host": "evil.test"})

    assert response.status_code == 421
    assert "OVERGROW_ADMIN_HOSTS" in response.text


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "ops.test", "[::1]:8001"])
def test_a_known_host_is_served(client, host):
    assert client.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_neither_host_nor_token(client, view, path):
    view.token, view.is_loopback_only = "s3cret", False

    assert client.get(path, headers={"Host": "evil.test"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/metrics", "/api/routes", "/api/status", "/nowhere", "/static/nowhere"]
)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no token"),
        pytest.param(bearer("guess"), 401, id="a wrong token"),
        pytest.param({"Authorization": "Basic s3cret"}, 401, id="another scheme"),
        pytest.param({"Cookie": "overgrow_admin=v1.9999999999.00"}, 401, id="a made-up session"),
    ],
)
def test_without_the_token_nothing_is_told(client, view, path, headers, status):
    view.token = "s3cret"
    response = client.get(path, headers=headers)

    assert status == response.status_code
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/routes", "/api/status"])
def test_the_token_opens_everything(client, view, path):
    view.token, view.is_loopback_only = "s3cret", False

    assert client.get(path, headers=bearer("s3cret")).status_code == 200


def test_off_loopback_without_a_token_everything_is_shut(client, view):
    view.is_loopback_only = False
    response = client.get("/api/status")

    assert (403, "no-token") == (response.status_code, response.json["error"]["code"])


def test_a_person_is_sent_to_the_login_form(client, view):
    view.token = "s3cret"
    response = client.get("/")

    assert (303, "/login") == (response.status_code, response.headers["Location"])
    assert '<label for="token">' in client.get("/login").text


@pytest.mark.parametrize("path", ["/differences/0123456789abcdef", "/health", "/nowhere"])
def test_a_browser_without_a_login_is_led_to_it_from_any_page(client, view, path):
    view.token = "s3cret"

    browser = client.get(path, headers={"Accept": "text/html"})
    program = client.get(path)

    assert (303, 401) == (browser.status_code, program.status_code)
    assert f"/login?{urlencode({'page': path})}" == browser.location


def test_a_scrape_may_take_longer_than_a_file_may(client, monkeypatch):
    monkeypatch.setattr("overgrow.files.ANSWER_S", 0.01)
    monkeypatch.setattr(admin_app, "ANSWER_S", 0.01, raising=False)
    monkeypatch.setattr(admin_app, "exposition", lambda *_: Event().wait(0.2) or "written\n")

    assert client.get("/metrics").text == "written\n"


def test_logging_in_sets_a_cookie_that_opens_everything_until_it_runs_out(client, view, clock):
    view.token = "s3cret"

    response = client.post("/login", data={"token": "s3cret"})

    cookie = response.headers["Set-Cookie"]
    assert (303, "/") == (response.status_code, response.headers["Location"])
    assert all(
        part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200")
    )
    assert client.get("/api/status").status_code == 200
    clock[0] += 12 * 3600
    assert client.get("/api/status").status_code == 401


def test_the_cookie_is_secure_behind_tls(client, view):
    view.token = "s3cret"

    response = client.post("/login", data={"token": "s3cret"}, base_url="https://ops.test")

    assert "; Secure" in response.headers["Set-Cookie"]


def test_a_new_token_ends_every_session(client, view):
    view.token = "s3cret"
    client.post("/login", data={"token": "s3cret"})

    view.token = "changed"

    assert client.get("/api/status").status_code == 401


def test_a_wrong_token_sets_no_cookie_and_says_so(client, view):
    view.token = "s3cret"
    response = client.post("/login", data={"token": "guess"})

    assert (401, None) == (response.status_code, response.headers.get("Set-Cookie"))
    assert "not the token" in response.text


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_page_of_another_site_cannot_log_in(client, view, headers):
    view.token = "s3cret"
    response = client.post("/login", data={"token": "s3cret"}, headers=headers)

    assert (403, None) == (response.status_code, response.headers.get("Set-Cookie"))


def test_our_own_page_can_log_in(client, view):
    view.token = "s3cret"
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}

    assert client.post("/login", data={"token": "s3cret"}, headers=headers).status_code == 303


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_a_token_there_is_nothing_to_log_in_to(client, method):
    assert getattr(client, method)("/login", data={"token": "x"}).headers["Location"] == "/"


def test_a_login_too_large_to_be_one_is_refused(client, view):
    view.token = "s3cret"

    assert client.post("/login", data={"token": "x" * 20_000}).status_code == 413


def test_wrong_tokens_are_told_in_the_log_at_once_and_then_once_a_minute(
    client, view, clock, caplog
):
    view.token = "s3cret"
    client.post("/login", data={"token": "guess"})
    for _ in range(21):
        client.get("/metrics", headers=bearer("guess"))
    clock[0] += 60
    client.get("/metrics", headers=bearer("s3cret"))  # whoever asks: none is left untold

    assert [record.message for record in caplog.records] == [
        "wrong-token from=127.0.0.1 times=1",
        "wrong-token from=127.0.0.1 times=21",
    ]


def test_no_token_and_the_right_one_are_told_to_nobody(client, view, caplog):
    view.token = "s3cret"
    client.get("/metrics")
    client.get("/metrics", headers=bearer("s3cret"))
    client.post("/login", data={"token": "s3cret"})

    assert caplog.records == []
