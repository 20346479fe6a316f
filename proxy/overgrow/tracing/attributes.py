"""The attributes of our two spans, by the semantic conventions for HTTP, version 1.44. Pure.

Rule: each name here is one of the conventions or begins with `overgrow.`; tests/unit/tracing has the names of
the conventions. An attribute must not hold a secret. Of the headers, only User-Agent is recorded. Bodies and
texts of errors are never recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from overgrow.exchange import Exchange, Failure
from overgrow.http import DEFAULT_PORTS
from overgrow.routing.facts import Head, header_values, hostname_of

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
KNOWN_METHODS_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
# RFC 9110, PATCH (RFC 5789) and QUERY (RFC 10008 in the making): what the conventions know by default.
_USUAL_METHODS = "CONNECT,DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT,QUERY,TRACE"

Attributes = dict[str, str | int | bool]
RedactQuery = Callable[[str], str]
RuleOf = Callable[[Head], str | None]  # the URL rule by which the migrated app serves a request


def known_methods(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the methods that are recorded by name. If the variable is set, it replaces the usual methods."""
    listed = environ.get(KNOWN_METHODS_VARIABLE) or _USUAL_METHODS
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def method_attributes(method: str, known: Collection[str]) -> Attributes:
    """Return the attribute of a method.

    An unknown method becomes `_OTHER`, so that clients cannot create new values.
    """
    if method in known:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def span_name(method: str, known: Collection[str], template: str | None = None) -> str:
    """Return the name of a span: the method, and the template of the path if there is one."""
    name = method if method in known else "HTTP"
    return f"{name} {template}" if template else name


def request_attributes(
    head: Head, known: Collection[str], redact_query: RedactQuery, peer_port: int | None = None
) -> Attributes:
    """Return the attributes of a request that are known at its beginning."""
    path, mark, query = head.target.decode("utf-8", "replace").partition("?")
    found = method_attributes(head.method, known)
    found |= {"url.path": path, "url.scheme": head.scheme}
    found["network.protocol.version"] = head.http_version
    if mark and query:
        found["url.query"] = redact_query(query)
    found |= _server_address(head)
    if head.client not in {"", "unix"}:
        found["client.address"] = head.client
    if head.peer not in {"", "unix"}:
        found["network.peer.address"] = head.peer
        if peer_port:
            found["network.peer.port"] = peer_port
    agent = next(header_values(head.headers, b"user-agent"), b"")
    if agent:
        found["user_agent.original"] = agent.decode("latin-1")
    return found


def _server_address(head: Head) -> Attributes:
    name = hostname_of(head.host)
    if not name:
        return {}
    port = head.host.rpartition(":")[2]
    if not (port.isascii() and port.isdigit()):  # none, or the end of an IPv6 address
        port = str(DEFAULT_PORTS.get(head.scheme, ""))
    found: Attributes = {"server.address": name.strip("[]")}
    return found | {"server.port": int(port)} if port else found


def template_of(exchange: Exchange, rule_of: RuleOf) -> str | None:
    """Return the template of a request's path; None if no route took the request.

    A prefix says little of what it serves, so the rule of the migrated app that served the request takes its place.
    """
    route = exchange.decision.route
    if route is None:
        return None
    if route.path is None and exchange.decision.side == "migrated":
        return rule_of(exchange.head) or route.template
    return route.template


def exchange_attributes(exchange: Exchange, template: str | None) -> Attributes:
    """Return the attributes of a request that are known at its end."""
    decision = exchange.decision
    found: Attributes = {
        "overgrow.route": decision.route_name,
        "overgrow.side": decision.side,
        "overgrow.reason": decision.reason,
        "overgrow.revision": decision.revision,
    }
    if template is not None:
        found["http.route"] = template
    if exchange.fallback is not None:
        found["overgrow.fallback.code"] = exchange.fallback.code
    if exchange.status:
        found["http.response.status_code"] = exchange.status
    error = server_error_type(exchange.status, exchange.failure)
    return found | {"error.type": error} if error else found


def metric_attributes(
    exchange: Exchange, known: Collection[str], template: str | None
) -> Attributes:
    """Return the attributes of `http.server.request.duration`. Each has few values, whatever clients send."""
    head, status = exchange.head, exchange.status
    found: Attributes = {
        "http.request.method": head.method if head.method in known else "_OTHER",
        "url.scheme": head.scheme,
        "network.protocol.version": head.http_version,
    }
    if template is not None:
        found["http.route"] = template
    if status:
        found["http.response.status_code"] = status
    error = server_error_type(status, exchange.failure)
    return found | {"error.type": error} if error else found


def server_error_type(status: int, failure: Failure | None) -> str:
    """Return the value of `error.type` for a request; empty if the conventions do not count its end as an error.

    A status of 4xx is an error of the client, and not of this server.
    """
    if 400 <= status < 500:
        return ""
    if failure is not None:
        return failure.code
    return str(status) if status >= 500 else ""


def client_error_type(status: int | None, failure: Failure | None) -> str:
    """Return the value of `error.type` for an attempt. For a client, a status of 4xx is an error too."""
    if failure is not None:
        return failure.code
    return str(status) if status is not None and status >= 400 else ""


def upstream_attributes(url: str) -> tuple[Attributes, str]:
    """Return (attributes of legacy's address, beginning of the URLs of requests to legacy)."""
    if url.startswith("unix:"):
        return {"server.address": url.removeprefix("unix:")}, "http://localhost"
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    host = parts.hostname or ""
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return {"server.address": host, "server.port": port}, base


def url_of_attempt(base: str, target: bytes, redact_query: RedactQuery) -> str:
    """Return the absolute URL of a request to legacy, with the secret parts of its query hidden."""
    path, mark, query = target.decode("utf-8", "replace").partition("?")
    shown = "" if path == "*" else path
    return f"{base}{shown}?{redact_query(query)}" if mark and query else f"{base}{shown}"
