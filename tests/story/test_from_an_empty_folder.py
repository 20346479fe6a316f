"""A team with its own app: install the wheel, `overgrow init`, `overgrow serve`, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.ports import free_port
from tests.story.front import ROOT, eventually, running_front
from tests.story.stub import running_stub

APP = """\
from flask import Flask
def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello/<name>", view_func=lambda name: f"hello {name}", endpoint="hello")
    return app
"""


# A module whose name the package once had; a team may well call one of its own so.
OWN_PROXY = "GREETING = 'hello'\n"
APP_WITH_ITS_OWN_PROXY = APP.replace('f"hello {name}"', 'f"{GREETING} {name}"').replace(
    "from flask", "from proxy import GREETING\nfrom flask"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's content in a folder of its own, as pip lays it out."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "--no-deps", "--no-build-isolation", "--target", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """Run `overgrow` in an empty folder, with the installed package and nothing of the checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OVERGROW_", "SHOP_"))}
    environment = {**kept, "PYTHONPATH": str(installed), "OVERGROW_EXPOSE": "1"}

    def command(*words, wait=True):
        call = [sys.executable, "-m", "overgrow.cli.main", *words]
        if not wait:
            return subprocess.Popen(
                call,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        return subprocess.run(
            call,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return command


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"shop.py": APP}, id="a small app"),
        pytest.param(
            {"shop.py": APP_WITH_ITS_OWN_PROXY, "proxy.py": OWN_PROXY},
            id="an app beside a module called proxy",
        ),
    ],
)
def test_one_migrated_route_and_the_legacy_app_under_one_url(run, tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    port, admin = free_port(), free_port()
    with running_stub(data=tmp_path / "shop.sqlite3") as legacy:
        made = run("init", "--legacy", f"http://127.0.0.1:{legacy}", "--app", "shop:create_app")
        flipped = run("flip", "get-hello-name", "migrated")
        front = run(
            "serve", "--bind", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", wait=False
        )
        with front:
            try:
                hello, cart = eventually(lambda: _both(port))
            finally:
                front.terminate()
                front.stderr.read()

    assert (0, 0) == (made.returncode, flipped.returncode), made.stderr + flipped.stderr
    assert (200, b"hello ada", "migrated") == hello
    assert (200, "legacy") == (cart[0], cart[2])


def _both(port):
    answers = [_answer_of(port, path) for path in ("/hello/ada", "/cart")]
    return None if None in answers else answers


def _answer_of(port, path):
    """Status, body and side of one answer; None while nobody answers."""
    import http.client  # noqa: PLC0415

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        side = answer.headers["X-Overgrow"].partition("side=")[2].partition(";")[0]
        return answer.status, answer.read(), side
    except OSError:
        return None
    finally:
        connection.close()


def test_the_first_hour_in_six_commands(run, tmp_path):
    port, admin = free_port(), free_port()
    places = ("--bind", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--workers", "2")
    with running_stub(data=tmp_path / "shop.sqlite3") as legacy:
        front = run("serve", "--legacy", f"http://127.0.0.1:{legacy}/", *places, wait=False)
        with front:
            try:
                before = eventually(lambda: _answer_of(port, "/hello/ada"))
                (tmp_path / "shop.py").write_text(APP)
                done = [
                    run("init", "--add", "--app", "shop:create_app"),
                    run("reload"),
                    run("flip", "get-hello-name", "migrated"),
                ]
                flipped = _answer_of(port, "/hello/ada")
                (tmp_path / "shop.py").write_text(APP.replace("hello {name}", "salve {name}"))
                done.append(run("reload"))
                changed = _answer_of(port, "/hello/ada")
            finally:
                front.terminate()
                front.stderr.read()

    assert [0, 0, 0, 0] == [each.returncode for each in done], [each.stderr for each in done]
    assert (404, "legacy") == (before[0], before[2])
    assert (200, b"hello ada", "migrated") == flipped
    assert (200, b"salve ada", "migrated") == changed


def test_init_never_overwrites(run, tmp_path):
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "routes.yaml").write_text("mine")

    done = run("init", "--legacy", "http://127.0.0.1:1", "--app", "shop:create_app")

    assert (1, "mine") == (done.returncode, (tmp_path / "routes.yaml").read_text())
    assert "already exists" in done.stderr


def test_an_app_that_cannot_be_imported_stops_init_with_its_reason(run, tmp_path):
    (tmp_path / "shop.py").write_text("import nothing_like_that\n")

    done = run("init", "--legacy", "http://127.0.0.1:1", "--app", "shop:create_app")

    assert 1 == done.returncode
    assert "No module named 'nothing_like_that'" in done.stderr
    assert "shop.py:1" in done.stderr


def test_an_app_that_cannot_be_imported_does_not_stop_the_way_back(run, tmp_path):
    (tmp_path / "shop.py").write_text(APP)
    run("init", "--legacy", "http://127.0.0.1:1", "--app", "shop:create_app")
    run("flip", "get-hello-name", "migrated")
    (tmp_path / "shop.py").write_text("1/0\n")

    forth = run("flip", "get-hello-name", "50%")
    back = run("flip", "get-hello-name", "legacy")
    kill, resume = run("rollback", "--all"), run("resume")

    assert [0, 0, 0] == [one.returncode for one in (back, kill, resume)]
    assert "ZeroDivisionError" in forth.stderr or forth.returncode == 0


@pytest.mark.parametrize(
    ("table", "told"),
    [
        pytest.param(None, ["routes.yaml:1:1", "[file-missing]"], id="no file"),
        pytest.param(
            "version: 1\nlegacy: {url: 'http://127.0.0.1:1'}\n"
            "routes:\n  - {path: /a, target: nowhere}\n  - {path: /b, target: legacy, canary: 120%}\n",
            ["routes.yaml:4:", "routes.yaml:5:", "[canary-out-of-range]"],
            id="two problems, both told",
        ),
        pytest.param("version: [1\n", ["routes.yaml:2:", "[yaml-syntax]"], id="not YAML"),
    ],
)
def test_serve_refuses_a_bad_table_with_every_problem(run, tmp_path, table, told):
    (tmp_path / "shop.py").write_text(APP)
    if table is not None:
        (tmp_path / "routes.yaml").write_text(table + "app: shop:create_app\n")

    done = run("serve", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:1")

    assert 2 == done.returncode, done.stderr
    assert [] == [words for words in told if words not in done.stderr], done.stderr


def test_the_kill_file_works_with_a_broken_table(tmp_path):
    data = tmp_path / "shop.sqlite3"
    table = (
        "version: 1\napp: migrated:create_app\nlegacy:\n  url: ${LEGACY_URL}\nroutes:\n"
        "  - name: products\n    path: /api/products\n    target: migrated\n"
    )
    with (
        running_stub(data=data) as legacy,
        running_front(table, tmp_path, legacy, data=data) as front,
    ):
        front.config.write_text("version: [")
        done = front.overgrow("rollback", "--all", "--wait")
        shown = front.get("/api/products")[1]["X-Overgrow"]

    assert (0, "legacy") == (done.returncode, shown.partition("side=")[2].partition(";")[0])
