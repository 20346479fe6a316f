"""deploy/'s alarms and dashboard, held to what a running front door really tells Prometheus."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from overgrow.observe.metrics import METRICS
from tests.ports import free_port
from tests.programs import needed
from tests.story.front import eventually, running_front
from tests.story.stub import running_stub
from tests.story.watched import (
    APP,
    ASKED,
    BOARD,
    DEPLOY,
    MARKED,
    RULES,
    SCRAPES,
    SELDOM,
    TABLE,
    let_everything_happen,
    panel_query,
)

EXPRESSIONS = [*ASKED, *MARKED, *((rule["alert"], rule["expr"]) for rule in RULES)]


def promtool(*words, cwd):
    """What promtool says; it must be content."""
    done = subprocess.run(
        [needed("promtool", "prometheus"), *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told_by(front):
    """The names of the samples that /metrics has now."""
    text = front.get("/metrics", admin=True)[2].decode()
    return set(re.findall(r"^(overgrow_\w+)", text, re.MULTILINE))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The names of all samples, once everything has happened that is counted."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "watched.py").write_text(APP)
    data = folder / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(
            TABLE, folder, legacy, data=data, OVERGROW_WEBHOOK_URL=f"http://127.0.0.1:{free_port()}"
        ) as front,
    ):
        let_everything_happen(front)
        # A copy that a busy machine answers too late is not compared; another one may be.
        eventually(lambda: front.get("/other") and SELDOM <= told_by(front), every_s=0.2)
        yield told_by(front)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_metric_that_is_asked_for_is_told(told, title, expression):
    assert set(re.findall(r"overgrow_\w+", expression)) <= told


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_label_that_is_asked_for_is_one_of_the_metric(title, expression):
    known = {"le", "instance", "job", "slot"}
    for name in re.findall(r"overgrow_\w+", expression):
        known |= set(METRICS[name.removesuffix("_bucket")].labels)

    grouped = [
        label.strip()
        for each in re.findall(r"by \(([^)]*)\)", expression)
        for label in each.split(",")
    ]
    matched = re.findall(r"(\w+)=~?\"", expression)

    assert set(grouped) | set(matched) <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alarm_says_how_grave_it_is_and_names_commands_that_exist(rule):
    summary = rule["annotations"]["summary"]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(re.findall(r"overgrow (\w+)", summary)) <= {
        "check",
        "diff",
        "flip",
        "gate",
        "resume",
        "status",
    }


def test_promtool_takes_the_scrape_config_and_the_alarms(tmp_path):
    (tmp_path / "token").write_text("s3cret")
    text = (DEPLOY / "prometheus.yaml").read_text("utf-8")
    text = text.replace("/etc/prometheus/overgrow-token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(DEPLOY / "prometheus-alerts.yaml", tmp_path)

    said = promtool("check", "config", "prometheus.yaml", cwd=tmp_path)

    assert f"{len(RULES)} rules found" in said


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path):
    rules = [
        {
            "record": f"panel:{number}",
            "expr": panel_query(expression),
        }
        for number, (_, expression) in enumerate([*ASKED, *MARKED])
    ]
    group = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "panels.yaml").write_text(json.dumps(group))

    said = promtool("check", "rules", "panels.yaml", cwd=tmp_path)

    assert f"{len(ASKED) + len(MARKED)} rules found" in said


def series(name, values):
    return {"series": name, "values": values}


WHEN = {
    "OvergrowCopiesDropped": "60m",
    "OvergrowReloadFails": "60m",
    "OvergrowWebhookFails": "30m",
    "OvergrowShadowDiffers": "180m",
    "OvergrowKilled": "100m",
}


def both_sides(migrated_errors, requests):
    """Series of a route whose two sides have the same requests, and legacy one error a minute if there are few."""
    legacy_errors = "0x30" if requests == "0+9x30" else requests
    return [
        series('overgrow_errors_total{route="orders",side="migrated"}', migrated_errors),
        series('overgrow_errors_total{route="orders",side="legacy"}', legacy_errors),
        series('overgrow_requests_total{route="orders",side="migrated",status="500"}', requests),
        series('overgrow_requests_total{route="orders",side="legacy",status="500"}', requests),
    ]


def gate(value, percent):
    return [
        series('overgrow_gate_value{route="orders",instance="1"}', f"{value}x30"),
        series('overgrow_gate_threshold{route="orders",instance="1"}', "0.99x30"),
        series('overgrow_route_migrated_percent{route="orders",instance="1"}', f"{percent}x30"),
    ]


def copies(dropped):
    return [
        series('overgrow_shadow_dropped_total{instance="1",reason="stale"}', dropped),
        series('overgrow_shadow_total{instance="1",route="orders",verdict="matched"}', "0+9x60"),
    ]


def canary(percent, days):
    """Series of a route that was flipped so many days from the start of the test, which is unix time 0."""
    return [
        series('overgrow_route_migrated_percent{route="orders"}', f"{percent}x60"),
        series('overgrow_route_last_flip_timestamp_seconds{route="orders"}', f"{days * 86_400}x60"),
    ]


def proof(percent, days):
    name = "overgrow_gate_newest_comparison_timestamp_seconds"
    return [
        series('overgrow_route_migrated_percent{route="orders"}', f"{percent}x60"),
        series(f'{name}{{route="orders"}}', f"{days * 86_400}x60"),
    ]


def legacy(failures, requests):
    return [
        series(
            'overgrow_failures_total{code="legacy-connect",party="legacy",instance="1"}', failures
        ),
        series(
            'overgrow_requests_total{route="orders",side="legacy",status="200",instance="1"}',
            requests,
        ),
    ]


def switches(alarm, metric):
    """Cases of a gauge that is 1 for long, and of one that was 1 for a moment."""
    given = f'{metric}{{instance="1"}}'
    return [
        pytest.param(alarm, [series(given, "1x120")], [{"instance": "1"}], id=f"{metric} stays"),
        pytest.param(alarm, [series(given, "0x58 1 0x60")], [], id=f"{metric} passes"),
    ]


def looks(*of_workers):
    name = "overgrow_watcher_last_look_timestamp_seconds"
    return [
        series(f'{name}{{instance="1",slot="{slot}"}}', values)
        for slot, values in enumerate(of_workers)
    ]


def files(number):
    return [
        series('overgrow_process_open_fds{instance="1",slot="0"}', f"{number}x30"),
        series('overgrow_process_max_fds{instance="1",slot="0"}', "1000x30"),
    ]


def fallbacks(values):
    return [series('overgrow_fallbacks_total{route="orders",code="500"}', values)]


def compared(mismatched):
    return [
        series('overgrow_shadow_total{route="orders",verdict="mismatched"}', mismatched),
        series('overgrow_shadow_total{route="orders",verdict="matched"}', "0+98x200"),
    ]


def unproven(days):
    """Series of a moved route with a gate that no comparison has judged; flipped so many days from the start."""
    return [
        *canary("100", days),
        series('overgrow_gate_value{route="orders"}', "0x60"),
    ]


CASES = [
    pytest.param(
        "OvergrowRevisionsDiffer",
        [
            series('overgrow_table_revision_info{revision="a",instance="1"}', "1x30"),
            series('overgrow_table_revision_info{revision="a",instance="2"}', "1x30"),
        ],
        [],
        id="two pods on one revision agree",
    ),
    pytest.param(
        "OvergrowRevisionsDiffer",
        [
            series('overgrow_table_revision_info{revision="a",instance="1"}', "1x30"),
            series('overgrow_table_revision_info{revision="b",instance="2"}', "1x30"),
        ],
        [{}],
        id="two revisions do not",
    ),
    pytest.param(
        "OvergrowMigratedFails",
        [
            series('overgrow_errors_total{route="orders",side="migrated"}', "0+1x30"),
            series('overgrow_requests_total{route="orders",side="migrated",status="500"}', "0+1x30"),
            series('overgrow_requests_total{route="orders",side="migrated",status="200"}', "0+9x30"),
        ],
        [],
        id="few errors of few requests wake nobody",
    ),
    pytest.param(
        "OvergrowMigratedFails",
        [
            series('overgrow_errors_total{route="orders",side="migrated"}', "0+30x30"),
            series('overgrow_requests_total{route="orders",side="migrated",status="500"}', "0+30x30"),
            series('overgrow_requests_total{route="orders",side="migrated",status="200"}', "0+90x30"),
        ],
        [{"route": "orders"}],
        id="many errors do",
    ),
    pytest.param(
        "OvergrowBreakerOpen",
        [series('overgrow_breaker_open{route="orders",side="legacy",instance="1"}', "1 0 1 0 1 0" + " 1 0" * 12)],
        [{"route": "orders", "side": "legacy"}],
        id="a breaker whose probes fail",
    ),
    pytest.param(
        "OvergrowBreakerOpen",
        [series('overgrow_breaker_open{route="orders",side="legacy",instance="1"}', "1x3 0x27")],
        [],
        id="a breaker that recovered",
    ),
    pytest.param(
        "OvergrowLegacyDown", [series('overgrow_upstream_up{instance="1"}', "0x30")],
        [{"instance": "1"}], id="legacy does not answer",
    ),
    pytest.param(
        "OvergrowLegacyDown", [series('overgrow_upstream_up{instance="1"}', "1x18 0x0 1x12")],
        [], id="legacy restarts",
    ),
    pytest.param(
        "OvergrowDown", [series('up{job="overgrow",instance="1"}', "0x30")],
        [{"instance": "1", "job": "overgrow"}], id="nobody answers",
    ),
    pytest.param(
        "OvergrowMigratedWorse", both_sides("0+1x30", "0+9x30"), [{"route": "orders"}],
        id="migrated fails, legacy does not",
    ),
    pytest.param(
        "OvergrowMigratedWorse", both_sides("0+1x30", "0+1x30"), [], id="both sides fail alike",
    ),
    pytest.param("OvergrowGateClosed", gate("0.9", "50"), [{"route": "orders"}], id="a closed gate of a canary"),
    pytest.param("OvergrowGateClosed", gate("0.9", "0"), [], id="a closed gate before the first flip"),
    pytest.param("OvergrowGateClosed", gate("0.999", "50"), [], id="an open gate"),
    pytest.param(
        "OvergrowCopiesDropped", copies("0+1x60"), [{"instance": "1"}], id="copies are dropped",
    ),
    pytest.param("OvergrowCopiesDropped", copies("0x60"), [], id="no copies are dropped"),
    pytest.param(
        "OvergrowReloadFails", [series('overgrow_reload_failures_total{instance="1"}', "0+1x60")],
        [{"instance": "1"}], id="reloads fail again and again",
    ),
    pytest.param(
        "OvergrowReloadFails", [series('overgrow_reload_failures_total{instance="1"}', "0 2x60")],
        [], id="one table was refused",
    ),
    pytest.param("OvergrowCanaryForgotten", canary("10", -15), [{"route": "orders"}], id="an old canary"),
    pytest.param("OvergrowCanaryForgotten", canary("10", -13), [], id="a canary of last week"),
    pytest.param("OvergrowCanaryForgotten", canary("100", -90), [], id="a route that has moved"),
    pytest.param("OvergrowRollbackUnproven", proof("100", -8), [{"route": "orders"}], id="an old proof"),
    pytest.param("OvergrowRollbackUnproven", proof("100", -6), [], id="a proof of this week"),
    pytest.param("OvergrowRollbackUnproven", proof("10", -8), [], id="an old proof of a canary"),
    pytest.param(
        "OvergrowWebhookFails", [series('overgrow_webhook_total{instance="1",outcome="dropped"}', "0 3x60")],
        [{"instance": "1"}], id="notifications are dropped",
    ),
    pytest.param(
        "OvergrowWebhookFails", [series('overgrow_webhook_total{instance="1",outcome="retry"}', "0 3x60")],
        [], id="notifications are sent again",
    ),
    pytest.param("OvergrowDown", [series('up{job="overgrow",instance="1"}', "1x30")], [], id="somebody answers"),
    pytest.param("OvergrowLegacyUnreachable", legacy("0+2x30", "0+18x30"), [{"instance": "1"}], id="one in ten fails"),
    pytest.param("OvergrowLegacyUnreachable", legacy("0+2x30", "0+200x30"), [], id="one in a hundred fails"),
    pytest.param("OvergrowLegacyUnreachable", legacy("0x18 1x12", "0+2x30"), [], id="one of few failed"),
    pytest.param(
        "OvergrowLegacyDown",
        [series('overgrow_upstream_up{instance="1"}', "0x30"), *legacy("7x30", "70x30")],
        [{"instance": "1"}], id="legacy is down and nobody asks",
    ),
    *switches("OvergrowTableRefused", "overgrow_reload_error"),
    *switches("OvergrowWorkersDoNotStart", "overgrow_boot_error"),
    *switches("OvergrowKilled", "overgrow_killed"),
    *switches("OvergrowThreadsStuck", "overgrow_local_threads_stuck"),
    *switches("OvergrowWorkersDisagree", "overgrow_workers_disagree"),
    pytest.param("OvergrowWatcherOld", looks("60+60x30", "0x30"), [{"instance": "1"}], id="one watcher stands still"),
    pytest.param("OvergrowWatcherOld", looks("0+60x30", "0+60x30"), [], id="all watchers look"),
    pytest.param("OvergrowFilesRunOut", files(950), [{"instance": "1", "slot": "0"}], id="few files are left"),
    pytest.param("OvergrowFilesRunOut", files(400), [], id="many files are left"),
    pytest.param(
        "OvergrowTelemetryFails",
        [series('overgrow_telemetry_failures_total{instance="1",receiver="otel"}', "0+1x30")],
        [{"instance": "1", "receiver": "otel"}], id="a collector stays away",
    ),
    pytest.param(
        "OvergrowTelemetryFails",
        [series('overgrow_telemetry_failures_total{instance="1",receiver="otel"}', "0x10 3x20")],
        [], id="a collector was away for a moment",
    ),
    pytest.param("OvergrowFallsBack", fallbacks("0+1x30"), [{"route": "orders"}], id="legacy often helps out"),
    pytest.param("OvergrowFallsBack", fallbacks("0x10 3x20"), [], id="legacy helped out three times"),
    pytest.param("OvergrowShadowDiffers", compared("0+2x200"), [{"route": "orders"}], id="two copies in a hundred differ"),
    pytest.param("OvergrowShadowDiffers", compared("0x100 1x100"), [], id="one copy differed"),
    pytest.param(
        "OvergrowCopiesDropped", [series('overgrow_shadow_dropped_total{instance="1",reason="stale"}', "0+1x60")],
        [{"instance": "1"}], id="all copies are dropped",
    ),
    pytest.param("OvergrowRollbackUnproven", unproven(-8), [{"route": "orders"}], id="a moved route without any proof"),
    pytest.param("OvergrowRollbackUnproven", unproven(-1), [], id="a route that has just moved"),
]  # fmt: skip


def check_alerts(folder, alarm, given, raised, *, interval="1m", when=None):
    """Let promtool evaluate an alarm over series; exactly the alerts with the labels in `raised` must go off."""
    rule = next(each for each in RULES if each["alert"] == alarm)
    expected = [{"exp_labels": {**rule["labels"], **labels}} for labels in raised]
    for each in expected:
        each["exp_annotations"] = {
            "summary": re.sub(
                r"{{ \$labels\.(\w+) }}",
                lambda found, labels=each["exp_labels"]: labels[found[1]],
                rule["annotations"]["summary"],
            )
        }
    case = {
        "interval": interval,
        "input_series": given,
        "alert_rule_test": [
            {
                "eval_time": when or WHEN.get(alarm, "20m"),
                "alertname": alarm,
                "exp_alerts": expected,
            }
        ],
    }
    shutil.copy(DEPLOY / "prometheus-alerts.yaml", folder)
    whole = {
        "rule_files": ["prometheus-alerts.yaml"],
        "evaluation_interval": interval,
        "tests": [case],
    }
    (folder / "case.yaml").write_text(json.dumps(whole))

    promtool("test", "rules", "case.yaml", cwd=folder)


@pytest.mark.parametrize(("alarm", "given", "raised"), CASES)
def test_an_alarm_goes_off_when_it_should(tmp_path, alarm, given, raised):
    check_alerts(tmp_path, alarm, given, raised)


@pytest.mark.parametrize("alarm", [rule["alert"] for rule in RULES])
def test_every_alarm_has_a_case_that_raises_it_and_one_that_does_not(alarm):
    raised = [bool(case.values[2]) for case in CASES if case.values[0] == alarm]

    assert {True, False} == set(raised)


@pytest.mark.parametrize(
    ("percents", "raised"),
    [
        pytest.param("10x400", [{"route": "orders"}], id="the same for 16 days"),
        pytest.param("5x100 10x300", [], id="grown since"),
        pytest.param("_x200 10x200", [], id="made since"),
        pytest.param("100x400", [], id="moved as a whole"),
    ],
)
def test_a_canary_that_was_written_by_hand_is_forgotten_too(tmp_path, percents, raised):
    given = [series('overgrow_route_migrated_percent{route="orders"}', percents)]

    check_alerts(tmp_path, "OvergrowCanaryForgotten", given, raised, interval="1h", when="340h")


FLIPS = 'overgrow_flips_total{route="orders",to="migrated",instance="1",job="overgrow"}'
SCRAPED = 'overgrow_build_info{version="1",python="3",instance="1",job="overgrow"}'


@pytest.mark.parametrize(
    ("flips", "scraped", "expected"),
    [
        pytest.param("_x10 1x9", "1x20", 1, id="the first flip of a route"),
        pytest.param("1x9 2x9", "1x20", 1, id="a later flip"),
        pytest.param("1x20", "1x20", None, id="no flip"),
        pytest.param("_x10 3x9", "_x10 1x9", None, id="old flips, when Prometheus begins"),
        pytest.param("3x9 0x9", "1x20", None, id="a history that was lost"),
    ],
)
def test_a_flip_is_marked_when_it_was_made(tmp_path, flips, scraped, expected):
    ((_, expression),) = MARKED
    sample = {"labels": '{route="orders", to="migrated"}', "value": expected}
    question = {
        "expr": panel_query(expression),
        "eval_time": "10m",
        "exp_samples": [sample] if expected else [],
    }
    case = {
        "interval": "1m",
        "input_series": [series(FLIPS, flips), series(SCRAPED, scraped)],
        "promql_expr_test": [question],
    }
    (tmp_path / "case.yaml").write_text(json.dumps({"tests": [case]}))

    promtool("test", "rules", "case.yaml", cwd=tmp_path)


def test_every_scrape_shows_the_token_and_goes_to_the_admin_port():
    pods = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
    headless = next(
        pod for pod in pods if pod["kind"] == "Service" and pod["spec"].get("clusterIP") == "None"
    )
    local, inside = SCRAPES["scrape_configs"]
    (asked,) = inside["dns_sd_configs"]

    assert all(job["authorization"]["credentials_file"] for job in (local, inside))
    assert ["127.0.0.1:8001"] == local["static_configs"][0]["targets"]
    assert headless["spec"]["ports"][0]["port"] == asked["port"] == 8001
    assert [f"{headless['metadata']['name']}.default.svc.cluster.local"] == asked["names"]


def test_panels_have_names_and_places_of_their_own():
    panels = BOARD["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(panels) == len({panel["id"] for panel in panels})
    assert len(panels) == len({panel["title"] for panel in panels})
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_the_dashboard_asks_only_for_variables_it_has_and_names_no_server():
    text = json.dumps(BOARD)
    known = {each["name"] for each in BOARD["templating"]["list"]} | {"__rate_interval", "__all"}

    assert set(re.findall(r"\$\{?(\w+)", text)) <= known
    assert "http" not in text
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in BOARD["panels"]}
