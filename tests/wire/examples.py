"""The examples of deploy/ as running programs: nginx and Caddy, with TLS by a certificate of the test's own.

Rule: an example runs as it is written. Only its ports, its upstream and its certificate are replaced,
and a replacement that finds nothing fails the test.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.programs import needed
from tests.story.front import eventually

ROOT = Path(__file__).resolve().parents[2]
HOST = "shop.example.com"
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for the host of the examples, signed by its own key, and that key."""

    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate for the host of the examples."""
    made = Certificate(folder / "fullchain.pem", folder / "privkey.pem")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-out", str(made.chain), "-keyout", str(made.key)]
    subprocess.run(
        [needed("openssl", "openssl"), *command.split(), *names, *files],
        check=True,
        capture_output=True,
    )
    return made


@dataclass(frozen=True, slots=True)
class Example:
    """A running example and the ports of its two listeners."""

    program: str
    http: int
    https: int
    certificate: Certificate

    def connect(self, *protocols: str) -> ssl.SSLSocket:
        """Connect over TLS; `protocols` are what the client offers by ALPN."""
        trust = ssl.create_default_context(cafile=str(self.certificate.chain))
        if protocols:
            trust.set_alpn_protocols(list(protocols))
        plain = socket.create_connection(("127.0.0.1", self.https), PATIENCE_S)
        return trust.wrap_socket(plain, server_hostname=HOST)

    def connect_plain(self) -> socket.socket:
        """Connect to the listener that speaks plain HTTP."""
        return socket.create_connection(("127.0.0.1", self.http), PATIENCE_S)


def replace_once(text: str, found: str, new: str) -> str:
    """Replace a text that must be there exactly once."""
    assert text.count(found) == 1, found
    return text.replace(found, new)


def nginx_config(folder: Path, http: int, https: int, upstream: int, made: Certificate) -> str:
    """Return a whole configuration of nginx around the example."""
    text = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    for found, new in (
        ("    listen 80;\n    listen [::]:80;\n", f"    listen 127.0.0.1:{http};\n"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{https} ssl http2;"),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream};"),
        ("/etc/ssl/overgrow/fullchain.pem", str(made.chain)),
        ("/etc/ssl/overgrow/privkey.pem", str(made.key)),
        ("/var/www/acme", str(folder / "acme")),
    ):
        text = replace_once(text, found, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    main = f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/log;\nevents {{}}\n"
    debians = "gzip on;\n"  # what Debian's nginx.conf says for every site
    return f"{main}http {{\naccess_log off;\n{debians}{folders}{text}}}\n"


def caddy_config(http: int, https: int, upstream: int, made: Certificate) -> str:
    """Return the example of Caddy on other ports, and with a certificate that needs no authority."""
    text = (ROOT / "deploy/Caddyfile").read_text("utf-8")
    text = replace_once(text, "127.0.0.1:8000", f"127.0.0.1:{upstream}")
    site = f"{HOST} {{\n"
    text = replace_once(text, site, f"{site}\tbind 127.0.0.1\n\ttls {made.chain} {made.key}\n")
    ports = f"\thttp_port {http}\n\thttps_port {https}\n"
    return f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n{ports}}}\n\n{text}"


@contextmanager
def running_example(program: str, upstream: int, folder: Path) -> Iterator[Example]:
    """Run one of the examples before a server on a port, until the block ends."""
    path = needed(program, program)
    example = Example(program, free_port(), free_port(), make_certificate(folder))
    ports = (example.http, example.https, upstream, example.certificate)
    config = folder / f"{program}.conf"
    if program == "nginx":
        config.write_text(nginx_config(folder, *ports), "utf-8")
        words = ["-p", str(folder), "-c", str(config), "-e", str(folder / "log")]
    else:
        config.write_text(caddy_config(*ports), "utf-8")
        words = ["run", "--config", str(config), "--adapter", "caddyfile"]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    output = (folder / "output").open("wb")
    with output, subprocess.Popen([path, *words], env=environment, stderr=output) as process:
        try:
            eventually(lambda: accepts(example.https) and accepts(example.http))
            yield example
        finally:
            process.terminate()


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
