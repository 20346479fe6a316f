"""The console examples of docs/cli.md, run in order over the table and the app the page shows.

After a change of what commands print, FILL_EXAMPLES=1 writes the page anew; read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path

import pytest

from overgrow.cli.failures import FAILURES
from overgrow.cli.legacy_answer import LegacyAnswer
from overgrow.routing.cohort import bucket_of, canary_limit
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.problems import REFUSALS
from tests.unit.cli.found import answer, compared, learned, put, served

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/cli.md"
CONSOLE = re.compile(r"(^```console\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def with_output(text, run):
    """The page, with what each command of its console blocks prints."""

    def one(found):
        commands = [line for line in found[2].splitlines() if line.startswith("$ ")]
        printed = "".join(f"{line}\n{run(line[2:])}" for line in commands)
        return found[1] + printed + found[3]

    return CONSOLE.sub(one, text)


def steady(text):
    """The text without what differs at each run: times, and the signature of a token."""
    text = re.sub(r"\.\d{10}\.[0-9a-f]{64}", ".EXPIRY.SIGNATURE", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\S+Z", "THEN", text)
    return re.sub(r"\d{4}-\d\d-\d\d", "THAT DAY", text)


def side(requests, errors=0, median_s=None):
    return {"requests": requests, "errors": errors, "median_s": median_s}


def figures(name, target, share, legacy, migrated):
    return {
        "name": name,
        "target": target,
        "canary": 0,
        "live_share": share,
        "requests": legacy["requests"] + migrated["requests"],
        "errors": legacy["errors"] + migrated["errors"],
        "legacy": legacy,
        "migrated": migrated,
    }


ROUTES = [
    figures("cart", "migrated", 100, side(1_204, 3, 0.0612), side(8_311, 1, 0.0184)),
    figures("orders", "legacy", 0, side(15_733, 12, 0.0447), side(402, 0, 0.0121)),
    figures("order-detail", "legacy", 0, side(9_120, 0, 0.0391), side(0)),
    figures("default", "legacy", 0, side(48_006, 31, 0.0523), side(0)),
]


def window(seconds, requests, errors, *percentiles_s):
    names = ("p50_s", "p95_s", "p99_s")
    return {
        "window_s": seconds,
        "requests": requests,
        "per_second": round(requests / seconds, 3),
        "errors": errors,
        **dict(zip(names, percentiles_s, strict=True)),
    }


SIDES = {
    "legacy": {
        "last_minute": window(60, 1_260, 2, 0.0481, 0.212, 0.448),
        "last_five_minutes": window(300, 6_120, 9, 0.0479, 0.208, 0.455),
    },
    "migrated": {
        "last_minute": window(60, 155, 0, 0.0184, 0.044, 0.093),
        "last_five_minutes": window(300, 741, 0, 0.0186, 0.046, 0.097),
    },
}
LOAD = {
    "connections": {"open": 52, "most": 20_000},
    "local_calls": {
        "running": 3,
        "threads": 32,
        "waiting": 0,
        "most_waiting": 128,
        "stuck_threads": 0,
    },
}
BREAKER = {
    "slot": 0,
    "route": "cart",
    "side": "migrated",
    "state": "open",
    "share": 0,
    "retry_after_s": 4,
    "opened_by": {"answers": 24, "failed": 13, "slow": 0},
}


def find(state):
    """Fill the store with what the page tells of: two causes of mismatches, and many matches."""
    order = {"id": 7, "total": 1900, "placed_at": "2026-11-20T09:14:00Z"}
    late = {**order, "placed_at": "2026-11-20T09:14:02Z"}
    text = {**order, "total": "1900"}
    now = time.time()

    def pair(candidate, age_s):
        sides = answer(order), answer(candidate)
        return compared("order-detail", *sides, template="/orders/<int:id>", at=now - age_s)

    tokens = [
        tuple(answer({**order, "request": f"{number * 2 + at:032x}"}) for at in (1, 2))
        for number in range(36)
    ]
    asked = [served("order-detail", template="/orders/<int:id>", at=now - 200)] * 400
    alike = [pair(order, 200)] * 320
    put(
        state,
        *asked,
        *alike,
        learned("order-detail", *tokens),
        *(pair(late, 200 + 600 * number) for number in reversed(range(18))),
        *(pair(text, 200 + 60 * number) for number in reversed(range(6))),
    )


def printed_by(bench, address):
    def run(line):
        words = shlex.split(line)
        given = dict(word.split("=", 1) for word in words[: words.index("overgrow")])
        given["OVERGROW_ADMIN"] = address
        return bench(*words[words.index("overgrow") + 1 :], **given).output

    return run


@pytest.fixture
def ran(bare, admin, ready, monkeypatch):
    """The page as it would be if it were written now."""
    text = PAGE.read_text("utf-8")
    table, mistakes = blocks(text, "yaml")
    bare.table.write_text(table)
    bare.folder.joinpath("mistakes.yaml").write_text(mistakes)
    bare.app.write_text(blocks(text, "python")[0])
    monkeypatch.setenv("LOGNAME", "ada")
    head = LegacyAnswer(200, "OK", "nginx", "text/html; charset=utf-8")
    monkeypatch.setattr("overgrow.cli.init.ask_legacy", lambda _: head)
    find(bare.folder / ".overgrow")

    def answer(path):
        told = ready(revision_of(bare.table.read_bytes()))
        return 200, {
            **told,
            "routes": ROUTES,
            "breakers": [BREAKER],
            "server": {
                "version": "0.1.0",
                "pid": 19657,
                "started_at": "2026-11-29T23:10:04Z",
                "addresses": {"public": "127.0.0.1:8000", "admin": "127.0.0.1:8001"},
            },
            **LOAD,
            "sides": SIDES,
        } if path == "/api/status" else told

    with admin(answer) as (_, address):
        return with_output(text, printed_by(bare, address))


def test_documented_examples_print_what_the_page_shows(ran):
    if os.environ.get("FILL_EXAMPLES") == "1":
        PAGE.write_text(ran, "utf-8")

    assert steady(PAGE.read_text("utf-8")) == steady(ran)


def test_an_example_that_prints_something_else_is_noticed():
    text = "```console\n$ overgrow x\nold\n```\n"

    assert "```console\n$ overgrow x\nnew\n```\n" == with_output(text, lambda line: "new\n")


@pytest.mark.parametrize("code", sorted({**FAILURES, **REFUSALS}))
def test_every_code_of_a_failure_is_documented(code):
    assert f"\n| `{code}` |" in PAGE.read_text("utf-8")


def test_every_code_of_the_commands_is_in_the_table_of_failures():
    sources = (PAGE.parents[1] / "proxy/overgrow/cli").glob("*.py")
    used = {
        code
        for path in sources
        for code in re.findall(r'(?:Failed|Told)\(\s*"([a-z-]+)"', path.read_text("utf-8"))
    }

    assert set() == used - set(FAILURES) - set(REFUSALS)


def test_the_clients_of_the_first_half_hour_are_in_the_canary_as_it_says():
    page = (ROOT / "docs/getting-started.md").read_text("utf-8")
    told = dict(re.findall(r"-b overgrow_id=(\w+) .*: (migrated|legacy)$", page, re.MULTILINE))
    limit = canary_limit(1000)

    assert "flip api-products 10%" in page
    assert len(told) == 2
    assert told == {
        name: "migrated" if bucket_of(name.encode(), "") < limit else "legacy" for name in told
    }
