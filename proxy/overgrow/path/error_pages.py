"""A Server that turns the front door's own responses into pages for browsers.

Programs get the short text of FAILURES. If Accept names text/html, the client gets a page with the same words,
made from the team's own template or the built-in one. Both responses have the same status and headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from string import Template

from overgrow.exchange import FAILURES, Failure, Inbound, Reply, Server
from overgrow.routing.facts import Headers
from overgrow.routing.model import Decision

ANY_ERROR = "error"  # the template for what has none of its own
BUILT_IN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$status $title</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.6 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem }
code { opacity: .6; font-size: .9rem }
</style>
</head>
<body>
<h1>$title</h1>
<p>$message</p>
<p><code>$status $code</code></p>
</body>
</html>
"""
_HTML_RANGE = re.compile(
    rb"(?:^|,)\s*(?:text/html|application/xhtml\+xml)\s*(?:;(?P<parameters>[^,]*))?(?:,|$)",
    re.IGNORECASE,
)
_NO_WEIGHT = re.compile(rb";?\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)


class ErrorPages:
    """Wraps a Server.

    `templates` maps a failure code, a status, or `error` (the default) to the text of a string.Template. A
    template may use `$status`, `$title`, `$code`, `$message` and `$retry_after` (seconds, or empty).
    """

    def __init__(self, server: Server, templates: Mapping[str, str]) -> None:
        self._server = server
        self._templates = templates

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Ask the wrapped server. If a browser gets the front door's own text, replace the text by a page."""
        reply = await self._server.serve(inbound, decision)
        if (
            reply.failure is not None
            and _is_front_door_error_text(reply)
            and prefers_html(inbound.head.headers)
        ):
            self._replace_body_by_page(reply, reply.failure)
        return reply

    def _replace_body_by_page(self, reply: Reply, failure: Failure) -> None:
        body = render_page(failure, self._templates).encode()
        reply.body = body
        replaced = {
            b"content-type": b"text/html; charset=utf-8",
            b"content-length": str(len(body)).encode(),
        }
        reply.headers = [(name, replaced.get(name, value)) for name, value in reply.headers]


def _is_front_door_error_text(reply: Reply) -> bool:
    """Return whether the text of a reply is the front door's own.

    The failure of a reply does not show this, because a side's own response may carry a failure too.
    """
    return isinstance(reply.body, bytes) and any(
        name == b"x-overgrow-error" for name, _ in reply.headers
    )


def prefers_html(headers: Headers) -> bool:
    """Return whether a client's Accept names HTML (RFC 9110 12.5.1); `*/*` alone means a program."""
    for name, value in headers:
        if name == b"accept":
            found = _HTML_RANGE.search(value)
            if found is not None and not _NO_WEIGHT.match(found["parameters"] or b""):
                return True
    return False


def render_page(failure: Failure, templates: Mapping[str, str]) -> str:
    """Return the page made from the first template that exists: for the failure's code, its status, or `error`."""
    status, message = FAILURES[failure.code]
    template = (
        templates.get(failure.code)
        or templates.get(str(status))
        or templates.get(ANY_ERROR)
        or BUILT_IN
    )
    values = {
        "status": str(status),
        "title": HTTPStatus(status).phrase,
        "code": failure.code,
        "message": message,
        "retry_after": "" if failure.retry_after_s is None else str(failure.retry_after_s),
    }
    return Template(template).safe_substitute({key: escape(text) for key, text in values.items()})
