import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.exchange import Failure
from proxy.observe.access_log import Lines
from proxy.observe.metrics import METRICS
from tests.unit.observe.exchanges import exchange, head

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")


def test_every_field_of_the_access_log_is_in_its_table():
    headers = [
        (b"traceparent", b"00-%s-00f067aa0ba902b7-01" % (b"4" * 32)),
        (b"x-request-id", b"r"),
    ]
    failure = Failure("legacy-closed", "body", "legacy", "detail")
    line = Lines().line(exchange(head=head(headers=headers), failure=failure))

    table = PAGE[PAGE.index("## The access log") : PAGE.index("- **Privacy.**")]
    assert [name for name in json.loads(line) if f"`{name}`" not in table] == []


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_in_its_table_with_its_labels(name):
    row = re.search(rf"^\| `{name}` \|([^|]*)\|", PAGE, re.MULTILINE)

    assert row
    assert list(METRICS[name].labels) == re.findall(r"`(\w+)`", row[1])


def test_the_alarms_are_rules_that_promtool_takes(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None and os.environ.get("CI") != "true":
        pytest.skip("promtool (Debian package prometheus) is not installed")
    rules = tmp_path / "rules.yaml"
    rules.write_text(re.findall(r"```yaml\n(groups:.*?)```", PAGE, re.DOTALL)[0])

    checked = subprocess.run(
        [promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False
    )

    assert (0, "") == (checked.returncode, checked.stderr)
    assert "6 rules found" in checked.stdout
    assert set(re.findall(r"overgrow_\w+", rules.read_text())) <= set(METRICS)
