"""`overgrow serve` with the sockets of a service manager, which stay open while it restarts."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys

import pytest

from tests.activation import ServiceManager, address_of, listen_tcp, listen_unix
from tests.programs import needed
from tests.wire.serving.servers import PATIENCE_S, Client, status_of
from tests.wire.serving.test_serve_for_real import Served, Site
from tests.wire.serving.test_serving_answers import get

SERVE = [sys.executable, "-B", "-m", "overgrow.cli.main", "serve", "--workers", "1"]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class ActivatedSite(Site):
    """A folder to serve from, with sockets that somebody else holds."""

    def run(self, manager: ServiceManager, *arguments: str, **env: str) -> Served:
        command = [*SERVE, *arguments]
        return Served(manager.run(command, {**self.env, **env}, cwd=self.folder, **PIPES))


@pytest.fixture
def site(tmp_path):
    return ActivatedSite(tmp_path)


@pytest.fixture
def both():
    with ServiceManager(public=listen_tcp(), admin=listen_tcp()) as manager:
        yield manager


def ask(sock: socket.socket, path: str) -> bytes:
    with Client(address_of(sock)) as client:
        client.send(get(path, "Connection: close"))
        return client.read_to_end()


def test_both_listeners_use_the_passed_sockets(site, both):
    with site.run(both) as served:
        hello = ask(both.sockets["public"], "/hello")
        ready = ask(both.sockets["admin"], "/readyz")

    assert served.public == f"http://{address_of(both.sockets['public'])}"
    assert hello.endswith(b"one")
    assert status_of(ready) == 200


def test_the_name_admin_counts_whatever_the_order(site):
    with ServiceManager(admin=listen_tcp(), public=listen_tcp()) as manager, site.run(manager):
        assert ask(manager.sockets["public"], "/hello").endswith(b"one")
        assert status_of(ask(manager.sockets["admin"], "/readyz")) == 200


def test_one_passed_socket_is_public_and_serve_opens_the_admin_listener(site):
    with (
        ServiceManager(web=listen_tcp()) as manager,
        site.run(manager, "--admin", "127.0.0.1:0") as served,
    ):
        assert ask(manager.sockets["web"], "/hello").endswith(b"one")
        assert status_of(served.asked("/readyz", served.admin)) == 200


def test_an_admin_socket_alone_leaves_bind_to_serve(site):
    with (
        ServiceManager(admin=listen_tcp()) as manager,
        site.run(manager, "--bind", "127.0.0.1:0") as served,
    ):
        assert served.asked("/hello").endswith(b"one")
        assert status_of(ask(manager.sockets["admin"], "/readyz")) == 200


def test_two_sockets_without_the_name_admin_are_refused(site):
    with ServiceManager(one=listen_tcp(), two=listen_tcp()) as manager:
        code, told = site.run(manager).refusal()

    assert code == 2
    assert "Write FileDescriptorName=admin in the .socket unit of the admin listener" in told


def test_an_address_given_besides_is_reported_and_not_used(site, both):
    with site.run(both, "--bind", "127.0.0.1:1") as served:
        assert ask(both.sockets["public"], "/hello").endswith(b"one")

    assert (
        "note: --bind 127.0.0.1:1 is not used: the service manager passed a socket" in served.notes
    )


def test_a_passed_admin_socket_for_other_machines_needs_a_token(site):
    everywhere = socket.create_server(("0.0.0.0", 0))
    with ServiceManager(public=listen_tcp(), admin=everywhere) as manager:
        code, told = site.run(manager).refusal()

    assert code == 2
    assert "OVERGROW_ADMIN_TOKEN is not set" in told


def test_a_unix_socket_keeps_its_file_and_its_mode(site, tmp_path):
    path = tmp_path / "front.sock"
    with ServiceManager(public=listen_unix(path, 0o640), admin=listen_tcp()) as manager:
        with site.run(manager) as served:
            assert served.asked("/hello").endswith(b"one")
            mode = stat.S_IMODE(path.stat().st_mode)
        with site.run(manager) as served:
            assert served.asked("/hello").endswith(b"one")

    assert mode == 0o640


def test_an_own_unix_socket_beside_a_passed_one_is_removed_at_the_end(site, tmp_path):
    path = tmp_path / "admin.sock"
    with (
        ServiceManager(public=listen_tcp()) as manager,
        site.run(manager, "--admin", f"unix:{path}"),
    ):
        was_there = path.is_socket()

    assert was_there
    assert not path.exists()


def test_a_client_that_comes_while_no_process_runs_is_served_later(site, both):
    with site.run(both) as served:
        served.process.terminate()
        assert served.process.wait(PATIENCE_S) == 0
    with Client(address_of(both.sockets["public"])) as early:
        early.send(get("/hello", "Connection: close"))
        with site.run(both):
            assert early.read_to_end().endswith(b"one")


def test_variables_of_another_process_are_ignored(site):
    site.env |= {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "public:admin"}
    with site.serve() as served:
        assert served.asked("/hello").endswith(b"one")


def test_the_service_manager_hears_ready_and_stopping(site, both, tmp_path):
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(PATIENCE_S)
        with site.run(both, NOTIFY_SOCKET=str(path)) as served:
            ready = heard.recv(1000)
            served.process.terminate()
            stopping = heard.recv(1000)

    assert ready.startswith(b"READY=1\n")
    assert stopping.startswith(b"STOPPING=1\n")


def test_systemd_socket_activate_starts_it_at_the_first_request(site):
    program = needed("systemd-socket-activate", "systemd")
    with listen_tcp() as one, listen_tcp() as two:
        public, admin = address_of(one), address_of(two)
    listen = ["-l", public, "-l", admin, "--fdname=public:admin"]
    passed = [f"-E{name}={value}" for name, value in site.env.items()]
    process = subprocess.Popen(
        [program, *listen, *passed, *SERVE], cwd=site.folder, text=True, stderr=subprocess.PIPE
    )
    try:
        process.stderr.readline()  # it listens
        process.stderr.readline()
        with Client(f"http://{public}") as client:
            client.send(get("/hello", "Connection: close"))
            assert client.read_to_end().endswith(b"one")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def test_the_children_of_the_app_see_no_variable_of_the_activation(site, both):
    (site.folder / "site_under_test.py").write_text(
        "import os\nfrom flask import Flask\n"
        "def create_app():\n"
        "    app = Flask(__name__)\n"
        "    app.add_url_rule('/hello', view_func=lambda: ','.join(\n"
        "        name for name in os.environ if name.startswith(('LISTEN_', 'NOTIFY_'))) or 'none')\n"
        "    return app\n"
    )
    with site.run(both, NOTIFY_SOCKET="/nowhere"):
        assert ask(both.sockets["public"], "/hello").endswith(b"none")
