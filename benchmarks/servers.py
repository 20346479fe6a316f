"""Who is measured: the front door and its peers, each with one worker in front of one upstream.

A peer is a name, what starts it, and whether it is here. Configurations stand in peers/: one
worker, connections to the upstream kept alive, no cache, no access log. The front door runs with
everything on: a table of 53 routes, access log (to /dev/null), metrics, admin listener.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import NotStarted, Running, cores, free_port, python, started

PEERS = Path(__file__).with_name("peers")
THREADS = 16
OVERGROW = "overgrow"
FRONT = "front door"


@dataclass(slots=True)
class Place:
    """Where a run happens: the upstream's port, a folder for files, what has been started."""

    upstream: int
    folder: Path
    running: list[Running] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        port: int,
    ) -> Running:
        """Start a server to be measured, on the cores kept for them."""
        where, _ = cores()
        found = started(name, command, port, self.folder, where=where, environ=environ)
        self.running.append(found)
        return found

    def written(self, name: str, port: int) -> str:
        """A peer's configuration with this run's ports; the path of the file."""
        text = (PEERS / name).read_text("utf-8")
        for word, value in (("FOLDER", self.folder), ("UPSTREAM", self.upstream), ("PORT", port)):
            text = text.replace(word, str(value))
        target = self.folder / name
        target.write_text(text, "utf-8")
        return str(target)

    def stop(self) -> None:
        """End everything that was started here, newest first."""
        while self.running:
            self.running.pop().stop()


@contextlib.contextmanager
def place_in(folder: Path) -> Iterator[Place]:
    """An upstream that runs as long as the block, and an end to all that was started in it."""
    port = free_port()
    _, others = cores()
    upstream = started(
        "upstream", python("-m", "benchmarks.upstream", str(port)), port, folder, where=others
    )
    place = Place(port, folder)
    try:
        yield place
    finally:
        place.stop()
        upstream.stop()


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to measure beside the front door; `lacks` says what to install, or is empty."""

    name: str
    start: Callable[[Place], Running]
    lacks: str = ""


def table_text(upstream: int, shadow: str = "") -> str:
    """A table of 53 routes: pages, templates, prefixes, canaries; six of them measured."""
    lines = ["version: 1", "app: benchmarks.peers.shop:create_app", "legacy:"]
    lines += [f"  url: http://127.0.0.1:{upstream}", "cohort:", "  by: [cookie:overgrow_id]"]
    lines += ["routes:"]
    for at in range(15):
        lines += [f"  - path: /pages/page-{at}", "    target: legacy"]
        lines += [f"  - path: /shop{at}/<int:id>/detail", "    methods: [GET, POST]"]
        lines += ["    target: legacy", f"  - prefix: /area{at}", "    target: legacy"]
    lines += ["  - path: /items/<int:id>", "    methods: [GET]", "    target: legacy"]
    lines += ["  - path: /items/<int:id>/notes", "    target: legacy"]
    lines += ["  - path: /orders/<uuid:id>", "    target: legacy"]
    lines += ["  - path: /moved/<int:number>", "    methods: [GET]", "    target: migrated"]
    lines += ["  - path: /moved/medium", "    target: migrated"]
    lines += ["  - path: /moved/sent", "    target: migrated"]
    lines += ["  - path: /turns/<int:number>", "    name: turns", "    methods: [GET]"]
    lines += ["    target: legacy", "    canary: 0%"]
    lines += ["  - path: /copied/<int:number>", "    name: copied", "    methods: [GET]"]
    lines += ["    target: legacy", *([f"    shadow: {shadow}"] if shadow else [])]
    return "\n".join(lines) + "\n"


def start_front(
    place: Place,
    *,
    workers: int = 1,
    name: str = FRONT,
    shadow: str = "",
    table: str = "",
    sampled: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Running:
    """`overgrow serve`, as users run it; `shadow` is the share of /copied/ that is shadowed.

    `table` replaces the table of 53 routes; `sampled` has its processes sampled (benchmarks.sampler).
    """
    folder = place.folder / f"{name.replace(' ', '-')}-{workers}"
    folder.mkdir(exist_ok=True)
    config = folder / "routes.yaml"
    config.write_text(table or table_text(place.upstream, shadow), "utf-8")
    port, admin = free_port(), free_port()
    (folder / "admin").write_text(str(admin), "utf-8")
    words = ["-m", *(["benchmarks.sampler", str(sampled)] if sampled else [])]
    words += ["overgrow.cli.main", "serve", "--config", str(config), "--workers", str(workers)]
    words += ["--bind", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--grace", "1s"]
    return place.start(name, python(*words), environ=environ, port=port)


def front_folder(place: Place, *, workers: int = 1, name: str = FRONT) -> Path:
    """Where a started front door keeps its routes.yaml, and the port of its admin listener."""
    return place.folder / f"{name.replace(' ', '-')}-{workers}"


def start_nginx(place: Place) -> Running:
    port = free_port()
    config = place.written("nginx.conf", port)
    return place.start("nginx", ["nginx", "-p", str(place.folder), "-c", config], port=port)


def start_caddy(place: Place) -> Running:
    port = free_port()
    config = place.written("Caddyfile", port)
    home = str(place.folder)
    environ = {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
    words = ["caddy", "run", "--config", config, "--adapter", "caddyfile"]
    return place.start("Caddy", words, port=port, environ=environ)


def start_haproxy(place: Place) -> Running:
    port = free_port()
    config = place.written("haproxy.cfg", port)
    return place.start("HAProxy", ["haproxy", "-db", "-f", config], port=port)


def start_aiohttp(place: Place) -> Running:
    port = free_port()
    words = ["-m", "benchmarks.peers.aiohttp_proxy", str(port), str(place.upstream)]
    return place.start("aiohttp by hand", python(*words), port=port)


def start_gthread(place: Place, name: str, app: str) -> Running:
    """A WSGI app under gunicorn with one worker of 16 threads."""
    port = free_port()
    words = ["-m", "gunicorn", "-w", "1", "-k", "gthread", "--threads", str(THREADS)]
    words += ["-b", f"127.0.0.1:{port}", "--keep-alive", "75", "--log-level", "error"]
    words += ["--no-control-socket", app]
    environ = {"UPSTREAM": f"http://127.0.0.1:{place.upstream}"}
    return place.start(name, python(*words), port=port, environ=environ)


def start_flask_httpx(place: Place) -> Running:
    return start_gthread(place, "Flask + httpx", "benchmarks.peers.flask_httpx:create_app()")


def start_werkzeug(place: Place) -> Running:
    return start_gthread(place, "ProxyMiddleware", "benchmarks.peers.werkzeug_proxy:create_app()")


def start_shop(place: Place) -> Running:
    return start_gthread(place, "plain gthread", "benchmarks.peers.shop:create_app()")


def peers() -> list[Peer]:
    """The front door first, then everybody one might use instead."""
    return [
        Peer(FRONT, start_front),
        Peer("nginx", start_nginx, lacks_program("nginx")),
        Peer("Caddy", start_caddy, lacks_program("caddy")),
        Peer("HAProxy", start_haproxy, lacks_program("haproxy")),
        Peer("aiohttp by hand", start_aiohttp, lacks_package("aiohttp")),
        Peer("ProxyMiddleware", start_werkzeug),
        Peer("Flask + httpx", start_flask_httpx),
    ]


def lacks_program(name: str) -> str:
    return "" if shutil.which(name) else f"apt-get install -y {name}"


def lacks_package(name: str) -> str:
    return "" if importlib.util.find_spec(name) else "make bench"


def started_peers(place: Place, names: Sequence[str] | None = None) -> list[Running]:
    """Start everybody who is here; of `names` only, if given. Only the front door must start."""
    found = []
    for peer in peers():
        if peer.lacks or (names is not None and peer.name not in names):
            continue
        try:
            found.append(peer.start(place))
        except NotStarted as error:
            if peer.name == FRONT:
                raise
            print(f"{peer.name} is left out: {error}")
    return found
