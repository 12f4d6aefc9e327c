"""`python -m lab.stripe`: the stand-in as a process of its own, on loopback only."""

import argparse
import asyncio
import os
import signal

from aiohttp import web

from lab.stripe.server import FakeStripe

HOST = "127.0.0.1"


async def serve(*, port: int, webhook_url: str, webhook_secret: str) -> None:
    """Serve until SIGINT or SIGTERM; prints its address once it listens."""
    fake = FakeStripe(webhook_secret=webhook_secret, webhook_url=webhook_url)
    runner = web.AppRunner(fake.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    bound = runner.addresses[0][1]
    fake.store.base_url = f"http://{HOST}:{bound}"
    print(f"CHAPEK_STRIPE_URL={fake.store.base_url}", flush=True)  # noqa: T201 - the command's one line of output
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--webhook-url", default="", help="where signed events are posted")
    options = parser.parse_args()
    # The secret comes by the environment: command lines are readable by everybody on the machine.
    secret = os.environ.get("CHAPEK_STRIPE_WEBHOOK_SECRET", "whsec_lab")
    asyncio.run(serve(port=options.port, webhook_url=options.webhook_url, webhook_secret=secret))


if __name__ == "__main__":
    main()
