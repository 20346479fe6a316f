"""A `database` of data.yaml that is no URL is refused, without what it says: it may have a password."""

from __future__ import annotations

import pytest

from overgrow.data.database import DataError, open_database


@pytest.mark.parametrize("text", ["tulip", "postgresql://a:tulip@b:c/d", "mysql://a:tulip@b/c"])
def test_what_is_no_url_is_refused_without_its_password(tmp_path, text):
    with pytest.raises(DataError) as refused:
        open_database(text, tmp_path)

    assert refused.value.code == "data-url"
    assert "tulip" not in str(refused.value)
