import pytest


def check(overgrow, text, **environment):
    """Run check on a table whose legacy URL is a variable of an env file; return its output."""
    table = overgrow.table
    table.write_text(table.read_text().replace("http://127.0.0.1:9000", "${LEGACY_URL}"))
    env_file = table.with_name("prod.env")
    env_file.write_text(text) if isinstance(text, str) else env_file.write_bytes(text)
    return overgrow("routes", "--env-file", str(env_file), **environment)


@pytest.mark.parametrize(
    "line",
    [
        "LEGACY_URL=http://legacy:9000",
        'export LEGACY_URL="http://legacy:9000"  # the old machine',
        "# comment\n\nLEGACY_URL = 'http://legacy:9000'",
        "\ufeffLEGACY_URL=http://legacy:9000\r\n",
    ],
)
def test_variables_of_the_file_are_in_the_environment(overgrow, monkeypatch, line):
    monkeypatch.setenv("LEGACY_URL", "")  # so that what the command sets is undone
    monkeypatch.delenv("LEGACY_URL")

    done = check(overgrow, line)

    assert (0, "legacy is http://legacy:9000") == (done.exit_code, done.stdout.splitlines()[-1])


def test_a_variable_that_is_set_already_stays(overgrow, monkeypatch):
    monkeypatch.setenv("LEGACY_URL", "http://other:9000")

    done = check(overgrow, "LEGACY_URL=http://legacy:9000")

    assert "legacy is http://other:9000" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("LEGACY_URL", "has a line 'LEGACY_URL' without an equals sign"),
        (b"LEGACY_URL=\xff", "is not UTF-8 text"),
        ("A=1\n\n# a\nnot a line\n", "line 4 of"),
        ('A=1\nB="open\nC=1\n', "line 2 of"),
        ("A=1\n\n\nB=a\0b\n", "line 4 of"),
    ],
)
def test_a_file_that_cannot_be_used_is_bad_usage(overgrow, text, told):
    done = check(overgrow, text)

    assert 2 == done.exit_code
    assert told in " ".join(done.stderr.split())


def test_a_file_that_is_not_there_is_bad_usage(overgrow):
    done = overgrow("routes", "--env-file", "nowhere.env")

    assert 2 == done.exit_code
    assert "nowhere.env cannot be read" in " ".join(done.stderr.split())
