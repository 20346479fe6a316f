"""A legacy app that logs users in by connection, and clients that log in, by hand.

Rule: it is as strict as such servers are. A login holds for the connection it was made on, whoever
sends on it; a second leg counts on the connection of the first alone.
"""

from __future__ import annotations

import threading

from tests.wire.front.ends import End, Message, answer, request


class LoginLegacy:
    """Scripts for Legacy.scripted, and what they noted: connections made, users seen by each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.connections = 0
        self.ended = 0

    def __call__(self, end: End) -> None:
        """Serve one connection."""
        with self._lock:
            self.connections += 1
        user, challenged = "", ""
        try:
            while True:
                asked = end.message()
                scheme, _, told = (asked["authorization"] or "").partition(" ")
                leg, _, name = told.partition(":")
                if scheme.lower() == "negotiate":
                    user = told
                    reply = hello(user, "WWW-Authenticate: Negotiate done")
                elif leg == "first":
                    user, challenged = "", name
                    reply = challenge(f"WWW-Authenticate: NTLM second:{name}")
                elif leg == "third" and name and name == challenged:
                    user, challenged = name, ""
                    reply = hello(user, "Persistent-Auth: true")
                elif user and not scheme:
                    reply = hello(user)
                elif asked["x-public"]:
                    reply = hello("nobody")
                else:
                    reply = challenge("WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM")
                end.send(reply)
        finally:
            with self._lock:
                self.ended += 1


def hello(user: str, *fields: str) -> bytes:
    return answer(*fields, body=f"hello {user}".encode())


def challenge(*fields: str) -> bytes:
    return answer(*fields, status="401 Unauthorized", body=b"who are you?")


def ask(client: End, *fields: str, target: str = "/", method: str = "GET") -> Message:
    """One request on this connection and its answer."""
    client.send(request(method, target, *fields))
    return client.message(method)


def log_in(client: End, user: str, *fields: str) -> Message:
    """Both legs of NTLM; the answer to the last."""
    found = ask(client, f"Authorization: NTLM first:{user}", *fields)
    assert found.status == 401, found
    assert found["www-authenticate"] == f"NTLM second:{user}"
    return ask(client, f"Authorization: NTLM third:{user}", *fields)
