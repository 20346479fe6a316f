"""The names of the attributes of HTTP spans, as the semantic conventions 1.44.0 list them (model/http/spans.yaml)."""

from __future__ import annotations

_COMMON = {
    "error.type",
    "http.request.body.size",
    "http.request.method",
    "http.request.method_original",
    "http.request.size",
    "http.response.body.size",
    "http.response.size",
    "http.response.status_code",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.name",
    "network.protocol.version",
    "network.transport",
    "server.address",
    "server.port",
    "url.scheme",
    "user_agent.original",
    "user_agent.synthetic.type",
}
CLIENT_NAMES = frozenset(_COMMON | {"http.request.resend_count", "url.full", "url.template"})
SERVER_NAMES = frozenset(
    _COMMON
    | {
        "client.address",
        "client.port",
        "http.route",
        "network.local.address",
        "network.local.port",
        "url.path",
        "url.query",
    }
)
CLIENT_REQUIRED = frozenset({"http.request.method", "server.address", "server.port", "url.full"})
SERVER_REQUIRED = frozenset({"http.request.method", "url.path", "url.scheme"})
# The whole key of the histogram `http.server.request.duration`, but for what is opt-in.
METRIC_NAMES = frozenset(
    {
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "network.protocol.name",
        "network.protocol.version",
        "url.scheme",
    }
)
OURS = frozenset(
    f"overgrow.{name}"
    for name in ("route", "side", "reason", "revision", "fallback.code", "shadow")
)
