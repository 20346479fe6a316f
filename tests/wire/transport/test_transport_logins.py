"""Connections that carry a login: whose they are, and when they end."""

import asyncio

import pytest

from overgrow.connection_login import AttachedLogin
from tests.wire.transport.upstream import OK, always, body_of, counted, eventually, get, request

CHALLENGE = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM x\r\nContent-Length: 2\r\n\r\nok"
LOGIN = [(b"Host", b"shop"), (b"Authorization", b"NTLM x")]


class Client:
    """A client's connection as the transport sees it."""

    def __init__(self) -> None:
        self.attached_login: AttachedLogin | None = None
        self.is_ending = False

    def close_after_response(self) -> None:
        self.is_ending = True


def logging(seen, reply=CHALLENGE):
    async def script(peer):
        seen.append(peer)
        while True:
            await peer.head()
            await peer.send(reply)

    return script


@pytest.mark.parametrize("owner", [{}, {"owner": lambda: None}], ids=["unknown", "shared"])
def test_without_an_owner_a_login_serves_one_request(run, owner):
    async def scenario(transport, upstream):
        for _ in range(3):
            await transport.handle_async_request(request("GET", headers=LOGIN, **owner))
        await eventually(lambda: not transport._pool._open)
        return upstream.connections, counted(transport)

    assert run(scenario, always(OK)) == (3, 0)


def test_a_challenge_to_nobody_in_particular_ends_its_connection(run):
    async def scenario(transport, upstream):
        for _ in range(2):
            await transport.handle_async_request(get())
        return upstream.connections

    assert run(scenario, always(CHALLENGE)) == 2


def test_a_login_belongs_to_its_owner_beside_the_count(run):
    client = Client()

    async def scenario(transport, upstream):
        await transport.handle_async_request(get(owner=lambda: client))
        taken = counted(transport)
        for _ in range(2):
            await transport.handle_async_request(
                get(owner=lambda: client, login=client.attached_login)
            )
        await transport.handle_async_request(get())
        return taken, upstream.connections, client.is_ending

    assert run(scenario, always(CHALLENGE), max_connections=1) == (0, 2, False)


def test_a_login_ends_with_its_owner(run):
    client = Client()

    async def scenario(transport, upstream):
        await transport.handle_async_request(get(owner=lambda: client))
        client.attached_login.end_connection_to_legacy()
        await eventually(lambda: not transport._pool._open)
        return client.is_ending

    assert run(scenario, always(CHALLENGE)) is False


def test_an_owner_ends_with_its_login(run):
    client, seen = Client(), []

    async def scenario(transport, upstream):
        await transport.handle_async_request(get(owner=lambda: client))
        seen[0].end()
        await eventually(lambda: client.is_ending)

    run(scenario, logging(seen))


def test_a_login_that_ended_is_not_made_up_for(run):
    client, seen = Client(), []

    async def scenario(transport, upstream):
        await transport.handle_async_request(get(owner=lambda: client))
        seen[0].end()
        await eventually(lambda: client.is_ending)
        with pytest.raises(Exception, match="has ended") as error:
            await transport.handle_async_request(get(login=client.attached_login))
        return error.value.stage, upstream.connections

    assert run(scenario, logging(seen)) == ("send", 1)


def test_an_owner_that_leaves_in_the_middle_takes_its_login_along(run):
    client = Client()
    head = CHALLENGE.replace(b"Content-Length: 2", b"Content-Length: 9")

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get(owner=lambda: client))
        client.attached_login.end_connection_to_legacy()
        response.stream.abandon()
        await eventually(lambda: not transport._pool._open)

    run(scenario, always(head))


def test_an_answer_under_way_outlives_its_owners_end_only_to_close(run):
    client = Client()
    reply = b"HTTP/1.1 200 OK\r\nWWW-Authenticate: NTLM\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def script(peer):
        await peer.head()
        await peer.send(reply)
        await peer.send(b"2\r\nok\r\n")
        await peer.send(b"0\r\n\r\n")
        await peer.until_end()

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get(owner=lambda: client))
        client.attached_login.end_connection_to_legacy()
        body = await body_of(response)
        await eventually(lambda: not transport._pool._open)
        return body

    assert run(scenario, script) == b"ok"


def post(pieces, client):
    """An upload that logs in."""
    headers = [*LOGIN, (b"Transfer-Encoding", b"chunked")]
    return request(
        "POST", headers=headers, stream=pieces(), owner=lambda: client, login=client.attached_login
    )


def test_a_challenge_waits_for_the_upload_whose_connection_it_needs(run):
    client, challenged = Client(), asyncio.Event()

    async def script(peer):
        while True:
            await peer.head()
            await peer.send(CHALLENGE)
            challenged.set()
            await peer.reader.readuntil(b"\r\n0\r\n\r\n")

    async def pieces():
        yield b"begun"
        await challenged.wait()
        for _ in range(3):
            await asyncio.sleep(0.02)
            yield b"more"

    async def scenario(transport, upstream):
        found = []
        for _ in range(3):
            response = await transport.handle_async_request(post(pieces, client))
            found.append((response.status_code, await body_of(response)))
        return found, upstream.connections, client.is_ending

    assert run(scenario, script) == ([(401, b"ok")] * 3, 1, False)


def test_a_challenge_waits_for_no_upload_that_is_not_read(run):
    client = Client()

    async def script(peer):
        await peer.head()
        await peer.send(CHALLENGE)
        await asyncio.sleep(20)

    async def pieces():
        while True:
            yield b"x" * 65_536

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(post(pieces, client))
        return response.status_code, client.is_ending

    assert run(scenario, script) == (401, True)


def test_a_waiting_challenge_is_delivered_when_legacy_ends_the_connection(run):
    client = Client()

    async def script(peer):
        await peer.head()
        await peer.send(CHALLENGE)
        await peer.body(5)
        peer.reset()

    async def pieces():
        yield b"begun"
        while not client.is_ending:
            await asyncio.sleep(0.01)
            yield b"x" * 1_000

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(post(pieces, client))
        return response.status_code, client.is_ending

    assert run(scenario, script) == (401, True)


def test_an_upload_that_breaks_while_a_challenge_waits_breaks_the_request(run):
    client = Client()

    class GoneError(Exception):
        pass

    async def pieces():
        yield b"begun"
        await eventually(lambda: client.attached_login)  # the challenge has come, and waits
        raise GoneError

    async def scenario(transport, upstream):
        with pytest.raises(GoneError):
            await transport.handle_async_request(post(pieces, client))
        return client.is_ending

    assert run(scenario, always(CHALLENGE)) is True


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        pytest.param(OK, 2, id="nothing: as many as others, and no more"),
        pytest.param(CHALLENGE, 5, id="a login: one for each client"),
    ],
)
def test_how_many_logins_stay_open_hangs_on_what_the_upstream_says(run, reply, kept):
    clients = [Client() for _ in range(5)]

    async def scenario(transport, upstream):
        for client in clients:
            asked = request("GET", headers=LOGIN, owner=lambda client=client: client)
            await transport.handle_async_request(asked)
        await eventually(lambda: len(transport._pool._open) == kept)
        for client in clients:
            if client.attached_login is not None:
                client.attached_login.end_connection_to_legacy()
        await eventually(lambda: not transport._pool._open)
        return len(transport._pool._presumed)

    assert run(scenario, always(reply), max_connections=2) == 0


@pytest.mark.parametrize(
    ("reply", "ends"),
    [
        pytest.param(OK, True, id="an answer"),
        pytest.param(CHALLENGE, False, id="a challenge: the next leg needs the connection"),
    ],
)
def test_a_login_that_is_too_old_ends_behind_an_answer(run, reply, ends):
    client = Client()

    async def scenario(transport, upstream):
        await transport.handle_async_request(request("GET", headers=LOGIN, owner=lambda: client))
        (connection,) = transport._pool._open
        await eventually(lambda: connection.is_past_max_age)
        before = client.is_ending
        asked = get(owner=lambda: client, login=client.attached_login)
        response = await transport.handle_async_request(asked)
        return before, await body_of(response), client.is_ending, connection.is_closing

    async def script(peer):
        await peer.head()
        await peer.send(CHALLENGE)
        await peer.head()
        await peer.send(reply)
        await peer.until_end()

    assert run(scenario, script, max_age_s=0.05) == (False, b"ok", ends, ends)
