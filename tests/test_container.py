"""The Dockerfile, compose.yaml and their kin, held to the tree without building an image.

Every COPY source exists, every RUN is rehearsed here or is a line that `make setup` runs, every
CMD parses with the command line. What only a build can show, CI's `image` job shows.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from overgrow.admin.auth import PROBES
from overgrow.settings import settings_from
from overgrow.table.reading.parse import parse
from tests.command_lines import objection_to
from tests.dockerfiles import Instruction, environment_of, instructions_of
from tests.programs import needed

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
OWNER = "10001"
PIN = r"^([\w.-]+)(?:\[(\S+)\])?=="


def instructions() -> list[Instruction]:
    return instructions_of(ROOT / "Dockerfile")


def of_word(word: str) -> list[Instruction]:
    return [each for each in instructions() if each.word == word]


RUNS = [each.text for each in of_word("RUN")]
COPIES = [each.text for each in of_word("COPY") if "--from=" not in each.text]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
PODS = list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text("utf-8")))
CONTAINER = next(
    pod["spec"]["template"]["spec"]["containers"][0] for pod in PODS if pod["kind"] == "Deployment"
)


def of_kind(kind: str) -> dict[str, Any]:
    return next(pod for pod in PODS if pod["kind"] == kind)


def sources_of(copy: str) -> list[str]:
    return [word for word in shlex.split(copy) if not word.startswith("--")][:-1]


def command_of(stage: str) -> list[str]:
    return next(json.loads(each.text) for each in of_word("CMD") if each.stage == stage)


def ran(*command: str | Path, **options) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel as the build stage makes it, from nothing but what its COPY lines bring."""
    source = tmp_path_factory.mktemp("src")
    for copy in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / copy, source)
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    ran(PYTHON, "-m", "build", "--no-isolation", "--wheel", "--outdir", source / "dist", cwd=source)
    return next((source / "dist").glob("*.whl"))


@pytest.mark.parametrize("copy", COPIES)
def test_what_is_copied_exists(copy):
    missing = [source for source in sources_of(copy) if not (ROOT / source).exists()]

    assert missing == []


@pytest.mark.parametrize("copy", COPIES)
def test_what_is_copied_is_let_through_by_dockerignore(copy):
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}

    assert [
        source
        for source in sources_of(copy)
        if not any(source == line or source.startswith(f"{line}/") for line in let_through)
    ] == []


def test_what_is_copied_from_a_stage_is_made_there():
    made = {each.text.split()[-1] for each in of_word("RUN") if each.stage == "build"}

    taken = [shlex.split(each.text) for each in of_word("COPY") if "--from=" in each.text]

    assert [line[:2] for line in taken] == [["--from=build", "/opt/overgrow"]]
    assert "/opt/overgrow" in made


def test_the_environment_of_the_build_is_one_that_venv_can_make(tmp_path):
    made = [run for run in RUNS if " -m venv " in run]
    for run in made:
        *_, folder = run.split()
        assert run == f"python -m venv {folder}"
    venv.create(tmp_path / "build", with_pip=False)

    assert len(made) == 2
    assert (tmp_path / "build/bin/python").exists()


@pytest.mark.parametrize("run", [run for run in RUNS if "--require-hashes" in run])
def test_a_pinned_install_is_one_that_this_environment_satisfies(run):
    """The download itself is the line of `make setup`; here: closed under dependencies, hashed."""
    options = shlex.split(run)[1:]
    offline = ["--dry-run", "--no-index", "--disable-pip-version-check"]

    shown = ran(PYTHON, *options, *offline, cwd=ROOT)

    assert "Would install" not in shown
    assert "pip install --require-hashes -r requirements/" in run
    assert "$(PIP) install --require-hashes -r requirements/" in (ROOT / "Makefile").read_text()


def test_the_wheel_is_built_as_the_image_builds_it(wheel, tmp_path):
    (run,) = [run for run in RUNS if " wheel " in run]
    options = shlex.split(run.replace("/dist", str(tmp_path)))[1:]
    source = wheel.parents[1]

    ran(PYTHON, *options, cwd=source)

    assert [path.name for path in tmp_path.glob("*.whl")] == [wheel.name]


def test_the_wheel_installs_as_the_image_installs_it(wheel, tmp_path):
    (run,) = [run for run in RUNS if "--no-index" in run]
    options = shlex.split(run.replace("/dist", str(wheel.parent)))[1:]
    venv.create(tmp_path / "venv", with_pip=False)

    ran(PYTHON, "-m", "pip", "--python", tmp_path / "venv/bin/python", *options[2:])

    assert (tmp_path / "venv/bin/overgrow").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may add a user")
def test_the_user_and_the_folders_are_made_as_the_image_makes_them(tmp_path):
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    (add,) = [run for run in RUNS if run.startswith("useradd ")]
    (install,) = [run for run in RUNS if run.startswith("install ")]

    ran(needed("useradd", "passwd"), "--prefix", tmp_path, *shlex.split(add)[1:])
    ran(*shlex.split(install.replace(" /", f" {tmp_path}/")))

    assert f"overgrow:x:{OWNER}:" in (tmp_path / "etc/passwd").read_text()
    assert (tmp_path / "var/lib/overgrow").stat().st_uid == int(OWNER)


def test_every_run_is_one_of_those_rehearsed_here():
    rehearsed = (
        r"python -m venv /opt/\w+",
        r"/opt/\w+/bin/python -m pip install --require-hashes -r requirements/\w+\.txt",
        r"/opt/build/bin/python -m pip wheel .*",
        r"/opt/overgrow/bin/python -m pip install --no-deps --no-index .*",
        r"useradd .*",
        r"install -d -o 10001 -g 10001 .*",
    )

    unknown = [run for run in RUNS if not any(re.fullmatch(line, run) for line in rehearsed)]

    assert unknown == []


def test_every_stage_that_runs_is_run_by_a_user_without_privileges():
    bases = {
        each.stage: each.text.split(" AS ")[0] for each in instructions() if each.word == "FROM"
    }
    users = {each.stage: each.text for each in of_word("USER")}

    assert users == {"base": "overgrow"}
    for stage in ("legacy", "demo", "production"):
        chain = [stage]
        while bases[chain[-1]] in bases:
            chain.append(bases[chain[-1]])
        assert "base" in chain


def test_the_default_image_is_the_one_for_production():
    assert instructions()[-1].stage == "production"


@pytest.mark.parametrize("stage", ["production", "demo", "legacy"])
def test_the_command_of_a_stage_parses(stage):
    assert objection_to(command_of(stage)) is None


@pytest.mark.parametrize("service", sorted(COMPOSE["services"]))
def test_the_command_of_a_service_parses(service):
    described = COMPOSE["services"][service]
    command = described.get("command") or command_of(described["build"]["target"])

    assert objection_to(command) is None


def test_the_health_check_is_python_and_asks_the_admin_port():
    (check,) = of_word("HEALTHCHECK")
    command = json.loads(check.text.partition(" CMD ")[2])

    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert ":8001/healthz" in command[2]
    assert environment_of(instructions())["OVERGROW_ADMIN"] == "0.0.0.0:8001"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_ignores_a_proxy_of_the_environment(status, code):
    (check,) = of_word("HEALTHCHECK")
    script = json.loads(check.text.partition(" CMD ")[2])[2]
    away = {"http_proxy": "http://127.0.0.1:9", "PATH": ""}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = script.replace("8001", str(listener.getsockname()[1]))
        command = [sys.executable, "-c", here]
        with subprocess.Popen(command, env=away, stderr=subprocess.DEVNULL) as asking:
            listener.settimeout(60)
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
            found = asking.wait(60)

    assert found == code


def test_a_stop_leaves_time_for_the_drain():
    settings = settings_from(environment_of(instructions()), {})
    waits = (settings.drain_delay, settings.grace)
    pod = next(each for each in PODS if each["kind"] == "Deployment")["spec"]["template"]["spec"]

    assert int(COMPOSE["services"]["front"]["stop_grace_period"].removesuffix("s")) > sum(waits)
    assert pod["terminationGracePeriodSeconds"] > sum(waits)


def test_an_operators_variable_beats_each_default_of_the_image():
    defaults = environment_of(instructions())
    given = {"OVERGROW_GRACE": "60s", "OVERGROW_BIND": "0.0.0.0:80", "OVERGROW_DRAIN_DELAY": "0s"}

    settings = settings_from({**defaults, **given}, {})

    assert command_of("production") == ["overgrow", "serve"]
    assert (settings.grace, settings.bind, settings.drain_delay) == (60, "0.0.0.0:80", 0)
    assert (settings.from_last_good, settings.admin) == (True, "0.0.0.0:8001")


def test_ports_and_volumes_of_compose_are_those_of_the_image():
    front = COMPOSE["services"]["front"]
    inside = {mount.partition(":")[2] for mount in front["volumes"]}
    exposed = {
        port for each in of_word("EXPOSE") if each.stage == "front" for port in each.text.split()
    }

    assert {port.rsplit(":", 1)[1] for port in front["ports"]} == exposed
    assert inside == {"/etc/overgrow", "/var/lib/overgrow", "/var/lib/shop"}
    assert {mount.partition(":")[0] for mount in front["volumes"]} == set(COMPOSE["volumes"])
    (install,) = [run for run in RUNS if run.startswith("install ")]
    assert inside <= set(install.split())


def test_the_pod_mounts_the_folders_of_the_image_and_no_single_file():
    pod = next(each for each in PODS if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    mounts = pod["containers"][0]["volumeMounts"]

    assert {"/etc/overgrow", "/var/lib/overgrow"} <= {mount["mountPath"] for mount in mounts}
    assert not any("subPath" in mount for mount in mounts)
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_asks_the_admin_port_for_what_needs_no_token(probe):
    asked = CONTAINER[probe]["httpGet"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}

    assert asked["path"] in PROBES
    assert (8001, 8000) == (ports[asked["port"]], ports["public"])


def test_services_and_budget_select_the_pods():
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [pod["spec"]["selector"] for pod in PODS if pod["kind"] == "Service"]
    budget = of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    names = {port["name"] for port in CONTAINER["ports"]}

    assert [labels, labels, labels] == [*selectors, budget]
    assert {
        port["targetPort"]
        for pod in PODS
        if pod["kind"] == "Service"
        for port in pod["spec"]["ports"]
    } == names


def test_a_pod_runs_as_many_workers_as_its_limit_not_as_its_node_has_cores():
    environment = {each["name"]: each.get("value") for each in CONTAINER["env"]}

    assert int(environment["OVERGROW_WORKERS"]) >= 1
    assert {"requests", "limits"} == set(CONTAINER["resources"])


def test_a_pod_may_do_nothing_that_it_need_not():
    pod = of_kind("Deployment")["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == OWNER
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == CONTAINER["securityContext"]


@pytest.mark.parametrize("stage", ["legacy", "demo", "production"])
def test_what_listens_in_a_container_can_be_reached_from_outside(stage):
    set_there = environment_of(each for each in instructions() if each.stage == stage)

    assert any(word.startswith("0.0.0.0") for word in [*command_of(stage), *set_there.values()])


def test_no_example_brings_a_token_that_everybody_knows():
    (token,) = [each for each in CONTAINER["env"] if each["name"] == "OVERGROW_ADMIN_TOKEN"]
    secret = token["valueFrom"]["secretKeyRef"]
    head = (ROOT / "deploy/kubernetes.yaml").read_text("utf-8").partition("apiVersion")[0]
    asked = COMPOSE["services"]["front"]["environment"]["OVERGROW_ADMIN_TOKEN"]

    assert "Secret" not in {pod["kind"] for pod in PODS}
    assert f"kubectl create secret generic {secret['name']} --from-literal={secret['key']}=" in head
    assert asked.startswith("${OVERGROW_ADMIN_TOKEN:?")


def test_the_table_of_the_pod_is_sound():
    text = next(each for each in PODS if each["kind"] == "ConfigMap")["data"]["routes.yaml"]
    env = {"LEGACY_URL": "http://legacy:9000"}

    loaded = parse(text.encode(), file="routes.yaml", env=env, rules=None)

    assert loaded.problems == ()


def test_ci_runs_the_script_on_every_python_we_claim():
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = [
        line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line
    ]

    assert jobs["test"]["strategy"]["matrix"]["python"] == claimed
    assert {"run": ".ci/run"} in jobs["test"]["steps"]


def test_ci_may_read_and_nothing_else():
    assert yaml.safe_load(WORKFLOW)["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in yaml.safe_load(WORKFLOW)["jobs"].values())


def test_ci_names_actions_by_their_major_tag():
    actions = re.findall(r"uses: (\S+)", WORKFLOW)

    assert actions
    assert [each for each in actions if not re.fullmatch(r"actions/[\w-]+@v\d+", each)] == []


def test_the_script_of_ci_is_sound_bash_and_ends_with_the_tests():
    script = ROOT / ".ci/run"

    ran("bash", "-n", script)

    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1].startswith("exec make")


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "requirements").iterdir()))
def test_pins_are_hashed_and_name_no_address(file):
    text = (ROOT / "requirements" / file).read_text("utf-8")
    pins = re.findall(r"^[a-z0-9][^=\s]*==\S+.*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)

    assert pins
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert re.findall(r"^--?\w.*|https?://\S+|file:\S+| @ .*", text, re.MULTILINE) == []


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "requirements").iterdir()))
def test_an_extra_that_a_pinned_package_asks_for_is_pinned_too(file):
    """pip before 23.3 takes `coverage[toml]` for unpinned beside `coverage==7`, once 8 is out."""
    text = (ROOT / "requirements" / file).read_text("utf-8")
    pinned = {found[1]: found[2] or "" for found in re.finditer(PIN, text, re.MULTILINE)}
    wanted = [each for name in pinned for each in requirements_of(name)]

    missing = {
        str(each)
        for each in wanted
        if each.extras - set(pinned.get(canonicalize_name(each.name), "").split(","))
    }

    assert missing == set()


def requirements_of(name: str) -> list[Requirement]:
    """What an installed package asks for here; nothing of one that is not installed."""
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Requirement(text) for text in texts]
    return [each for each in found if not each.marker or each.marker.evaluate({"extra": ""})]


def test_the_wheel_contains_the_package_overgrow_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    tops = {name.split("/")[0] for name in names}
    schemas = {f"overgrow/{name}.schema.json" for name in ("compare", "routes")}
    wanted = {"overgrow/__init__.py", "overgrow/py.typed", *schemas}
    templates = {
        path.relative_to(ROOT / "proxy").as_posix()
        for path in (ROOT / "proxy/overgrow/admin/templates").glob("*")
    }

    assert tops == {"overgrow", next(top for top in tops if top.endswith(".dist-info"))}
    assert (wanted | templates) - set(names) == set()


def test_every_source_file_of_overgrow_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT / "proxy").as_posix()
        for path in (ROOT / "proxy/overgrow").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert sources - names == set()
