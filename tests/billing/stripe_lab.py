"""The stand-in for Stripe, served for real on a free loopback port by a thread with its own event loop."""

import asyncio
import threading
import urllib.parse
import urllib.request

from aiohttp import web

from lab.stripe.server import FakeStripe

SECRET = "whsec_test"


class RunningLab:
    def __init__(self):
        self.fake = FakeStripe(webhook_secret=SECRET)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self.call(self._start())

    def call(self, coroutine):
        """Run on the lab's loop and wait for the result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=20)

    async def _start(self):
        self._runner = web.AppRunner(self.fake.app(), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.fake.store.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.fake.store.base_url

    def stop(self):
        self.call(self._runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=20)
        self.loop.close()

    def objects(self, kind):
        return [thing for thing in self.fake.store.objects.values() if thing["object"] == kind]

    def events(self, kind):
        return [event for event in self.fake.store.events if event["type"] == kind]

    def enter_card(self, url, number):
        """What a person does on the card page; returns where the browser ends up asking to go."""
        return browse(url, number=number)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args, **_kwargs):
        return None


def browse(url, **form):
    """Post a form as a browser would; the address it is sent to, or the page's text."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(url, data=urllib.parse.urlencode(form).encode(), timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.headers.get("Location") or answer.read().decode()
