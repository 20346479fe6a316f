"""Exchanges to feed to sinks."""

from overgrow.exchange import Exchange
from overgrow.observe.decision_record import encode_decision
from overgrow.observe.recent_exchanges import RecentExchanges
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Route

NOW_S = 1_700_000_000.25
ORDERS = Route("orders", path="/orders/<int:id>", target="migrated")


def head(target=b"/orders/17", **given):
    client = "203.0.113.9"
    plain = Head("GET", target, [(b"host", b"shop.test")], client, client, "http", "shop.test")
    return plain._replace(**given)


def decision(side="migrated", route=ORDERS):
    return Decision(route, side, "target", "0123456789ab")


def exchange(side="migrated", status=200, **given):
    plain = Exchange(head(), decision(side), status, None, NOW_S, 0.003, 0.002, 0, 300)
    return plain._replace(**given)


def encode_exchange(finished, slot, max_bytes):
    """The text of the record of an exchange."""
    sink = RecentExchanges()
    sink.record(finished)
    return encode_decision(sink.take_decisions().unpack()[0], slot, max_bytes)
