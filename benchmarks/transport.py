"""Requests a second of our transport and of httpx's own, against a minimal upstream.

Run: python benchmarks/transport.py [--concurrency 32] [--requests 20000] [--body 300] [--split] [--profile]
Prints rate and CPU time per request, interleaved in rounds so that both see the same machine. Only
the ratio travels. CPU time covers the whole client process: loop, transport, httpx's request and response.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import cProfile
import multiprocessing
import pstats
import resource
import statistics
import time

import httpx
import uvloop

from overgrow.forwarding.client.transport import NO_BODY, LegacyTransport, UpstreamTimeouts

HEADERS = [
    (b"Host", b"shop.example.com"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
    (b"Accept", b"text/html,application/xhtml+xml"),
    (b"Accept-Language", b"en"),
    (b"Cookie", b"session=0123456789abcdef"),
    (b"X-Forwarded-For", b"192.0.2.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"Via", b"1.1 overgrow"),
]


PIECEMEAL = collections.Counter()  # transport -> answers that had to be iterated


class Origin(asyncio.Protocol):
    """Answers each request head with the same bytes."""

    pieces = ()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, _data):
        for piece in self.pieces:
            self.transport.write(piece)


def serve(body_bytes, is_split, port_pipe):
    head = (
        b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
        b"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
        b"Content-Length: %d\r\n\r\n" % body_bytes
    )
    body = b"x" * body_bytes
    Origin.pieces = (head, body) if is_split else (head + body,)

    async def run():
        server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0)
        port_pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    # uvloop gathers the writes of one turn; asyncio's own loop sends each, as most upstreams do.
    (asyncio.run if is_split else uvloop.run)(run())


async def one(transport, url, extensions):
    request = httpx.Request("GET", url, headers=HEADERS, stream=NO_BODY, extensions=extensions)
    response = await transport.handle_async_request(request)
    body = getattr(response.stream, "whole", None)
    if body is None:
        body = b"".join([chunk async for chunk in response.stream])
        await response.stream.aclose()
        PIECEMEAL[type(transport).__name__] += 1
    return len(body)


async def clients(transport, url, extensions, count, concurrency):
    async def client():
        for _ in range(count // concurrency):
            await one(transport, url, extensions)

    await asyncio.gather(*(client() for _ in range(concurrency)))


async def measure(transport, url, extensions, count, concurrency):
    await clients(transport, url, extensions, concurrency * 4, concurrency)
    before = time.perf_counter(), *resource.getrusage(resource.RUSAGE_SELF)[:2]
    await clients(transport, url, extensions, count, concurrency)
    after = time.perf_counter(), *resource.getrusage(resource.RUSAGE_SELF)[:2]
    wall, user, kernel = (b - a for a, b in zip(before, after, strict=True))
    return count / wall, user / count * 1e6, kernel / count * 1e6


async def compare(port, options):
    url = httpx.URL(f"http://127.0.0.1:{port}")
    target = {"target": b"/orders/17?x=1"}
    ours = LegacyTransport(str(url))
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    theirs = httpx.AsyncHTTPTransport(limits=limits)
    timeout = {"connect": 2.0, "read": 30.0, "write": 30.0, "pool": 2.0}
    figures = {"ours": [], "httpx": []}
    for _ in range(options.rounds):
        figures["ours"].append(
            await measure(
                ours,
                url,
                {**target, "overgrow": UpstreamTimeouts()},
                options.requests,
                options.concurrency,
            )
        )
        figures["httpx"].append(
            await measure(
                theirs,
                url,
                {**target, "timeout": timeout},
                options.requests // 10,
                options.concurrency,
            )
        )
    await ours.aclose()
    await theirs.aclose()
    return figures


async def profiled(port, options):
    url = httpx.URL(f"http://127.0.0.1:{port}")
    async with LegacyTransport(str(url)) as ours:
        profile = cProfile.Profile()
        profile.enable()
        await measure(ours, url, {"target": b"/"}, options.requests, options.concurrency)
        profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


def report(figures):
    medians = {}
    for name, rounds in figures.items():
        rate, user_us, kernel_us = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        medians[name] = rate
        print(
            f"{name:6} {rate:9,.0f} requests/s   {user_us:7.1f} us CPU a request, and {kernel_us:.1f} us in the kernel"
        )
    print(f"ratio  {medians['ours'] / medians['httpx']:9.1f}   iterated: {dict(PIECEMEAL)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--body", type=int, default=300)
    parser.add_argument("--split", action="store_true", help="head and body in two writes")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    origin = multiprocessing.get_context("spawn").Process(
        target=serve, args=(options.body, options.split, sending), daemon=True
    )
    origin.start()
    try:
        port = receiving.recv()
        if options.profile:
            uvloop.run(profiled(port, options))
        else:
            report(uvloop.run(compare(port, options)))
    finally:
        origin.terminate()
        origin.join()


if __name__ == "__main__":
    main()
