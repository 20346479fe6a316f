"""Every wire test of the transport runs on asyncio's own loop and on uvloop."""

import asyncio
import gc

import pytest
import uvloop

from overgrow.forwarding.client.transport import LegacyTransport
from tests.wire.transport.upstream import Upstream


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run `scenario(transport, upstream)` against scripts; fails if anything is left behind."""

    def run(scenario, *scripts, ssl=None, path=None, tls_ca=None, url=None, **options):
        complaints = []

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with Upstream(*scripts, ssl=ssl, path=path) as upstream:
                transport = LegacyTransport(url or upstream.url, tls_ca=tls_ca, **options)
                try:
                    return await asyncio.wait_for(scenario(transport, upstream), 60)
                finally:
                    pool = transport._pool
                    await transport.aclose()
                    await asyncio.sleep(0)
                    if pool is not None:  # the transport closes everything, and counts it
                        assert (pool.counted, len(pool._open), len(pool._waiting)) == (0, 0, 0)

        with asyncio.Runner(loop_factory=request.param) as runner:
            result = runner.run(main())
            gc.collect(1)
        assert complaints == []
        return result

    return run
