"""What a client sends stays in: secrets in every place, all receivers on, and a search through all that leaves."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.otlp import SERVER, running_collector, settings_for
from tests.story.fake_sentry import KEY, running_sentry
from tests.story.front import eventually, running_front
from tests.story.stub import running_stub
from tests.story.test_notifications import receiving

# The app quotes everything in its exceptions, its log, its statements and what it adds to reports.
APP = """\
import _thread
import logging
import threading

import sentry_sdk
import sqlalchemy
from flask import Flask, request

ENGINE = sqlalchemy.create_engine("sqlite://")


def create_app():
    app = Flask("quoting")
    app.logger.setLevel(logging.CRITICAL + 1)  # its own log is its own affair
    logging.getLogger("side-log").addHandler(logging.NullHandler())
    logging.getLogger("side-log").propagate = False

    @app.get("/products/<name>", endpoint="copied")
    @app.route("/quoting/<name>", methods=["GET", "POST"])
    def quote(name):
        everything = [*request.headers.values(), *request.values.values(), *request.cookies.values()]
        everything += [request.get_data(as_text=True), name, str(request.get_json(silent=True))]
        everything += [request.full_path, repr(request.environ.get("overgrow.identity"))]
        login = request.authorization
        everything += [login.token or login.password] if login else []
        sentry_sdk.add_breadcrumb(message=everything[0], data={"all": everything})
        sentry_sdk.set_context("quoted", {"all": everything})
        sentry_sdk.set_user({"id": everything[0]})
        with ENGINE.connect() as connection:
            connection.exec_driver_sql(f"SELECT '{name}'")
        logging.getLogger("side-log").error("all: %s", everything)
        beside = threading.Thread(target=logging.getLogger("side-log").error, args=(str(everything),))
        beside.start()
        beside.join()
        _thread.start_new_thread(logging.getLogger("side-log").error, (str(everything),))
        raise RuntimeError(f"cannot serve {everything}")

    return app
"""
TABLE = """\
version: 1
app: quoting_app:create_app
trusted_proxies: [127.0.0.1/32]
legacy: {url: "${LEGACY_URL}"}
identity: {from: header, header: {name: X-Forwarded-User}}
routes:
  - {name: quoting, path: /quoting/<name>, target: migrated, fallback: true}
  - {name: copied, methods: [GET], path: /products/<name>, target: legacy, shadow: {percent: 100%, noise: 0%}}
  - {name: forwarded, prefix: /forwarded, target: legacy}
"""
MARK = "z7Qk9"


def seed(place):
    return f"{MARK}.{place}.{MARK}"


HEADERS = {
    "Cookie": f"session={seed('cookie')}; other=1",
    "X-Api-Key": seed("api-key"),
    "X-Custom": f"before {seed('custom')} after",
    "X-Forwarded-User": seed("identity"),
    "Referer": f"http://shop.example/?token={seed('referer')}",
    "Baggage": f"sentry-user_id={seed('baggage')}",
    "Sentry-Trace": seed("sentry-trace"),
}
LOGINS = [
    f"Bearer {seed('bearer')}",
    "Basic " + base64.b64encode(f"ann:{seed('basic')}".encode()).decode(),
]
QUERY = f"?password={seed('query')}&{seed('bare-query')}"
PARTS = (
    f'--b\r\nContent-Disposition: form-data; name="card"\r\n\r\n{seed("multipart")}\r\n'
    f'--b\r\nContent-Disposition: form-data; name="f"; filename="{seed("file-name")}"\r\n\r\n'
    f"{seed('file')}\r\n--b--\r\n"
)
BODIES = [
    ("application/x-www-form-urlencoded", f"card={seed('form')}&x=1"),
    ("application/json", json.dumps({"a": [{"card": seed("json")}]})),
    (
        "multipart/form-data; boundary=b",
        PARTS,
    ),
    ("text/plain", seed("text")),
]


PLACES = (
    *("cookie", "api-key", "custom", "identity", "referer", "baggage", "sentry-trace", "bearer"),
    *("basic", "query", "bare-query", "form", "json", "multipart", "file-name", "file", "text"),
)
SEEDS = [*map(seed, PLACES), LOGINS[1].removeprefix("Basic ")]


def send(front, path, login, content_type=None, body=None):
    headers = {**HEADERS, "Authorization": login}
    if content_type is not None:
        headers["Content-Type"] = content_type
    address = f"http://127.0.0.1:{front.port}{path}{QUERY}"
    data = None if body is None else body.encode()
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()


def send_everything(front):
    sent = 0
    for login in LOGINS:
        for place in ("/quoting/", "/products/", "/forwarded/"):
            send(front, place + seed("path"), login)
            sent += 1
    for content_type, body in BODIES:
        for place in ("/quoting/", "/forwarded/"):
            send(front, place + seed("path"), LOGINS[0], content_type, body)
            sent += 1
    return sent


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Everything that left, or was written down, by its name."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "quoting_app.py").write_text(APP)
    with ExitStack() as stack:
        sentry = stack.enter_context(running_sentry())
        collector = stack.enter_context(running_collector())
        receiver = stack.enter_context(receiving())
        legacy = stack.enter_context(running_stub(data=folder / "shop.sqlite3"))
        settings = settings_for(
            collector.port,
            SENTRY_DSN=sentry.dsn,
            SENTRY_TRACES_SAMPLE_RATE="1",
            OVERGROW_WEBHOOK_URL=receiver.url,
            OVERGROW_ACCESS_LOG="json",
            OVERGROW_ACCESS_LOG_FILE=str(folder / "access.jsonl"),
        )
        front = stack.enter_context(
            running_front(TABLE, folder, legacy, data=folder / "d", workers=2, **settings)
        )
        sent = send_everything(front)
        front.overgrow("flip", "copied", "migrated", "--force", "--reason", "a test")
        eventually(lambda: receiver.has("route.flipped"))
        # More may come: a copy has a span of its own.
        eventually(lambda: sum(span.kind == SERVER for span in collector.spans) >= sent)
        eventually(lambda: len(sentry.items("transaction")) >= 2 + len(BODIES))
        eventually(lambda: len(sentry.events) >= 4 * (2 + len(BODIES)))
        eventually(lambda: len((folder / "access.jsonl").read_bytes().splitlines()) >= sent)
        admin = {
            path: front.get(path, admin=True, headers={"Accept": accept})[2]
            for path, accept in (
                ("/metrics", "text/plain"),
                ("/metrics?openmetrics", "application/openmetrics-text; version=1.0.0"),
                ("/api/status", "*/*"),
                ("/api/decisions", "*/*"),
                ("/api/unrouted", "*/*"),
                ("/api/flips", "*/*"),
            )
        }
        return {
            "sentry": b"".join(sentry.envelopes),
            "spans": b"".join(collector.bodies),
            "webhook": b"".join(body for _, body in receiver.got),
            "access log": (folder / "access.jsonl").read_bytes(),
            "log of events": (folder / "serve.log").read_bytes(),
            "state folder": b"".join(files_below(folder / ".overgrow")),
            **admin,
        }


# The access log and spans have the path, by their conventions; so has the list of recent decisions.
HAVE_THE_PATH = {"access log", "spans", "/api/decisions", "state folder"}


def files_below(folder: Path):
    return [each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()]


@pytest.mark.parametrize(
    "place",
    [
        *("sentry", "spans", "webhook", "access log", "log of events", "state folder"),
        *("/metrics", "/metrics?openmetrics", "/api/status", "/api/decisions", "/api/unrouted"),
        "/api/flips",
    ],
)
def test_no_secret_of_a_request_leaves_by(left, place):
    data = left[place]

    assert data
    secrets = SEEDS if place in HAVE_THE_PATH else [*SEEDS, seed("path")]
    assert [] == [text for text in secrets if text.encode() in data]


OWN = {
    KEY: {"sentry"},  # the header of an envelope names the project that it is for
    "not-for-the-log": set(),  # in the address of the webhook
}


@pytest.mark.parametrize("secret", OWN)
def test_no_secret_of_the_front_door_leaves(left, secret):
    holding = {place for place, data in left.items() if secret.encode() in data}

    assert holding <= OWN[secret]


def test_the_app_did_quote_what_was_sent(left):
    """Else nothing was tried: the redaction says where it hid something."""
    assert left["sentry"].count(b"[Filtered]") > 20
