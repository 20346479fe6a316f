"""One event for the webhook, and the body that a receiver gets.

Pure. The body follows Standard Webhooks 1.0 (type, timestamp, data). It also has a sentence for people in
`text`, which Slack and compatible chats show. Microsoft Teams wants an Adaptive Card instead; the address shows
whether a webhook belongs to Teams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from overgrow.text import printable

MAX_TEXT = 500  # characters of one value: a reason, a problem of the table
# Addresses of Microsoft Teams: of the app Workflows, and of the connectors before it.
_TEAMS_HOSTS = (".logic.azure.com", ".powerplatform.com", ".webhook.office.com")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event: a type such as `route.flipped`, the time (RFC 3339), a sentence, and the facts as data."""

    id: str  # the same for each attempt to send it
    type: str
    at: str
    sentence: str
    data: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the event as plain JSON values, for the file of waiting events."""
        return {
            "id": self.id,
            "type": self.type,
            "at": self.at,
            "sentence": self.sentence,
            "data": dict(self.data),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the event that `as_json` turned into JSON.

        Raises: KeyError, TypeError: if `stored` is not such an event.
        """
        names = (stored["id"], stored["type"], stored["at"], stored["sentence"])
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"not an event: {stored!r}")
        return cls(*names, dict(stored["data"]))

    def body_for(self, url: str, host: str) -> bytes:
        """Return the body of the request to `url`; `host` names the machine of the front door."""
        text = f"Overgrow on {_chat_text(host)}: {_chat_text(self.sentence)}"
        if is_teams_address(url):
            return json.dumps(_teams_card(text)).encode()
        body = {
            "type": self.type,
            "timestamp": self.at,
            "text": text,
            "host": host,
            "data": {name: _shorten(value) for name, value in self.data.items()},
        }
        return json.dumps(body).encode()


def is_teams_address(url: str) -> bool:
    """Return whether a webhook's address belongs to Microsoft Teams."""
    return (urlsplit(url).hostname or "").endswith(_TEAMS_HOSTS)


def _chat_text(text: str) -> str:
    """Return a text without control characters, mentions and links, so that a chat shows it as it is.

    Slack wants `&`, `<` and `>` as entities (its page "Formatting text for app surfaces"); `<!channel>` would call
    everybody.
    """
    shown = printable(text, keep="")[:MAX_TEXT]
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shorten(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _teams_card(text: str) -> dict[str, Any]:
    """Return a message with one Adaptive Card in the form that the Workflows of Teams accept."""
    content = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": _without_markdown(text), "wrap": True}],
    }
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "content": content}
    return {"type": "message", "attachments": [card]}


def _without_markdown(text: str) -> str:
    """Return a text in which Adaptive Cards find neither links nor emphasis."""
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return "".join(f"\\{each}" if each in "\\`*_[]()#~|" else each for each in plain)
