"""The examples of deploy/ for telemetry, held to the settings, to the log and to each other."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.exemplars import Exemplar
from overgrow.settings import SETTINGS
from tests.programs import needed
from tests.unit.observe.exchanges import exchange

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs/telemetry.md").read_text("utf-8")


def loaded(name):
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


COLLECTOR, COMPOSE, VECTOR = map(
    loaded, ("otel-collector.yaml", "compose.telemetry.yaml", "vector.yaml")
)
SERVICES = COMPOSE["services"]
CONFIGS = {name: yaml.safe_load(each["content"]) for name, each in COMPOSE["configs"].items()}
SOURCES = {each["uid"]: each for each in CONFIGS["grafana-datasources"]["datasources"]}


@pytest.mark.parametrize("pipeline", sorted(COLLECTOR["service"]["pipelines"]))
def test_a_pipeline_of_the_collector_uses_what_is_defined(pipeline):
    for kind, names in COLLECTOR["service"]["pipelines"][pipeline].items():
        assert [name for name in names if name not in COLLECTOR[kind]] == []


def test_the_collector_listens_where_the_front_door_sends():
    (port,) = re.findall(
        r":(\d+)$", COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    )

    assert SERVICES["front"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(f":{port}")
    assert f"http://localhost:{port}" in PAGE  # the default of OpenTelemetry


def test_the_collector_sends_to_a_service_that_runs_beside_it():
    (host,) = re.findall(r"//(\w+):", COLLECTOR["exporters"]["otlphttp/traces"]["endpoint"])

    assert host in SERVICES
    assert f"http://{host}:16686" == SOURCES["jaeger"]["url"]


def test_the_front_doors_variables_exist():
    ours = {each.variable for each in SETTINGS}
    variables = SERVICES["front"]["environment"]

    assert [name for name in variables if name not in ours and not name.startswith("OTEL_")] == []


def test_prometheus_asks_by_a_name_that_the_admin_listener_takes(tmp_path):
    (job,) = CONFIGS["prometheus"]["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]

    assert target.split(":") == [SERVICES["front"]["environment"]["OVERGROW_ADMIN_HOSTS"], "8001"]


def test_promtool_accepts_the_configuration_of_the_example(tmp_path):
    for name in CONFIGS["prometheus"]["rule_files"]:
        (tmp_path / name).write_bytes((DEPLOY / name).read_bytes())
    (tmp_path / "p.yaml").write_text(COMPOSE["configs"]["prometheus"]["content"])
    promtool = needed("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", "p.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_exemplar_leads_to_the_trace_by_its_label():
    (led,) = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    exemplar = Exemplar("orders", "legacy", 0.1, "4" * 32, 1.0)

    assert f'{led["name"]}="' in exemplar.as_text()
    assert led["datasourceUid"] in SOURCES
    command = SERVICES["prometheus"]["command"]
    assert "--enable-feature=exemplar-storage" in command


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_file_that_is_mounted_exists(service):
    mounted = [each.split(":")[0] for each in SERVICES[service].get("volumes", ())]
    named = [each["source"] for each in SERVICES[service].get("configs", ())]

    assert [each for each in mounted if not (DEPLOY / each).is_file()] == []
    assert [each for each in named if each not in CONFIGS] == []


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"front"}))
def test_no_example_is_open_to_others_or_moves_by_itself(service):
    described = SERVICES[service]

    assert all(each.startswith("127.0.0.1:") for each in described.get("ports", ()))
    assert re.search(r":v?\d+\.\d+\.\d+$", described["image"])


def test_the_page_names_the_addresses_that_are_published():
    ports = [port for each in SERVICES.values() for port in each.get("ports", ())]
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))

    assert [port for port in ports if f"<http://{port.rpartition(':')[0]}" not in PAGE] == []
    assert f"http://127.0.0.1:3000/d/{board['uid']}>" in PAGE


def test_vector_reads_fields_that_the_access_log_has():
    line = json.loads(JsonLines().format_line(exchange()))
    read = re.findall(r'line\."([\w.@]+)"', VECTOR["transforms"]["parsed"]["source"])

    assert len(read) == 4
    assert [name for name in read if name not in line] == []


def test_vector_labels_are_few_and_bounded():
    labels = VECTOR["sinks"]["loki"]["labels"]

    assert set(labels) == {"job", "route", "side", "status"}
    filebeat = loaded("filebeat.yaml")["filebeat.inputs"][0]["paths"]
    assert VECTOR["sources"]["access"]["include"] == filebeat
