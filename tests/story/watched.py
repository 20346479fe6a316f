"""What deploy/ has for Prometheus and Grafana, and an app and a table that make every metric appear."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from overgrow.resilience.breaker import MIGRATED_POLICY
from tests.story.front import Front

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text("utf-8"))
SCRAPES = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))
BOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
ASKED = [(panel["title"], each["expr"]) for panel in BOARD["panels"] for each in panel["targets"]]
MARKED = [(each["name"], each["expr"]) for each in BOARD["annotations"]["list"]]
APP = '''\
"""An app of which everything that is counted can be had."""
from flask import Flask, Response

EVENTS = "text/event-stream"


def create_app():
    app = Flask("watched")
    app.add_url_rule("/other", "other", lambda: "not what legacy says")
    app.add_url_rule("/events", "events", lambda: Response(iter(["data: 1"]), mimetype=EVENTS))
    app.add_url_rule("/fails", "fails", lambda: 1 / 0)
    return app
'''
TABLE = """\
version: 1
app: watched:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: other, path: /other, methods: [GET], target: migrated, shadow: 100%}
  - {name: events, path: /events, methods: [GET], target: migrated, shadow: 100%}
  - {name: fails, path: /fails, methods: [GET], target: migrated, fallback: true}
  - {name: gone, path: /gone, target: gone}
"""
# Metrics that appear only once something has happened, later than the others.
SELDOM = {
    "overgrow_breaker_open",
    "overgrow_fallbacks_total",
    "overgrow_flips_total",
    "overgrow_gate_newest_comparison_timestamp_seconds",
    "overgrow_local_threads_stuck",
    "overgrow_reload_failures_total",
    "overgrow_shadow_dropped_total",
    "overgrow_shadow_total",
    "overgrow_telemetry_failures_total",
    "overgrow_webhook_total",
}


def panel_query(expression: str) -> str:
    """An expression of the dashboard, with its variables replaced as Grafana does it."""
    return expression.replace("$__rate_interval", "5m").replace("$route", ".*")


def let_everything_happen(front: Front) -> None:
    """Make whatever is counted happen once."""
    for path in ("/other", "/events", "/fails", "/gone", "/products"):
        front.get(path)
    for _ in range(MIGRATED_POLICY.min_answers * len(front.workers)):
        front.get("/fails")
    front.overgrow("flip", "gone", "legacy", "--force", "--reason", "for the metrics")
    front.config.write_text("version: 2\n")
