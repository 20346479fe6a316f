"""Which answers may carry a client's id: those that no shared cache hands on (RFC 9111)."""

from __future__ import annotations

import pytest

from overgrow.path.client_id_cookie import may_caches_share_response

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
EARLIER = "Tue, 14 Nov 2023 22:00:00 GMT"
LATER = "Tue, 14 Nov 2023 23:00:00 GMT"


def shared(*lines, status=200):
    pairs = [tuple(part.encode() for part in line.split(": ", 1)) for line in lines]
    return may_caches_share_response(status, pairs, NOW_S)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="no freshness at all"),
        pytest.param(["Cache-Control: private"], id="private"),
        pytest.param(["Cache-Control: private, max-age=60"], id="private with a lifetime"),
        pytest.param(["cache-control: NO-STORE"], id="no-store in any case"),
        pytest.param(["Cache-Control: no-cache"], id="no-cache"),
        pytest.param(["Cache-Control: no-cache, max-age=60"], id="no-cache beats a lifetime"),
        pytest.param(
            ["Cache-Control: max-age=60", "Cache-Control: private"], id="in several lines"
        ),
        pytest.param(["Cache-Control: , private ,,"], id="with empty elements"),
        pytest.param(["Cache-Control: max-age=0"], id="a lifetime of nothing"),
        pytest.param(['Cache-Control: max-age="0", must-revalidate'], id="and quoted"),
        pytest.param(["Cache-Control: private", f"Expires: {LATER}"], id="private beats Expires"),
        pytest.param([f"Expires: {EARLIER}"], id="has expired"),
        pytest.param(["Expires: 0"], id="has expired, as many write it"),
        pytest.param(["Expires: -1"], id="has expired, as others write it"),
        pytest.param([f"Date: {LATER}", f"Expires: {LATER}"], id="expires as it is made"),
        pytest.param(["Expires: 0", f"Last-Modified: {EARLIER}"], id="nothing is left to guess"),
        pytest.param(
            ["Cache-Control: max-age=0", f"Last-Modified: {EARLIER}"], id="nor with max-age"
        ),
        pytest.param(
            ["Cache-Control: no-cache", f"Last-Modified: {EARLIER}"], id="as files of Flask are"
        ),
        pytest.param(["Pragma: no-cache"], id="an old word beside no freshness"),
        pytest.param(["CDN-Cache-Control: no-store"], id="no cache of a CDN either"),
        pytest.param(["CDN-Cache-Control: max-age=0"], id="nor for any time"),
        pytest.param(["Surrogate-Control: no-store", "Cache-Control: private"], id="neither"),
        pytest.param(["X-Accel-Expires: 0"], id="nor nginx"),
        pytest.param(['ETag: "a"', "Vary: Cookie"], id="what can be asked for anew"),
    ],
)
def test_what_no_shared_cache_hands_on_may_bear_an_id(lines):
    assert not shared(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Cache-Control: max-age=60"], id="a lifetime"),
        pytest.param(["CACHE-CONTROL: Max-Age = 60"], id="in any case, with blanks"),
        pytest.param(["Cache-Control: max-age=60", "Pragma: no-cache"], id="an old word beside it"),
        pytest.param(["Cache-Control: s-maxage=0"], id="s-maxage"),
        pytest.param(["Cache-Control: public"], id="public"),
        pytest.param(["Cache-Control: private", "Cache-Control: public"], id="both"),
        pytest.param(["Cache-Control: max-age=0, max-age=60"], id="two lifetimes"),
        pytest.param(["Cache-Control: max-age=soon"], id="a lifetime that is none"),
        pytest.param(["Cache-Control: max-age=60; private"], id="divided by a semicolon"),
        pytest.param(["Cache-Control: private; max-age=60"], id="the other way round"),
        pytest.param(['Cache-Control: private="set-cookie", max-age=60'], id="private for a field"),
        pytest.param(['Cache-Control: no-cache="set-cookie, x", max-age=60'], id="no-cache for it"),
        pytest.param(['Cache-Control: x="private", max-age=60'], id="the word in quotes"),
        pytest.param(['Cache-Control: x="private, max-age=60'], id="a quote that never ends"),
        pytest.param(["Cache-Control: not-private, max-age=60"], id="a longer word"),
        pytest.param(
            ["Cache-Control: no-store, must-understand, max-age=60"], id="no-store that is void"
        ),
        pytest.param(
            ["Cache-Control: max-age=0, stale-while-revalidate=60"], id="stale for a while"
        ),
        pytest.param(["Cache-Control: max-age=0, stale-if-error=60"], id="stale after errors"),
        pytest.param(["Cache-Control: immutable"], id="for ever"),
        pytest.param([f"Expires: {LATER}"], id="expires later"),
        pytest.param(
            [f"Date: {EARLIER}", "Expires: Tue, 14 Nov 2023 22:01:00 GMT"], id="than Date"
        ),
        pytest.param(["Cache-Control: max-age=0", f"Expires: {LATER}"], id="for old caches"),
        pytest.param(["Expires: 2033-11-14T00:00:00Z"], id="a date of another kind"),
        pytest.param([f"Last-Modified: {EARLIER}"], id="a lifetime to be guessed"),
        pytest.param(["Cache-Control: private", "CDN-Cache-Control: max-age=60"], id="a CDN's"),
        pytest.param(
            ["Cache-Control: no-store", "Cloudflare-CDN-Cache-Control: max-age=60"], id="one CDN's"
        ),
        pytest.param(
            ["Cache-Control: private", "Surrogate-Control: max-age=60"], id="a surrogate's"
        ),
        pytest.param(["Cache-Control: private", "Edge-Control: cache-maxage=1h"], id="Akamai's"),
        pytest.param(["Cache-Control: private", "X-Accel-Expires: 60"], id="nginx's"),
    ],
)
def test_what_a_shared_cache_may_hand_on_bears_no_id(lines):
    assert shared(*lines)


def test_an_answer_that_renews_a_stored_one_bears_no_id():
    """RFC 9111 4.3.4: its headers go into the stored answer, which others get."""
    assert shared("Cache-Control: private", status=304)
