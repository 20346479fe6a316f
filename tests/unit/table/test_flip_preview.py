"""What a flip would do, told without doing it."""

import pytest

from overgrow.table.editing.preview import preview_flip, why_locked
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.problems import EditRefused

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9000"}
routes:
  - name: orders
    path: /orders
    target: legacy
    canary: 10%
  - {name: ledger, prefix: /ledger, target: migrated, reversible: false}
  - {name: one, path: /one, target: legacy, group: pair}
  - {name: two, path: /two, target: legacy, group: pair}
"""


@pytest.fixture
def config(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_text(TABLE)
    return config


def preview(config, name, to):
    return preview_flip(config, config.parent, {}, name, to)


def test_a_preview_names_the_line_and_changes_nothing(config):
    told = preview(config, "orders", "25%")

    assert ("10%", "25%", 'line 7 becomes "canary: 25%"') == (told.from_, told.to, told.lines)
    assert (True, 2500, revision_of(TABLE.encode())) == (
        told.is_forward,
        told.share,
        told.revision,
    )
    assert TABLE == config.read_text()
    assert ["routes.yaml"] == [path.name for path in config.parent.iterdir()]


def test_a_state_that_the_route_has_already_changes_no_line(config):
    assert "" == preview(config, "orders", "10%").lines


def test_a_group_is_previewed_whole(config):
    told = preview(config, "group:pair", "migrated")

    assert ("one", "two") == told.members
    assert "line 9 becomes" in told.lines
    assert "line 10 becomes" in told.lines


def test_back_to_legacy_is_not_forward(config):
    assert not preview(config, "orders", "legacy").is_forward


@pytest.mark.parametrize(
    ("name", "to", "code"),
    [
        ("oders", "legacy", "unknown-route"),
        ("orders", "sideways", "bad-flip"),
        ("ledger", "legacy", "irreversible"),
        ("one", "migrated", "group-member"),
    ],
)
def test_what_the_flip_would_refuse_the_preview_refuses(config, name, to, code):
    with pytest.raises(EditRefused) as refused:
        preview(config, name, to)

    assert code == refused.value.code


@pytest.mark.parametrize("text", ["routes: [", None])
def test_a_file_that_cannot_be_read_is_refused(config, text):
    config.write_text(text) if text else config.unlink()

    with pytest.raises(EditRefused) as refused:
        preview(config, "orders", "legacy")

    assert "file-unreadable" == refused.value.code


def test_a_read_only_file_says_so_and_still_names_the_line(config):
    config.chmod(0o444)
    told = preview(config, "orders", "legacy")

    assert ("the file is read-only", 'line 7 becomes "canary: 0%"') == (told.locked, told.lines)


def test_a_file_that_can_be_changed_is_not_locked(config):
    assert why_locked(config) is None
