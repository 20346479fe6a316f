"""The admin API of a running front door, by requests that its own description allows, and some that it forbids.

No answer is an error of the server, and none is another one than described. Legacy is down all the while, and the requests
flip, kill and resume, so that the answers come from all states.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.programs import is_missed
from tests.story.front import Front, eventually, running_front

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".venv" / "api" / "bin" / "schemathesis"
CONFIG = Path(__file__).with_suffix("").parent / "schemathesis.toml"
TOKEN = "s3cret-of-ops"
READ_TOKEN = "one-that-only-looks"
EXAMPLES = 8  # of each endpoint, beside those that try each parameter
TABLE = """\
version: 1
app: migrated:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: product-list, path: /products, methods: [GET], target: migrated, shadow: 10%}
  - {name: product-detail, path: "/products/<int:id>", methods: [GET], target: legacy, canary: 25%}
  - {name: api-products, path: /api/products, methods: [GET], target: legacy, require: {clean: 299}}
  - {name: orders, path: /api/orders, methods: [GET, POST], target: legacy, group: ordering}
  - {name: order-detail, path: "/api/orders/<int:id>", methods: [GET], target: legacy, group: ordering}
  - {name: ledger, prefix: /ledger, target: gone}
"""
NAMES = ["product-list", "product-detail", "api-products", "orders", "ledger", "default", "nobody"]
ONLY_KNOWN = (
    "--mode",
    "positive",
    "--phases",
    "fuzzing",
    "--exclude-checks",
    "positive_data_acceptance",
)
KNOWN = {  # values that lead further into the code than any text would
    "name": NAMES,
    "route": NAMES,
    "group": ["ordering", "nobody"],
    "to": ["legacy", "migrated", "gone", "0%", "12.5%", "100%", "101%"],
    "side": ["legacy", "migrated"],
}


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    if not PROGRAM.exists():
        is_missed("schemathesis is not installed: make .venv/.api-installed")
    folder = tmp_path_factory.mktemp("front")
    tokens = {"OVERGROW_ADMIN_TOKEN": TOKEN, "OVERGROW_ADMIN_READ_TOKEN": READ_TOKEN}
    with running_front(
        TABLE, folder, free_port(), data=folder / "shop.sqlite3", workers=2, **tokens
    ) as front:
        yield front


def description(front: Front) -> dict[str, Any]:
    status, _, body = front.get(
        "/api/openapi.json", admin=True, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert 200 == status
    found: dict[str, Any] = json.loads(body)
    return found


def try_requests(front: Front, document: Path, token: str, *words: str) -> None:
    """Send requests made from a description; fail with what was found."""
    command = [
        *(PROGRAM, "--config-file", CONFIG, "run", document),
        *("--url", f"http://127.0.0.1:{front.admin}"),
        *("-H", f"Authorization: Bearer {token}", "--seed", "16", "--no-color"),
        *("--max-examples", str(EXAMPLES)),
        *("--no-shrink", "--warnings", "off", "--request-timeout", "30", "--max-failures", "5"),
        *words,
    ]
    done = subprocess.run(
        command, cwd=document.parent, capture_output=True, text=True, check=False, timeout=300
    )
    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-2000:]


def known_values(found: dict[str, Any]) -> dict[str, Any]:
    """Return a description in which parameters take only values that mean something to this front door."""
    for operations in found["paths"].values():
        for operation in operations.values():
            for each in operation.get("parameters", ()):
                narrow(each["name"], each["schema"])
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, schema in body.get("schema", {}).get("properties", {}).items():
                narrow(name, schema)
    return found


def narrow(name: str, schema: dict[str, Any]) -> None:
    if name in KNOWN and schema.get("type") == "string":
        schema.clear()
        schema.update(type="string", enum=KNOWN[name])


def assert_well(front: Front) -> None:
    """Every worker serves, nothing crashed, and the table and its history are whole."""
    log = (front.config.parent / "serve.log").read_text()
    front.overgrow("resume")

    assert "Traceback" not in log
    assert 2 == len(eventually(lambda: front.workers))
    assert 0 == front.overgrow("check").returncode
    assert 0 == front.overgrow("history").returncode


def test_no_request_is_answered_by_an_error_or_not_as_described(front, tmp_path):
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(description(front)))

    try_requests(front, document, TOKEN, "--phases", "coverage,fuzzing")
    assert_well(front)


def test_requests_that_name_what_exists_are_answered_as_described(front, tmp_path):
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(known_values(description(front))))

    try_requests(
        front, document, TOKEN, "--exclude-checks", "positive_data_acceptance", "--mode", "positive"
    )
    assert_well(front)


def test_the_read_token_is_answered_as_described_and_changes_nothing(front, tmp_path):
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(known_values(description(front))))
    before = front.config.read_bytes(), history(front)

    try_requests(front, document, READ_TOKEN, *ONLY_KNOWN)
    assert before == (front.config.read_bytes(), history(front))


def history(front: Front) -> str:
    return front.overgrow("history", "--json").stdout
