"""Templates of paths: what differs in numbers and ids alone is one, and nothing secret is kept."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.routing.facts import path_of
from overgrow.routing.path_template import template_of
from overgrow.routing.rules import parse_rule

UUID = "123e4567-e89b-12d3-a456-426614174000"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param("/orders/17/items/4", "/orders/<int:id>/items/<int:id2>", id="numbers"),
        pytest.param("/orders/17/", "/orders/<int:id>/", id="trailing slash"),
        pytest.param("/api/v2/users/1", "/api/v2/users/<int:id>", id="a version is a word"),
        pytest.param(f"/a/{UUID}", "/a/<uuid:id>", id="uuid"),
        pytest.param(f"/a/{UUID.upper()}.pdf", "/a/<uuid:id>.pdf", id="uuid with an ending"),
        pytest.param("/r/2026-11-30.csv", "/r/<date>.csv", id="date"),
        pytest.param("/c/507f1f77bcf86cd799439011", "/c/<hash>", id="hash"),
        pytest.param("/app.3f2a9c1b77aa.js", "/app.<hash>.js", id="hash in a name"),
        pytest.param(f"/reset/{JWT}", "/reset/<token>", id="token"),
        pytest.param("/s/dGhpcyBpcyBhIHRva2Vu", "/s/<token>", id="token without digits"),
        pytest.param("/c/3f2a9c1", "/c/<hash>", id="short hash"),
        pytest.param("/n/V1StGXR8_Z5jdHi6B-myT", "/n/<token>", id="token with separators"),
        pytest.param("/addCustomFieldSetting", "/addCustomFieldSetting", id="words in camel case"),
        pytest.param("/aDdCuStOmFiElDsEtTiNg", "/<token>", id="no words in camel case"),
        pytest.param("/cus_NffrFeUfNV2Hib", "/<token>", id="token with a prefix"),
        pytest.param("/i/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/i/<token>", id="ULID"),
        pytest.param("/my-iPhone12Pro-is-broken", "/my-iPhone12Pro-is-broken", id="a name"),
        pytest.param("/face2face", "/face2face", id="a word of hexadecimal letters"),
        pytest.param("/cart;jsessionid=0A1B2C/7", "/cart/<int:id>", id="parameters"),
        pytest.param("/u/bob@example.com", "/u/<email>", id="address"),
        pytest.param("/img_0042.jpg", "/img_<int:id>.jpg", id="number in a name"),
        pytest.param("/how-to-migrate", "/how-to-migrate", id="slug"),
        pytest.param("/internationalization", "/internationalization", id="long word"),
        pytest.param("/<b>x", "/<text>", id="markup"),
        pytest.param("/x\u202ey", "/<text>", id="bidi"),
        pytest.param("/" + "a" * 300, "/<text>", id="long segment"),
        pytest.param("/a" * 20, "/a" * 12 + "/<path:rest>", id="deep"),
        pytest.param("*", "*", id="all of a server"),
    ],
)
def test_ids_become_variables(path, template):
    assert template == template_of(path).template


@pytest.mark.parametrize("secret", [JWT, "507f1f77bcf86cd799439011", "bob@example.com"])
def test_an_example_contains_no_secret(secret):
    assert secret not in "".join(template_of(f"/reset/{secret}"))


def test_an_example_is_a_real_path():
    assert "/orders/17" == template_of("/orders/17").example


@given(st.text(min_size=1, max_size=200))
def test_a_template_is_short_and_a_rule_if_the_path_is_plain(text):
    path = path_of(f"/{quote(text)}".encode())
    template = template_of(path or "/").template
    if "%" not in template:
        parse_rule(template)

    assert len(template) < 2000
