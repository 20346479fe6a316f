"""What a legacy app's name suggests of the spellings that it folds."""

from __future__ import annotations

import pytest

from overgrow.routing.fold_hints import server_description, suggested_folds


@pytest.mark.parametrize(
    ("headers", "folds"),
    [
        pytest.param([(b"Server", b"Microsoft-IIS/10.0")], ("case", "trailing", "iis"), id="IIS"),
        pytest.param(
            [(b"server", b"nginx"), (b"X-Powered-By", b"ASP.NET")],
            ("case", "trailing", "iis"),
            id="ASP.NET behind another name",
        ),
        pytest.param(
            [(b"X-AspNet-Version", b"4.0.30319")],
            ("case", "trailing", "iis"),
            id="its version alone",
        ),
        pytest.param([(b"server", b"Kestrel")], ("case", "trailing"), id="Kestrel"),
        pytest.param(
            [(b"Server", b"Apache/2.4.58 (Win64) PHP/8.2")], ("case", "trailing"), id="on Windows"
        ),
        pytest.param([(b"server", b"Apache/2.4 (Debian)")], (), id="on Debian"),
        pytest.param([(b"server", b"Apache-Coyote/1.1")], ("trailing",), id="Tomcat"),
        pytest.param([(b"Server", b"Jetty(9.4.z)")], ("trailing",), id="Jetty"),
        pytest.param([(b"X-Powered-By", b"Servlet/3.1 JSP/2.3")], ("trailing",), id="a servlet"),
        pytest.param([(b"X-Powered-By", b"Express")], ("case", "trailing"), id="Express"),
        pytest.param([(b"server", b"nginx"), (b"x-powered-by", b"PHP/8.2")], (), id="PHP"),
        pytest.param([(b"x-server", b"Microsoft-IIS")], (), id="another header"),
        pytest.param([], (), id="nothing"),
    ],
)
def test_a_name_suggests_folds(headers, folds):
    assert suggested_folds(server_description(headers)) == folds


def test_what_legacy_says_of_itself_is_cut():
    assert len(server_description([(b"server", b"x" * 9_000)])) == 80
