"""Starts the SDK of Sentry in one worker, after the fork, and adds facts about the request to its events.

Rule: if the team's app has started the SDK itself, its client stays, and gets the same names, tags and redaction. If
that client was told to send personal data, it is not redacted: the team has decided so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.utils import event_from_exception

from overgrow.telemetry.receivers import ReceiverStatus
from overgrow.telemetry.sentry.redaction import EventRedactor
from overgrow.telemetry.sentry.reported_request import CURRENT, request_of, values_to_hide
from overgrow.telemetry.sentry.transport import WatchedTransport

FLUSH_S = 1.0  # for events that wait when the worker ends
_OWN_LOGGERS = ("overgrow", "gunicorn")

Event = Any  # a TypedDict of the SDK


def start_sentry(dsn: str, status: ReceiverStatus, secrets: Iterable[str]) -> bool:
    """Start the SDK, or adopt the client that the app has started. Return whether the client is the app's.

    Raises:
        ValueError: if the address cannot be used.

    """
    marker = EventMarker(tuple(secrets))
    client = sentry_sdk.get_client()
    if client.is_active():
        _adopt(client, marker)
        return True
    client = sentry_sdk.Client(
        dsn=dsn,
        transport=WatchedTransport,
        integrations=[
            DedupeIntegration(),
            LoggingIntegration(sentry_logs_level=None),
            SqlalchemyIntegration(),
            ThreadingIntegration(),
        ],
        default_integrations=False,
        auto_enabling_integrations=False,
        traces_sampler=lambda _context: float(_is_sampled()),
        trace_propagation_targets=[],
        before_send=marker.mark_error,
        before_send_transaction=marker.mark_transaction,
        include_local_variables=False,
        max_request_body_size="never",
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        enable_metrics=False,
        send_client_reports=False,
        spotlight=False,
    )
    if isinstance(client.transport, WatchedTransport):
        client.transport.status = status
    sentry_sdk.get_global_scope().set_client(client)
    return False


def _is_sampled() -> bool:
    """Return whether a transaction is sent: only that of a migrated request that was drawn."""
    request = CURRENT.get()
    return request is not None and request.is_sampled and request.decision.side == "migrated"


def _adopt(client: Any, marker: EventMarker) -> None:
    """After the app's own hooks, let the app's client send the result of `marker`."""
    is_redacted = not client.should_send_default_pii()
    for hook, ours in (
        ("before_send", marker.mark_error if is_redacted else mark),
        ("before_send_transaction", marker.mark_transaction if is_redacted else mark),
    ):
        client.options[hook] = _chain(client.options.get(hook), ours)


def _chain(first: Callable[..., Any] | None, then: Callable[..., Any]) -> Callable[..., Any]:
    def call_both(event: Event, hint: Mapping[str, Any]) -> Event | None:
        kept = event if first is None else first(event, hint)
        return None if kept is None else then(kept, hint)

    return call_both


def capture_view_error(_app: Any, exception: BaseException, **_more: Any) -> None:
    """Report an exception that Flask turns into a 500; connected to its signal `got_request_exception`."""
    client = sentry_sdk.get_client()
    if client.get_integration("flask") is not None:  # it reports by itself
        return
    event, hint = event_from_exception(
        exception,
        client_options=client.options,
        mechanism={"type": "flask", "handled": False},
    )
    sentry_sdk.capture_event(event, hint=hint)


def close_sentry() -> None:
    """Send the waiting events, for at most FLUSH_S, and end the SDK's thread. This call blocks."""
    sentry_sdk.get_client().close(timeout=FLUSH_S)


class EventMarker:
    """Adds the name and the tags of the running request to an event, and redacts the event."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def mark_error(self, event: Event, hint: Mapping[str, Any]) -> Event | None:
        """Return an error in the form to send; None for a line of the front door's log, which has its own alerts."""
        if event.get("type") == "check_in":
            return event
        if str(event.get("logger") or "").startswith(_OWN_LOGGERS):
            if not event.get("exception"):
                return None
            event.pop("logentry", None)  # it contains the path
        return self.mark_transaction(event, hint)

    def mark_transaction(self, event: Event, hint: Mapping[str, Any]) -> Event | None:
        """Return a transaction in the form in which it is sent."""
        try:
            values = values_to_hide(request_of(hint))
            return mark(EventRedactor(values, self._secrets).redact(event), hint)
        except Exception:  # noqa: BLE001 - nothing may leave unread, and an error should not vanish
            return bare_event(event)


def bare_event(event: Event) -> Event | None:
    """Return what is safe of an error whose form nobody expected; None for a transaction, which needs more."""
    if event.get("type") == "transaction":
        return None
    names = ("event_id", "level", "platform", "timestamp")
    return {
        **{name: event[name] for name in names if name in event},
        "message": "an error whose report could not be redacted",
    }


def mark(event: Event, hint: Mapping[str, Any]) -> Event:
    """Return an event with the name and the tags of the current request."""
    request = request_of(hint)
    if request is not None:
        event["transaction"] = request.name
        event["transaction_info"] = {"source": "route"}
        event["tags"] = dict(event.get("tags") or {}) | request.tags()
        event["request"] = request.as_request() | dict(event.get("request") or {})
    return event
