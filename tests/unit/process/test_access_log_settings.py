"""Which access log the settings ask for."""

import io

import pytest

from overgrow.observe.access_log.combined_lines import CombinedLines
from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.access_log.sampling import SampledJsonLines, SampledSink
from overgrow.observe.access_log.short_lines import ShortLines
from overgrow.process.access_log import access_log_sinks, build_access_log, line_format
from overgrow.settings import SettingError, Settings, settings_from
from tests.unit.observe.exchanges import exchange


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        pytest.param({}, False, JsonLines, id="a pipe gets JSON"),
        pytest.param({}, True, ShortLines, id="a terminal gets short lines"),
        pytest.param({"OVERGROW_ACCESS_LOG": "json"}, True, JsonLines, id="JSON is asked for"),
        pytest.param({"OVERGROW_ACCESS_LOG": "short"}, False, ShortLines, id="short in a file"),
        pytest.param({"OVERGROW_ACCESS_LOG": "combined"}, True, CombinedLines, id="combined"),
        pytest.param({"OVERGROW_ACCESS_LOG_SAMPLE": "10%"}, False, SampledJsonLines, id="sampled"),
    ],
)
def test_the_format_follows_settings_and_terminal(environ, is_terminal, expected):
    found = line_format(settings_from(environ), {}, is_terminal=is_terminal)

    assert type(found) is expected


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_a_terminal_gets_colors_unless_it_asks_for_none(environ, is_terminal, expected):
    lines = line_format(Settings(access_log="short"), environ, is_terminal=is_terminal)

    assert ("\x1b" in lines.format_line(exchange())) is expected


def test_a_file_gets_json_though_standard_output_is_a_terminal(tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    log = build_access_log(Settings(access_log_file=tmp_path / "log"), Terminal())
    log.record(exchange())
    log.close()

    assert (tmp_path / "log").read_text().startswith('{"@timestamp"')


def test_no_sink_is_left_when_the_log_is_off():
    settings = Settings(access_log="off")

    assert access_log_sinks(settings, build_access_log(settings, io.StringIO())) == ()


def test_without_sampling_the_log_itself_is_the_sink():
    log = build_access_log(Settings(), io.StringIO())

    assert access_log_sinks(Settings(), log) == (log,)
    assert type(access_log_sinks(Settings(access_log_sample=1000), log)[0]) is SampledSink


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OVERGROW_ACCESS_LOG", "jsonl", "Write json, short, combined or off."),
        ("OVERGROW_ACCESS_LOG", "JSON", "Write json, short, combined or off."),
        ("OVERGROW_ACCESS_LOG_SAMPLE", "0.1", "Write 10% or 0.5%."),
        ("OVERGROW_ACCESS_LOG_SAMPLE", "101%", "from 0% to 100%"),
        ("OVERGROW_ACCESS_LOG_SAMPLE", "-1%", "from 0% to 100%"),
        ("OVERGROW_ACCESS_LOG_SAMPLE", "٣%", "from 0% to 100%"),
    ],
)
def test_a_setting_that_cannot_be_used_says_the_fix(variable, value, expected):
    with pytest.raises(SettingError, match=expected):
        settings_from({variable: value})


@pytest.mark.parametrize(
    ("text", "hundredths"), [("10%", 1000), ("0.5%", 50), ("0.05%", 5), ("0%", 0), ("100%", 10_000)]
)
def test_a_share_is_written_as_in_the_table(text, hundredths):
    found = settings_from({"OVERGROW_ACCESS_LOG_SAMPLE": text})

    assert found.access_log_sample == hundredths


@pytest.mark.parametrize("text", ["-", "/dev/stdout"])
def test_standard_output_can_be_named(text):
    assert settings_from({"OVERGROW_ACCESS_LOG_FILE": text}).access_log_file is None
