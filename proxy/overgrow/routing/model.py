"""The classes of the route table: Route, Legacy, Cohort, RouteTable, Decision.

Pure, frozen values in the form that is used at run time: durations are in seconds, percents in hundredths of a
percent, and defaults are filled in. This module knows nothing of YAML, files, HTTP libraries or the clock. To
change a table, make a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple

from overgrow.routing.identity import Identity, IdentitySource, Subject

Side = Literal["legacy", "migrated"]
Target = Literal["legacy", "migrated", "gone"]
Verdict = Literal["legacy", "migrated", "gone", "refused"]
Reason = Literal[
    "ambiguous-path",
    "target",
    "killed",
    "default",
    "gone",
    "override",
    "canary",
    "breaker",
    "upgrade",
    "identity",  # the user cannot be identified now
    "fallback",  # never decided: legacy answered after migrated failed
]
PredicateKind = Literal["header", "query", "cookie"]

FULL_CANARY = 10_000  # hundredths of a percent in 100%
HISTORY_MAX_BYTES = 500_000_000


class Timeouts(NamedTuple):
    """The timeouts of one exchange with an upstream, in seconds; there is no total timeout.

    It is a tuple, because every request uses it as the key of a look-up, and tuples are hashed fast.
    """

    connect_s: float = 2.0
    response_s: float = 30.0
    idle_s: float = 100.0
    stream_idle_s: float = 3600.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition on a header, query key or cookie: an exact value, or its presence.

    If `value` is None, the name must be present (`present` is True) or absent (`present` is False). If there is
    a `value`, `present` is ignored. Header names are lower case. If a name is repeated, one matching value is
    enough.
    """

    kind: PredicateKind
    name: str
    value: str | None = None
    present: bool = True

    @property
    def label(self) -> str:
        """The name of the condition in `overgrow explain` and error messages, such as `header:X-Beta`."""
        return f"{self.kind}:{self.name}"

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.label}={self.value!r}"
        return self.label if self.present else f"no {self.label}"


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the table: which requests it takes and which side answers them.

    Exactly one of `path` (a Werkzeug rule) and `prefix` is set. `methods` is None for all methods, else
    upper-case names in file order; GET implies HEAD. `servable` says that migrated has a rule for this route.
    """

    name: str
    path: str | None = None
    prefix: str | None = None
    methods: tuple[str, ...] | None = None
    host: str | None = None
    predicates: tuple[Predicate, ...] = ()
    target: Target = "legacy"
    canary: int = 0  # hundredths of a percent: 1_000 is 10%
    priority: int = 0
    reversible: bool = True
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    line: int = 0
    servable: bool = True
    shadow: int = 0  # hundredths of a percent; without effect if the target is gone
    shadow_unsafe: bool = False  # methods with effects are copied too
    shadow_noise: int = 1_000  # hundredths of a percent of the copied requests: legacy asked twice
    shadow_compare: str | None = None  # compare/NAME.yaml; None: the route's own name
    shadow_session: str | None = (
        None  # the cookie that says who is signed in; None: see sessions.py
    )
    shadow_max_answer: int | None = (
        None  # bytes of a response that are kept; None: the default of 256 KiB
    )
    fallback: bool = False
    fallback_unsafe: bool = False  # unsafe methods too, where the request has an Idempotency-Key
    group: str | None = None
    require_clean: int = 0  # clean comparisons that a flip to migrated needs; 0: none
    stream: bool = False  # migrated takes a thread while the body is still arriving
    asgi: bool = False  # migrated serves it by a mounted ASGI app, which takes upgrades too
    identifies: bool = (
        False  # the table says how users are identified, and the route does not forbid it
    )
    asks_identity: bool = (
        False  # so its requests are decided when their user is known: any may go to migrated
    )
    # Whether its requests are decided by target, canary and overrides alone, as most are. Made from other fields, so
    # that such a request costs one check.
    is_ordinary: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_ordinary", self.reversible and not self.asks_identity)

    @property
    def template(self) -> str:
        """The paths that the route takes, in few words for all of them: `/orders/<int:id>`, or `/admin/*` for a prefix."""
        return self.path if self.path is not None else f"{(self.prefix or '').rstrip('/')}/*"

    def __repr__(self) -> str:
        takes = [" ".join(self.methods)] if self.methods else []
        takes.append(self.path if self.path is not None else f"{self.prefix} and below")
        takes += [f"on {self.host}"] if self.host else []
        takes += [f"if {predicate}" for predicate in self.predicates]
        serves: list[str] = [self.target]
        serves += [f"canary {self.canary / 100:g}%"] if self.canary else []
        serves += [f"shadow {self.shadow / 100:g}%"] if self.shadow else []
        serves += ["fallback"] if self.fallback else []
        serves += [f"group {self.group}"] if self.group else []
        serves += [f"priority {self.priority}"] if self.priority else []
        serves += [] if self.reversible else ["irreversible"]
        return f"<Route {self.name}: {' '.join(takes)} -> {', '.join(serves)}>"


@dataclass(frozen=True, slots=True)
class Legacy:
    """How to reach the legacy app. `url` is http://host[:port], https://... or unix:/path.sock."""

    url: str
    host: Literal["preserve", "upstream"] = "preserve"
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    max_connections: int = 256
    tls_ca: str | None = None
    tls_name: str | None = None  # what its certificate names, and SNI; None: the host of `url`
    max_age_s: float = 300.0  # of a connection to it, in seconds; names move
    via: str = "overgrow"  # the pseudonym in Via; parse derives it when the file names none
    forwarded: bool = False  # also send RFC 7239 Forwarded
    max_body: int | None = None  # maximum bytes of a request's body; None: no limit
    leniencies: frozenset[str] = (
        frozenset()
    )  # deviations of the legacy server that are tolerated, by name
    folds: frozenset[str] = frozenset()  # spellings that it takes for the same path, by name
    are_folds_known: bool = False  # the table has `folds`, even if empty
    rewrite_headers: bool = False  # X-Original-URL and X-Rewrite-URL are sent to it
    breaker: bool = False  # whether its routes have breakers: nobody can answer in its place
    probe: str | None = None  # the path that is asked while no request shows whether it answers


@dataclass(frozen=True, slots=True)
class Cohort:
    """The sources that identify a client, in order: "cookie:NAME", "header:NAME" or "ip"."""

    by: tuple[str, ...] = ("cookie:overgrow_id",)
    salt: str = ""


@lru_cache(maxsize=4096)
def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address written in `text`; None if the text is invalid.

    An IPv4 address mapped to IPv6 becomes IPv4.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def plain_address(text: str) -> str:
    """Return an IPv4 address mapped to IPv6 (RFC 4291 2.5.5.2) as IPv4. Return any other text unchanged.

    A listener on [::] reports IPv4 clients as mapped addresses. Mapped and plain addresses must be equal.
    Otherwise a cohort by address would put one client into two buckets.
    """
    if ":" not in text:
        return text
    address = address_of(text)
    return str(address) if isinstance(address, IPv4Address) else text


def plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return an IPv4 network mapped to IPv6 as IPv4. Return any other network unchanged."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


_MAPPED_BITS = 96  # of ::ffff:0:0/96


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The peers whose X-Forwarded-* headers are trusted: networks and, if `unix` is True, unix-socket peers.

    Nobody else may send the headers in `names` either: those that name the user, in lower case.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False
    names: frozenset[bytes] = frozenset()

    def trusts(self, peer: str) -> bool:
        """Return whether the peer at this address is one of the trusted proxies."""
        if peer == "unix":
            return self.unix
        address = address_of(peer)
        return address is not None and any(address in network for network in self.networks)


class Allowance(NamedTuple):
    """The permission `NAME@REVISION` to load a table in which an irreversible route matches fewer requests than before.

    It names the route and the revision of the running table, so that it is valid for a single change.
    """

    name: str
    revision: str

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


class Extent(NamedTuple):
    """The sections and fields in a table's file. Their number shows whether somebody is still writing the file."""

    sections: tuple[
        tuple[str, int], ...
    ] = ()  # the top-level fields in file order, and their sizes
    fields: int = 0  # of the last route
    ends_line: bool = True


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One revision of routes.yaml, validated; its routes are in matching order."""

    revision: str  # the first 12 hex digits of the file's SHA-256
    legacy: Legacy
    routes: tuple[Route, ...] = ()
    cohort: Cohort = Cohort()
    trusted_proxies: TrustedProxies = TrustedProxies()
    app: str | None = None  # as written; read at start only
    allow: frozenset[Allowance] = frozenset()
    identity: tuple[
        IdentitySource, ...
    ] = ()  # who knows the user; the first that knows somebody wins
    history_max: int = HISTORY_MAX_BYTES  # bytes of the store that the history of requests may take
    extent: Extent = field(default=Extent(), compare=False)

    def __repr__(self) -> str:
        return f"<RouteTable {self.revision}: {len(self.routes)} routes, legacy {self.legacy.url}>"


class Decision(NamedTuple):
    """Who answers one request, and why."""

    route: Route | None
    side: Verdict | Literal["undecided"]
    reason: Reason
    revision: str
    bucket: int | None = None  # 0..2**32-1, if the decision depends on a cohort
    cohort: str | None = None  # the source that identified the client, never its value
    assign_id: bool = False  # the response should set the overgrow_id cookie
    identity: Identity | None = (
        None  # the user, where the route asks for it and somebody is signed in
    )
    legacy_calls: int = 0  # how often the view called legacy; known when it has answered
    # Only of an undecided request: returns the decision, once it is known who the user is.
    resume: Callable[[Subject], Decision] | None = None

    @property
    def route_name(self) -> str:
        """The route's name; "default" if no route took the request."""
        return self.route.name if self.route else "default"

    def __repr__(self) -> str:
        asked = f", bucket {self.bucket} by {self.cohort}" if self.bucket is not None else ""
        assign = ", assigns an id" if self.assign_id else ""
        return (
            f"<Decision {self.route_name} -> {self.side} ({self.reason}{asked}{assign}), "
            f"revision {self.revision}>"
        )
