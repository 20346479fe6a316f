"""From a table's `identity:` to readers: where secrets come from, and what is said if one is missing."""

from __future__ import annotations

import pytest

from overgrow.identity.opening import fingerprint_of_places, open_reader
from overgrow.identity.reader import Materials
from overgrow.routing.identity import IdentitySource, SecretPlace, Unavailable


def open_with(source, env):
    """Return what the builder of a reader gets, or why there is no reader."""
    return open_reader(source, {"flask": lambda materials: materials}, env)


def flask(*places, store=None):
    return IdentitySource("flask", secrets=places, store=store)


def test_secrets_come_from_variables_and_files_in_order(tmp_path):
    (tmp_path / "former").write_bytes(b"older\r\n")
    source = flask(SecretPlace("env", "NOW"), SecretPlace("file", str(tmp_path / "former")))

    assert open_with(source, {"NOW": "newer"}) == Materials(source, (b"newer", b"older"))


def test_a_store_is_the_text_at_its_place_or_a_folder():
    of_variable = flask(store=SecretPlace("env", "DB"))
    of_folder = flask(store=SecretPlace("dir", "/var/lib/php"))

    assert open_with(of_variable, {"DB": "sqlite:///x"}).store == "sqlite:///x"
    assert open_with(of_folder, {}).store == "/var/lib/php"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (SecretPlace("env", "KEY"), "the variable KEY is not set"),
        (SecretPlace("file", "/nowhere/key"), "file:/nowhere/key cannot be read: No such file"),
    ],
)
def test_a_missing_secret_makes_its_reader_unavailable(place, why):
    found = open_with(flask(place), {"KEY": ""})

    assert isinstance(found, Unavailable)
    assert (found.reader, found.why.startswith(why)) == ("flask", True)


def test_an_empty_or_huge_file_is_no_secret(tmp_path):
    for name, content in (("empty", b"\n"), ("huge", b"x" * 70_000)):
        (tmp_path / name).write_bytes(content)

    found = [
        open_with(flask(SecretPlace("file", str(tmp_path / name))), {}).why
        for name in ("empty", "huge")
    ]
    assert [why.rpartition(" is ")[2] for why in found] == ["empty", "larger than 64 KiB"]


def test_the_fingerprint_changes_with_a_secret_and_shows_none(tmp_path):
    file = tmp_path / "key"
    sources = [flask(SecretPlace("file", str(file)))]
    prints = [fingerprint_of_places(sources, {})]
    for secret in (b"hunter2", b"hunter3"):
        file.write_bytes(secret)
        prints.append(fingerprint_of_places(sources, {}))

    assert len({*prints, fingerprint_of_places(sources, {})}) == 3
    assert not any(b"hunter" in each for each in prints)
