"""SETTINGS is the only list of settings: complete, true, and the measure of what is unknown."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from overgrow.cli.serve.command import serve
from overgrow.settings import (
    SETTINGS,
    SettingError,
    Settings,
    find_unknown_variables,
    settings_from,
)

PACKAGE = Path(__file__).resolve().parents[2] / "proxy/overgrow"
BY_OTHERS = {"COLUMNS", "NOTIFY_SOCKET"}  # documented below the table of the settings

READS = {f"os.environ{way}" for way in ("", ".get", ".pop", ".setdefault")}


def words_of(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def reads_environment(node):
    return isinstance(node, ast.Attribute) and ast.unparse(node) in READS


def variables_read():
    """The names in the sources that are variables: read from os.environ, or in the form of our own."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and reads_environment(node.func):
                yield words_of(node.args[0])
            if isinstance(node, ast.Subscript) and reads_environment(node.value):
                yield words_of(node.slice)
            if re.fullmatch(r"OVERGROW_[A-Z_]+", words_of(node)):
                yield node.value


def unknown(used=(), **environ):
    return dict(find_unknown_variables(environ, used))


def test_every_field_of_the_settings_has_one_row():
    rows = [each.name for each in SETTINGS]

    # Nobody sets the debugger: serve decides.
    assert sorted({each.name for each in fields(Settings)} - {"debugger"}) == sorted(rows)


def test_every_variable_that_the_code_reads_is_a_setting():
    known = {each.variable for each in SETTINGS} | BY_OTHERS | {""}

    assert set() == set(variables_read()) - known


def test_every_option_of_serve_is_a_setting():
    options = {option.opts[0] for option in serve.params if isinstance(option, click.Option)}

    assert {each.flag for each in SETTINGS if each.flag} == options - {"--env-file"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_the_documented_default_is_the_default(setting):
    written = setting.default.strip("`")

    if f"`{written}`" == setting.default:
        assert getattr(Settings(), setting.name) == setting.read("", written)
    else:
        assert not getattr(Settings(), setting.name)


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("OVERGROW_GRACE", "20s", "grace", 20.0),
        ("OVERGROW_DRAIN_DELAY", "500ms", "drain_delay", 0.5),
        ("OVERGROW_FROM_LAST_GOOD", "1", "from_last_good", True),
        ("OVERGROW_THREADS", "4", "threads", 4),
    ],
)
def test_a_variable_sets_its_setting(variable, text, name, value):
    assert value == getattr(settings_from({variable: text}), name)


def test_a_flag_takes_precedence_over_its_variable():
    settings = settings_from({"OVERGROW_GRACE": "20s"}, {"grace": 5.0, "drain_delay": None})

    assert (5.0, 0.0) == (settings.grace, settings.drain_delay)


@pytest.mark.parametrize("text", ["soon", "-1s", "1d", "1 s", "\u0661s"])
def test_a_variable_that_is_no_duration_is_refused(text):
    with pytest.raises(SettingError, match=r"OVERGROW_GRACE is .* Write 25s"):
        settings_from({"OVERGROW_GRACE": text})


@pytest.mark.parametrize(
    ("text", "share"), [("0", 0.0), ("1.0", 1.0), (".25", 0.25), ("1e-3", 0.001)]
)
def test_a_share_of_transactions_is_a_number_up_to_one(text, share):
    assert settings_from({"SENTRY_TRACES_SAMPLE_RATE": text}).sentry_sample_rate == share


@pytest.mark.parametrize("text", ["10%", "1.1", "-0.1", "nan", "much"])
def test_a_share_that_is_none_is_refused_with_the_range(text):
    with pytest.raises(SettingError, match=r"SENTRY_TRACES_SAMPLE_RATE .* from 0 to 1"):
        settings_from({"SENTRY_TRACES_SAMPLE_RATE": text})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("OVERGROW_WORKER", "Did you mean OVERGROW_WORKERS?"),
        ("OVERGROW_TOKEN_ADMIN", "Remove it, or see the settings: overgrow config."),
        ("overgrow_bind", "Did you mean OVERGROW_BIND?"),
        ("OVERGROW_LEGACY", "This setting is only an option of overgrow serve: --legacy."),
        ("OVERGROW_PORT", "Remove it, or see the settings: overgrow config."),
    ],
)
def test_an_unknown_variable_is_told_with_advice(name, advice):
    assert {name: advice} == unknown(**{name: "1"})


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"OVERGROW_WORKERS": "2"}, id="a setting"),
        pytest.param({"OVERGROW_WORKER": ""}, id="empty counts as not set"),
        pytest.param({"_OVERGROW_COMPLETE": "bash_source"}, id="completion"),
        pytest.param({"OVERGROWN": "1"}, id="of somebody else"),
    ],
)
def test_a_variable_that_is_no_mistake_is_not_told(environ):
    assert {} == unknown(**environ)


def test_a_variable_that_the_table_uses_is_not_told():
    assert {} == unknown(used={"OVERGROW_UPSTREAM"}, OVERGROW_UPSTREAM="http://a")


def test_variables_of_a_kubernetes_service_are_not_told():
    service = {
        "OVERGROW_SERVICE_HOST": "10.0.0.1",
        "OVERGROW_SERVICE_PORT": "80",
        "OVERGROW_SERVICE_PORT_HTTP": "80",
        "OVERGROW_PORT": "tcp://10.0.0.1:80",
        "OVERGROW_PORT_80_TCP": "tcp://10.0.0.1:80",
        "OVERGROW_PORT_80_TCP_ADDR": "10.0.0.1",
        "OVERGROW_ADMIN_SERVICE_HOST": "10.0.0.2",
        "OVERGROW_ADMIN_PORT": "tcp://10.0.0.2:81",
    }

    assert {} == unknown(**service)
