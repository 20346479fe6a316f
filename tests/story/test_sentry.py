"""Sentry hears of the errors of the migrated side, and of nothing that a client sent."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.ports import free_port
from tests.story.fake_sentry import running_sentry
from tests.story.front import PATIENCE_S, environment_for, eventually, running_front
from tests.story.stub import running_stub

APP = """\
from flask import Flask, request


def create_app():
    app = Flask("failing")

    @app.route("/orders/<int:number>", methods=["GET", "POST"])
    def order(number):
        password = request.values.get("password")
        raise RuntimeError(f"order {number}: no {password}, {request.get_data(as_text=True)}")

    @app.get("/fine/<name>")
    def fine(name):
        return name

    def crash(environ, start_response):
        if environ["PATH_INFO"] == "/crash":
            raise LookupError("outside Flask")
        return inner(environ, start_response)

    inner, app.wsgi_app = app.wsgi_app, crash
    app.add_url_rule("/crash", view_func=lambda: "never")
    return app
"""
TABLE = """\
version: 1
app: failing_app:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: order, path: /orders/<int:number>, target: migrated}
  - {name: fine, path: /fine/<name>, target: migrated}
  - {name: crash, path: /crash, target: migrated}
"""


@contextmanager
def front_with_sentry(
    folder, dsn, legacy_port=None, app=APP, table=TABLE, *, workers=1, **settings
):
    (folder / "failing_app.py").write_text(app)
    settings = {"SENTRY_DSN": dsn} | settings
    with running_front(
        table,
        folder,
        legacy_port or free_port(),
        data=folder / "d",
        workers=workers,
        **settings,
    ) as front:
        yield front


def log_of(front):
    return (front.config.parent / "serve.log").read_text()


def test_an_error_of_a_view_has_route_side_and_reason(tmp_path):
    with running_sentry() as sentry, front_with_sentry(tmp_path, sentry.dsn) as front:
        assert front.get("/orders/7")[0] == 500
        event = eventually(lambda: sentry.events)[0]

    assert event["transaction"] == "GET /orders/<int:number>"
    assert event["tags"] == {
        "overgrow.route": "order",
        "overgrow.side": "migrated",
        "overgrow.reason": "target",
    }
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert event["request"]["url"].endswith("/orders/<int:number>")
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "order"
    assert not any("vars" in frame for frame in frames)


def test_an_error_outside_flask_is_reported_once(tmp_path):
    with running_sentry() as sentry, front_with_sentry(tmp_path, sentry.dsn) as front:
        front.get("/crash")
        front.get("/orders/7")
        eventually(lambda: len(sentry.events) >= 2)

    types = [event["exception"]["values"][-1]["type"] for event in sentry.events]
    assert types == ["LookupError", "RuntimeError"]
    assert sentry.events[0]["tags"]["overgrow.route"] == "crash"


def test_only_migrated_requests_become_transactions(tmp_path):
    with (
        running_stub(data=tmp_path / "shop.sqlite3") as legacy,
        running_sentry() as sentry,
        front_with_sentry(tmp_path, sentry.dsn, legacy, SENTRY_TRACES_SAMPLE_RATE="1") as front,
    ):
        assert front.get("/")[0] == 200
        assert front.get("/fine/ash")[0] == 200
        eventually(lambda: sentry.items("transaction"))

    (transaction,) = sentry.items("transaction")
    assert transaction["transaction"] == "GET /fine/<name>"
    assert transaction["contexts"]["trace"]["op"] == "http.server"
    assert transaction["tags"]["overgrow.side"] == "migrated"


def test_a_report_continues_the_clients_trace(tmp_path):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with running_sentry() as sentry, front_with_sentry(tmp_path, sentry.dsn) as front:
        front.get("/orders/7", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        event = eventually(lambda: sentry.events)[0]

    assert event["contexts"]["trace"]["trace_id"] == trace


@pytest.mark.parametrize("kind", ["hangs", "is away", "answers an error", "answers garbage"])
def test_a_broken_sentry_delays_nobody_and_is_logged_once(tmp_path, kind):
    with running_sentry() as sentry:
        sentry.status = {"hangs": None, "answers an error": 500}.get(kind, 200)
        sentry.garbage = b"\x00\xff\r\n\r\n" if kind == "answers garbage" else None
        gone = f"http://key@127.0.0.1:{free_port()}/7"
        dsn = gone if kind == "is away" else sentry.dsn
        with front_with_sentry(tmp_path, dsn) as front:
            statuses = [front.get(f"/orders/{number}")[0] for number in range(5)]
            if kind != "hangs":
                eventually(lambda: "sentry-fails" in log_of(front))
                metrics = front.get("/metrics", admin=True)[2].decode()
                assert 'overgrow_telemetry_failures_total{receiver="sentry"}' in metrics
        sentry.ends.set()

    assert statuses == [500] * 5
    assert log_of(front).count("sentry-fails") <= 1
    assert "stopped exit=0" in log_of(front)
    assert "0123456789abcdef" not in log_of(front)


def test_sentry_that_comes_back_is_logged_once(tmp_path):
    port = free_port()
    with front_with_sentry(tmp_path, f"http://key@127.0.0.1:{port}/7") as front:
        front.get("/orders/1")
        eventually(lambda: "sentry-fails" in log_of(front))
        with running_sentry(port) as sentry:
            eventually(lambda: front.get("/orders/2") and sentry.events)
            eventually(lambda: "sentry-works-again" in log_of(front))


def test_an_address_that_is_none_stops_nothing(tmp_path):
    with front_with_sentry(tmp_path, "http://no-key/at-all", workers=2) as front:
        assert front.get("/fine/ash")[0] == 200
        eventually(lambda: "sentry-fails why='SENTRY_DSN" in log_of(front))

    assert log_of(front).count("sentry-fails") == 1
    assert "no-key" not in log_of(front)


def test_without_an_address_the_sdk_is_not_imported(tmp_path):
    app = APP.replace("return name", "import sys; return str('sentry_sdk' in sys.modules)")
    with front_with_sentry(tmp_path, "", app=app) as front:
        assert front.get("/fine/x")[2] == b"False"


def test_the_apps_own_client_stays_and_gets_the_tags(tmp_path):
    init = "    import sentry_sdk\n    sentry_sdk.init(environment='of-the-app')\n"
    app = APP.replace('    app = Flask("failing")\n', init + '    app = Flask("failing")\n')
    with running_sentry() as sentry, front_with_sentry(tmp_path, sentry.dsn, app=app) as front:
        front.get("/orders/7?password=hunter2-in-the-query")
        front.get("/crash")
        eventually(lambda: len(sentry.events) >= 2)

    first = sentry.events[0]
    assert first["environment"] == "of-the-app"
    assert first["tags"]["overgrow.route"] == "order"
    assert first["transaction"] == "GET /orders/<int:number>"
    assert b"hunter2" not in b"".join(sentry.envelopes)


MOUNT = """\
from overgrow import create_app
client = create_app().test_client()
client.get("/orders/7?password=hunter2-in-the-query")
client.post("/orders/8", data={"password": "hunter2-in-the-form"})
"""


def test_the_wsgi_mount_reports_with_tags_and_without_secrets(tmp_path):
    (tmp_path / "failing_app.py").write_text(APP)
    (tmp_path / "routes.yaml").write_text(TABLE)
    with running_sentry() as sentry:
        environment = environment_for(9, tmp_path / "d", SENTRY_DSN=sentry.dsn)
        run = [sys.executable, "-c", MOUNT]
        subprocess.run(run, cwd=tmp_path, env=environment, check=True, timeout=PATIENCE_S)

    assert [each["transaction"] for each in sentry.events] == [
        "GET /orders/<int:number>",
        "POST /orders/<int:number>",
    ]
    assert {each["tags"]["overgrow.route"] for each in sentry.events} == {"order"}
    assert b"hunter2" not in b"".join(sentry.envelopes)


SIDES = """\
version: 1
app: failing_app:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: fell-back, path: /products/<int:number>, methods: [GET], target: migrated, fallback: true}
  - {name: copied, path: /orders/<int:number>, target: legacy, shadow: {percent: 100%, noise: 0%}}
  - {name: mounted, prefix: /live, target: migrated}
"""
MOUNTED = """
async def live(scope, receive, send):
    if scope["type"] == "http":
        raise OSError("in a mounted app")


"""


@contextmanager
def listening():
    """A legacy app that answers 200 to each request: its port, and the heads that came."""
    heads = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heads.append(f"{self.requestline}\n{self.headers}".encode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, heads
        server.shutdown()


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The error of each route, by the name of the route; and the heads that legacy saw."""
    folder = tmp_path_factory.mktemp("sides")
    app = APP.replace("\n\ndef create_app", MOUNTED + "def create_app", 1)
    app = app.replace(
        '@app.route("/orders', '@app.get("/products/<int:number>")\n    @app.route("/orders'
    )
    app = app.replace(
        "    return app\n", '    app.extensions["asgi"] = {"/live": live}\n    return app\n'
    )
    with (
        listening() as (port, heads),
        running_sentry() as sentry,
        front_with_sentry(
            folder, sentry.dsn, port, app, SIDES, SENTRY_TRACES_SAMPLE_RATE="1"
        ) as front,
    ):
        for path in ("/products/1", "/orders/2", "/live/3"):
            front.get(path)
        routes = {"fell-back", "copied", "mounted"}
        eventually(lambda: routes <= {each["tags"]["overgrow.route"] for each in sentry.events})
    return {each["tags"]["overgrow.route"]: each for each in sentry.events}, heads


@pytest.mark.parametrize(
    ("route", "name", "kind"),
    [
        ("fell-back", "GET /products/<int:number>", "RuntimeError"),
        ("copied", "GET /orders/<int:number>", "RuntimeError"),
        ("mounted", "GET /live/*", "OSError"),
    ],
)
def test_an_error_is_reported_whoever_asked_the_app(reported, route, name, kind):
    event = reported[0][route]

    assert event["transaction"] == name
    assert event["exception"]["values"][-1]["type"] == kind
    assert event["tags"]["overgrow.side"] == "migrated"
    assert ("overgrow.shadow" in event["tags"]) == (route == "copied")


def test_no_header_of_sentry_reaches_legacy(reported):
    heads = b"".join(reported[1]).lower()

    assert b"get /products/1" in heads
    assert b"sentry-trace" not in heads
    assert b"baggage" not in heads
