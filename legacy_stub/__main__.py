"""`python -m legacy_stub`: run the shop until TERM or INT."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path

from legacy_stub.routes import answer
from legacy_stub.server import Server
from legacy_stub.shop import open_shop


def arguments() -> argparse.Namespace:
    """Return the command line; what it leaves out comes from the environment."""
    environment = os.environ
    parser = argparse.ArgumentParser(prog="legacy_stub", description="A small legacy shop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free port")
    data = Path(environment.get("SHOP_DATA") or ".shop/shop.sqlite3")
    parser.add_argument("--data", type=Path, default=data, help="SQLite file, made if missing")
    frozen = environment.get("SHOP_FROZEN", "") == "1"
    text = "stop the clock and fix every token"
    parser.add_argument("--frozen", action="store_true", default=frozen, help=text)
    return parser.parse_args()


def raise_file_limit() -> None:
    """Allow as many connections as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Open the shop, say where it listens, and serve."""
    options = arguments()
    raise_file_limit()
    shop = open_shop(options.data, frozen=options.frozen)
    try:
        server = Server((options.host, options.port), partial(answer, shop=shop), shop.clock)
    except OSError as error:
        sys.exit(f"legacy shop: cannot listen on {options.host}:{options.port}: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    print(f"legacy shop on http://{options.host}:{server.port}", flush=True)
    try:
        server.serve()
    finally:
        server.stop()
        shop.data.close()


if __name__ == "__main__":
    main()
