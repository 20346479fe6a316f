"""Codes, places, JSON keys, flags, fields, settings and metrics stay: the programs of users read them."""

from __future__ import annotations

import json

import pytest

from tests.stable_names import LIST, names_now

KNOWN = json.loads(LIST.read_text("utf-8"))


@pytest.fixture(scope="module")
def now():
    return names_now()


@pytest.mark.parametrize("family", sorted(KNOWN))
def test_no_name_that_programs_read_disappears(family, now):
    assert [] == sorted(set(KNOWN[family]) - set(now.get(family, ())))


def test_each_family_of_names_is_listed(now):
    assert sorted(now) == sorted(KNOWN)
