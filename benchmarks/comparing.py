"""What comparing two pages costs: processor time of one comparison, from both answers to what is kept.

    python -m benchmarks comparing [--base CHECKOUT] [--rounds 5]
    python -m benchmarks comparing --load 20 [--seconds 20]

The pages are like those of an admin site: a form with a token, a table of rows, a time at the end. Of
two answers the token and the time differ. With --base the same is measured in another checkout, in
turns, each with the interpreter of its own .venv. With --load sixteen routes are asked at so many requests a
second, and it is said which share of each is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

SIZES_KB = (3, 8, 20)
GOAL_MS = 10.0  # one comparison of 20 KB
ROUND_S = 0.3
HERE = Path(__file__).resolve().parents[1]
_HEAD = """<!DOCTYPE html>
<html lang="en-us"><head><title>Select product to change | Site admin</title>
<link rel="stylesheet" href="/static/admin/css/base.css"><script src="/static/admin/js/theme.js" defer></script>
<meta name="viewport" content="width=device-width, initial-scale=1.0"></head>
<body class="app-shop change-list"><div id="container"><header id="header"><h1><a href="/admin/">Admin</a></h1></header>
<form id="changelist-form" method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<table id="result_list"><thead><tr><th>Name<th>Price<th>Stock</tr></thead><tbody>
"""
_ROW = """<tr class="row{odd}"><td class="action-checkbox"><input type="checkbox" name="_selected" value="{n}"></td>
  <th class="field-name"><a href="/admin/shop/product/{n}/change/">Product number {n} &amp; more</a></th>
  <td class="field-price nowrap">{n}.90</td><td><img src="/static/admin/img/icon-yes.svg" alt="True"></td></tr>
"""
_TAIL = "</tbody></table></form></div><!-- END --><p>Served in {ms} ms</p></body></html>\n"


def page(size_kb: int, token: str, ms: int) -> bytes:
    """A page of about so many kilobytes."""
    rows, size, n = [], len(_HEAD) + len(_TAIL), 0
    while size < size_kb * 1000:
        rows.append(_ROW.format(odd=n % 2, n=n))
        size, n = size + len(rows[-1]), n + 1
    return (_HEAD.format(token=token) + "".join(rows) + _TAIL.format(ms=ms)).encode()


def _find(*names: str) -> Any:
    """Return the first of these that the measured checkout has; each is `MODULE.NAME` in its part shadow."""
    folders = ("overgrow.shadow.compare", "overgrow.shadow.redact", "overgrow.shadow.values")
    for name, folder in product(names, (*folders, "proxy.shadow")):  # the last of older checkouts
        module, _, attribute = name.partition(".")
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return getattr(importlib.import_module(f"{folder}.{module}"), attribute)
    raise ModuleNotFoundError(names[0])


def comparison_ms(size_kb: int) -> float:
    """Milliseconds of processor time of one comparison."""
    compare = _find("compare.compare")
    redact_pair = _find("redacting.redact_pair", "redact.redacted_pair")
    Snapshot = _find("snapshot.ResponseSnapshot", "answer.Answer")  # noqa: N806  a class
    request = _find("redact.RedactedRequest", "redact.Asked")("GET", "/admin")

    heads = (b"content-type", b"text/html; charset=utf-8"), (b"vary", b"Cookie")
    control, candidate = (
        Snapshot(200, heads, page(size_kb, token * 64, ms)) for token, ms in (("a", 12), ("b", 15))
    )
    count, began_s = 0, time.process_time()
    while (spent_s := time.process_time() - began_s) < ROUND_S:
        found = compare(control, candidate)
        redact_pair(request, control, candidate, found.differences)
        count += 1
    return spent_s / count * 1000


def measured_in(checkout: Path) -> list[float]:
    """The figures of one round in a checkout, by size."""
    command = [str(checkout / ".venv/bin/python"), str(Path(__file__)), "--round"]
    done = subprocess.run(
        command, env={"PYTHONPATH": f"{checkout}:{checkout}/proxy"}, capture_output=True, check=True
    )
    return [float(each) for each in json.loads(done.stdout)]


def main(argv: Sequence[str]) -> int:
    """Measure in turns and print the medians; 1 if the goal is not met."""
    parser = argparse.ArgumentParser("python -m benchmarks comparing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--base", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", type=float, metavar="RATE", help="requests/s, for --seconds")
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args(argv)
    if asked.load:
        from benchmarks.comparing_load import measured  # noqa: PLC0415  it imports this module

        return measured(asked.load, asked.seconds)
    checkouts = {"here": HERE} | ({"base": asked.base} if asked.base else {})
    rounds: dict[str, list[list[float]]] = {name: [] for name in checkouts}
    for _ in range(asked.rounds):
        for name, checkout in checkouts.items():
            rounds[name].append(measured_in(checkout))
    medians = {name: [*map(statistics.median, zip(*rounds[name], strict=True))] for name in rounds}
    for at, size_kb in enumerate(SIZES_KB):
        told = ", ".join(f"{name} {figures[at]:.2f} ms" for name, figures in medians.items())
        print(f"{size_kb} KB of HTML, one comparison: {told}")
    return int(medians["here"][-1] > GOAL_MS)


if __name__ == "__main__":
    print(json.dumps([comparison_ms(size_kb) for size_kb in SIZES_KB]))
