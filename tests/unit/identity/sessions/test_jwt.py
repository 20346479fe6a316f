"""Tokens: genuine ones by PyJWT with keys of each family, false ones, and the key set of their issuer."""

from __future__ import annotations

import base64
import hmac
import json
from functools import cache

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from overgrow.identity.reader import StoreAway
from overgrow.identity.sessions.jwt import Tokens
from overgrow.identity.sessions.session_keys import SessionKeys
from overgrow.identity.stores.key_set import KEPT_S, NEGATIVE_S, STALE_S, KeySet
from overgrow.routing.identity import Identity, JwtRules, Refusal

NOW = 1_800_000_000
SECRET = b"a secret of the issuer, long enough for PyJWT not to advise a longer one"
RULES = JwtRules(("HS256",), issuer="https://login.example", audience="shop", leeway_s=10)
NAMES = SessionKeys("sub", "name", "roles")
CLAIMS = {
    "sub": "7",
    "name": "Ann",
    "roles": ["staff"],
    "iss": "https://login.example",
    "aud": ["shop", "other"],
    "exp": NOW + 60,
}


@cache
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def pem(key):
    kind, form = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    return key.public_key().public_bytes(form, kind)


def token(claims=CLAIMS, key=SECRET, algorithm="HS256", **headers):
    return jwt.encode(claims, key, algorithm, headers=headers or None).encode()


def without(name):
    return {key: value for key, value in CLAIMS.items() if key != name}


def read(value, keys=(SECRET,), rules=RULES, now_s=NOW):
    return Tokens(keys, rules, NAMES).check(value, now_s)


@pytest.mark.parametrize("prefix", [b"", b"Bearer ", b"bearer   "])
def test_a_token_says_who_the_user_is(prefix):
    assert read(prefix + token()) == Identity("7", "Ann", ("staff",), CLAIMS, "jwt")


def test_a_token_under_a_former_secret_is_read():
    assert read(token(), (b"today" * 20, SECRET)).id == "7"


def test_a_numbered_user_is_known_by_the_text_of_the_number():
    assert read(token({**CLAIMS, "sub": 7})).id == "7"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(token(key=b"x" * 64), "bad-signature", id="another secret"),
        pytest.param(token()[:-2] + b"AA", "bad-signature", id="a changed signature"),
        pytest.param(token(algorithm="HS384"), "bad-signature", id="an algorithm off the list"),
        pytest.param(token(key=None, algorithm="none"), "bad-signature", id="no signature at all"),
        pytest.param(token(without("exp")), "malformed", id="valid for ever"),
        pytest.param(token(without("iss")), "malformed", id="no issuer"),
        pytest.param(token(without("aud")), "malformed", id="no audience"),
        pytest.param(token(without("sub")), "anonymous", id="no user"),
        pytest.param(token({**CLAIMS, "iss": "https://evil"}), "wrong-issuer", id="other issuer"),
        pytest.param(token({**CLAIMS, "aud": "other"}), "wrong-audience", id="other audience"),
        pytest.param(token({**CLAIMS, "exp": NOW - 10}), "expired", id="expired, with leeway"),
        pytest.param(token({**CLAIMS, "nbf": NOW + 11}), "not-yet-valid", id="of the future"),
        pytest.param(token({**CLAIMS, "exp": "soon"}), "malformed", id="an end that is a text"),
        pytest.param(token({**CLAIMS, "exp": 1e999}), "malformed", id="an endless end"),
        pytest.param(
            token({**CLAIMS, "sub": {"id": 7}}), "malformed", id="a user that is an object"
        ),
        pytest.param(token({**CLAIMS, "sub": "a\nb"}), "malformed", id="a line end in the id"),
        pytest.param(
            b"eyJhbGciOiJIUzI1NiIsImtpZCI6WzFdfQ.e30.AA", "malformed", id="a kid that is a list"
        ),
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b"a.b.c", "malformed", id="no token"),
        pytest.param(b"\xff.\xff.\xff", "malformed", id="not UTF-8"),
        pytest.param(b"x" * 20_000, "too-large", id="too large"),
    ],
)
def test_a_false_token_is_refused(value, reason):
    assert read(value) == Refusal(reason)


@pytest.mark.parametrize("ago", [-50, 9])
def test_a_token_is_read_within_the_leeway(ago):
    assert read(token({**CLAIMS, "exp": NOW - ago, "nbf": NOW + 9})).id == "7"


def test_a_public_key_is_no_secret_for_a_forger():
    public = pem(rsa_key())
    signing = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).rstrip(b"=")
    forged = signing + b"." + body
    forged += b"." + base64.urlsafe_b64encode(hmac.digest(public, forged, "sha256")).rstrip(b"=")

    rules = RULES._replace(algorithms=("RS256", "HS256"))
    assert read(forged, (public,), rules) == Refusal("bad-signature")
    assert read(token(key=rsa_key(), algorithm="RS256"), (public,), rules).id == "7"


@given(st.binary(max_size=300))
def test_no_bytes_make_the_token_reader_raise(value):
    assert isinstance(read(value), Refusal)


@given(
    st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "kid"]), st.none() | st.integers() | st.text())
)
def test_no_signed_claims_make_the_token_reader_raise(claims):
    assert isinstance(read(token({**CLAIMS, **claims} | {"iss": "x"})), Refusal)


class Issuer:
    """An issuer whose keys change, and who may be away."""

    def __init__(self, **keys):
        self.keys, self.asked, self.now_s, self.is_away = keys, [], 1000.0, False

    def fetch(self, url):
        self.asked.append(url)
        if self.is_away:
            raise OSError
        listed = [
            {
                **jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True),
                "kid": name,
            }
            for name, key in self.keys.items()
        ]
        others = [{"kty": "oct", "k": "AAAA", "kid": "o"}, {"kty": "new"}, "x", {"use": "enc"}]
        return json.dumps({"keys": [*others, *listed]}).encode()

    def tokens(self):
        keys = KeySet("https://login.example/keys", self.fetch, lambda: self.now_s)
        return Tokens(keys, RULES._replace(algorithms=("RS256",)), NAMES)


def signed_by(key, **headers):
    return token(key=key, algorithm="RS256", **headers)


def test_the_key_of_a_token_is_asked_once_and_kept():
    issuer = Issuer(a=rsa_key())
    tokens, value = issuer.tokens(), signed_by(rsa_key(), kid="a")

    found = [tokens.check(value, NOW), tokens.read(value, NOW).id, tokens.check(value, NOW).id]

    assert ([None, "7", "7"], 1) == (found, len(issuer.asked))


def test_a_token_without_a_kid_is_tried_with_every_key():
    issuer = Issuer(a=rsa.generate_private_key(65537, 2048), b=rsa_key())

    assert issuer.tokens().read(signed_by(rsa_key()), NOW).id == "7"


def test_invented_names_of_keys_ask_the_issuer_once_in_a_while():
    issuer = Issuer(a=rsa_key())
    tokens = issuer.tokens()
    invented = [signed_by(rsa_key(), kid=f"k{at}") for at in range(5)]

    first = [tokens.read(each, NOW) for each in invented]
    at_once = [tokens.check(each, NOW) for each in invented]
    issuer.now_s += NEGATIVE_S
    later = tokens.check(invented[0], NOW)

    assert ([Refusal("unknown-key")] * 5, [Refusal("unknown-key")] * 5) == (first, at_once)
    assert (None, 1) == (later, len(issuer.asked))


def test_a_new_key_of_the_issuer_is_found():
    issuer, new = Issuer(a=rsa_key()), rsa.generate_private_key(65537, 2048)
    tokens = issuer.tokens()
    tokens.read(signed_by(rsa_key(), kid="a"), NOW)

    issuer.keys, issuer.now_s = {"b": new}, issuer.now_s + NEGATIVE_S
    found = tokens.read(signed_by(new, kid="b"), NOW).id
    former = tokens.read(signed_by(rsa_key(), kid="a"), NOW)

    assert ("7", Refusal("unknown-key")) == (found, former)


def test_known_keys_serve_while_the_issuer_is_away_for_an_hour():
    issuer = Issuer(a=rsa_key())
    tokens, value = issuer.tokens(), signed_by(rsa_key(), kid="a")
    tokens.read(value, NOW)

    issuer.is_away, issuer.now_s = True, issuer.now_s + KEPT_S
    away = tokens.read(value, NOW).id
    issuer.now_s += STALE_S

    assert away == "7"
    with pytest.raises(StoreAway, match="key set"):
        tokens.read(value, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 7}', b"[" * 99_999, b"\xff"])
def test_a_key_set_that_is_none_is_not_to_be_had(body):
    keys = KeySet("https://login.example/keys", lambda _: body, lambda: 0.0)

    with pytest.raises(StoreAway):
        keys.ask("a")


def test_a_key_of_another_kind_does_not_verify():
    issuer = Issuer(a=rsa_key())
    key = ec.generate_private_key(ec.SECP256R1())
    value = token(key=key, algorithm="ES256", kid="a")

    assert issuer.tokens().read(value, NOW) == Refusal("bad-signature")
