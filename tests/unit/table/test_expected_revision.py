"""A flip by somebody who saw a table: it must be the table that is there, and forward may need permission."""

from __future__ import annotations

import pytest

from overgrow.table.reading.parse import revision_of
from tests.unit.table.test_edit import Shop


class Forbidden(Exception):
    pass


def forbid():
    raise Forbidden


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_flip_of_the_table_that_was_seen_is_made(shop):
    shop.flip("get-x", "migrated", expected_revision=revision_of(shop.config.read_bytes()))

    assert 'target: "migrated"' in shop.text


@pytest.mark.parametrize("to", ["migrated", "legacy", "10%"])
def test_a_flip_of_another_table_is_refused(shop, to):
    seen = revision_of(shop.config.read_bytes())
    shop.flip("y", "20%")
    refused = shop.refused(shop.flip, "get-x", to, expected_revision=seen)

    assert "stale-revision" == refused.code
    assert seen in refused.message
    assert revision_of(shop.config.read_bytes()) in refused.message


def test_a_rollback_of_another_table_is_refused(shop):
    shop.flip("y", "20%")
    seen = revision_of(shop.config.read_bytes())
    shop.flip("y", "30%")

    assert "stale-revision" == shop.refused(shop.rollback, expected_revision=seen).code


def test_a_table_that_changes_while_workers_are_asked_is_another(shop):
    seen = revision_of(shop.config.read_bytes())

    def edit_too(_):
        shop.config.write_text(shop.text + "# somebody\n")

    with pytest.raises(Exception, match="the table is") as caught:
        shop.flip("get-x", "migrated", expected_revision=seen, ask=edit_too)

    assert "stale-revision" == caught.value.code
    assert 'target: "legacy"' in shop.text


@pytest.mark.parametrize("to", ["migrated", "gone", "60%", "100%"])
def test_forward_needs_the_permission_of_the_author(shop, to):
    shop.flip("get-x", "50%")
    with pytest.raises(Forbidden):
        shop.flip("get-x", to, may_go_forward=forbid)

    assert "canary: 50%" in shop.text


@pytest.mark.parametrize("to", ["legacy", "0%", "40%", "50%"])
def test_back_needs_no_permission(shop, to):
    shop.flip("get-x", "50%")

    assert to == shop.flip("get-x", to, may_go_forward=forbid).to


def test_from_gone_to_legacy_is_back(shop):
    shop.flip("get-x", "gone")

    assert "legacy" == shop.flip("get-x", "legacy", may_go_forward=forbid).to
