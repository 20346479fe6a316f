"""A real Prometheus scrapes four workers by the files of deploy/, and answers what the dashboard asks."""

from __future__ import annotations

import json
import secrets
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import yaml

from tests.ports import free_port
from tests.programs import needed
from tests.story.front import PATIENCE_S, eventually, running_front
from tests.story.stub import running_stub
from tests.story.watched import (
    APP,
    ASKED,
    DEPLOY,
    MARKED,
    RULES,
    TABLE,
    let_everything_happen,
    panel_query,
)

TOKEN = "for-prometheus"
WORKERS = 4


@dataclass
class Prometheus:
    """A running Prometheus, as Grafana asks it."""

    port: int

    def ask(self, path, **parameters):
        """The data of one answer; the test fails if Prometheus refuses the question."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression):
        """The series that an expression has now."""
        return self.ask("query", query=expression)["result"]

    def targets_up(self):
        """Whether each target was scraped; no while nothing answers."""
        try:
            targets = self.ask("targets")["activeTargets"]
        except OSError:
            return False
        return bool(targets) and all(each["health"] == "up" for each in targets)

    def exemplars(self, expression, start):
        """The exemplars of the series in an expression."""
        found = self.ask("query_exemplars", query=expression, start=start, end=start + 86_400)
        return [(each["seriesLabels"], one) for each in found for one in each["exemplars"]]


def write_config(folder, admin):
    """deploy/prometheus.yaml for this machine, scraping once a second."""
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / name) for name in config["rule_files"]]
    config["scrape_configs"] = [job for job in config["scrape_configs"] if "static_configs" in job]
    (job,) = config["scrape_configs"]
    (folder / "token").write_text(TOKEN)
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{admin}"]}]
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def running_prometheus(folder, admin):
    """Prometheus with exemplar storage, once it has scraped the front door."""
    port = free_port()
    words = [
        f"--config.file={write_config(folder, admin)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    program = needed("prometheus", "prometheus")
    log = (folder / "prometheus.log").open("w")
    with log, subprocess.Popen([program, *words], stdout=log, stderr=log) as process:
        try:
            found = Prometheus(port)
            eventually(found.targets_up)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A front door of four workers to which everything has happened, and the Prometheus that scrapes it."""
    needed("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("scraped")
    (folder / "watched.py").write_text(APP)
    data = folder / "shop.sqlite3"
    given = {
        "OVERGROW_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}",
        "OVERGROW_ADMIN_TOKEN": "for-people",
        "OVERGROW_ADMIN_READ_TOKEN": TOKEN,
    }
    with (
        running_stub(data=data) as legacy,
        running_front(TABLE, folder, legacy, data=data, workers=WORKERS, **given) as front,
        running_prometheus(folder, front.admin) as prometheus,
    ):
        let_everything_happen(front)
        yield front, prometheus


@pytest.mark.parametrize(("title", "expression"), ASKED)
def test_every_panel_has_data(scene, title, expression):
    front, prometheus = scene

    # A copy that a busy machine answers too late is not compared; another one may be.
    assert eventually(
        lambda: front.get("/other") and prometheus.query(panel_query(expression)), every_s=0.2
    )


@pytest.mark.parametrize(("title", "expression"), MARKED)
def test_every_mark_of_the_dashboard_can_be_asked(scene, title, expression):
    _, prometheus = scene

    prometheus.query(panel_query(expression))


def test_the_variable_of_the_dashboard_knows_the_routes(scene):
    _, prometheus = scene

    asked = {"match[]": "overgrow_requests_total"}
    routes = {"default", "events", "fails", "gone", "other"}
    assert eventually(lambda: routes == set(prometheus.ask("label/route/values", **asked)))


def test_every_alert_can_be_evaluated(scene):
    _, prometheus = scene

    def rules():
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    eventually(lambda: rules() and all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["alert"]: "ok" for rule in RULES} == {
        rule["name"]: rule["health"] for rule in rules()
    }


def test_processes_of_all_workers_and_of_the_master_are_told(scene):
    _, prometheus = scene

    def slots():
        found = prometheus.query("overgrow_process_resident_memory_bytes")
        return {each["metric"]["slot"] for each in found}

    assert eventually(lambda: slots() == {"0", "1", "2", "3", "master"})


def test_sampled_traces_of_all_workers_are_exemplars_of_their_series(scene):
    front, prometheus = scene
    sent = {}

    def found_series():
        """Send a request to each side, as often as it takes until Prometheus has seen one of each."""
        for path, series in (
            ("/products", ("default", "legacy")),
            ("/other", ("other", "migrated")),
        ):
            trace = secrets.token_hex(16)
            sent[trace] = series
            front.get(path, headers={"traceparent": f"00-{trace}-{'cd' * 8}-01"})
        began_s = eventually(lambda: prometheus.query("min(overgrow_process_start_time_seconds)"))
        name = "overgrow_request_duration_seconds_bucket"
        return [
            (sent.get(one["labels"]["trace_id"]), (labels["route"], labels["side"]))
            for labels, one in prometheus.exemplars(name, float(began_s[0]["value"][1]))
        ]

    eventually(lambda: {series for _, series in found_series()} == set(sent.values()), every_s=0.5)
    assert [one for one in found_series() if one[0] != one[1]] == []
