"""Tells the kind of caller by its User-Agent: a browser, a bot, a tool or program, or unknown. Pure."""

from __future__ import annotations

import re

KINDS = ("browser", "bot", "program", "unknown")
_BOT = re.compile(
    rb"bot\b|crawl|spider|slurp|archiver|facebookexternalhit|monitor|uptime|scan", re.IGNORECASE
)
_PROGRAM = re.compile(
    rb"curl|wget|python|requests|httpx|aiohttp|okhttp|java|go-http|axios|node|ruby|php|guzzle|perl|"
    rb"postman|insomnia|dart|libwww|apache-httpclient|\bhttp",
    re.IGNORECASE,
)


def caller_kind(agent: bytes) -> str:
    """Return the kind of caller; `unknown` for an empty or unusual name."""
    if not agent or agent == b"-":
        return "unknown"
    if _BOT.search(agent):
        return "bot"
    if agent.startswith(b"Mozilla/"):
        return "browser"
    return "program" if _PROGRAM.search(agent) else "unknown"
