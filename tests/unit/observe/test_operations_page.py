import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from flask import Flask

from overgrow.exchange import Failure, FellBack
from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.metrics import METRICS
from tests.unit.observe.exchanges import exchange, head

ROOT = Path(__file__).parents[3]
TELEMETRY = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
DEPLOY = ROOT / "deploy"


def test_every_field_of_the_access_log_is_in_its_table():
    headers = [
        (b"traceparent", b"00-%s-00f067aa0ba902b7-01" % (b"4" * 32)),
        (b"x-request-id", b"r"),
    ]
    failure = Failure("legacy-closed", "body", "legacy", "detail")
    line = JsonLines().format_line(exchange(head=head(headers=headers), failure=failure))

    table = PAGE[PAGE.index("## The access log") : PAGE.index("- **Privacy.**")]
    assert [name for name in json.loads(line) if f"`{name}`" not in table] == []


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_in_its_table_with_its_labels(name):
    row = re.search(rf"^\| `{name}` \|([^|]*)\|", PAGE, re.MULTILINE)

    assert row
    assert list(METRICS[name].labels) == re.findall(r"`(\w+)`", row[1])


def test_every_alarm_is_in_its_table():
    groups = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text("utf-8"))["groups"]
    alarms = [rule["alert"] for group in groups for rule in group["rules"]]

    assert sorted(alarms) == sorted(re.findall(r"^\| `(Overgrow\w+)` \|", PAGE, re.MULTILINE))


def expanded(flat):
    """The objects that dotted names make, as Filebeat's expand_keys does; no name may be both."""
    whole = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
        assert last not in place
        place[last] = value
    return whole


def test_filebeat_makes_objects_of_the_lines_and_keeps_their_time():
    (read,) = yaml.safe_load((DEPLOY / "filebeat.yaml").read_text("utf-8"))["filebeat.inputs"]
    fell = FellBack("500", 500)
    failure = Failure("legacy-closed", "body", "legacy", "detail")
    line = json.loads(JsonLines().format_line(exchange(failure=failure, fallback=fell)))

    (parser,) = read["parsers"]
    assert {"target": "", "expand_keys": True, "overwrite_keys": True} == {
        key: parser["ndjson"][key] for key in ("target", "expand_keys", "overwrite_keys")
    }
    assert expanded(line)["overgrow"]["route"] == "orders"
    assert "@timestamp" in line
    assert f"StandardOutput=append:{read['paths'][0]}\n" in PAGE


def test_sentry_is_called_by_an_app_that_knows_nothing_of_the_front_door(monkeypatch):
    asked = []
    sentry = ModuleType("sentry_sdk")
    sentry.init = lambda **options: asked.append(options)
    monkeypatch.setitem(sys.modules, "sentry_sdk", sentry)
    (code,) = re.findall(r"```python\n(import sentry_sdk.*?)```", TELEMETRY, re.DOTALL)
    made = {}

    exec(compile(code, "app.py", "exec"), made)

    assert isinstance(made["create_app"](), Flask)
    assert asked == [{}]
    assert "proxy" not in code
