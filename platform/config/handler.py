"""How requests pass through Django under ASGI: the whole middleware and the view in the request's one thread.

Django's own ASGI handler runs each middleware in the event loop where it can, and hops to a thread and back for every
one that cannot, and nearly every view of ours is synchronous. Views that stream are asynchronous all the same: their
coroutine runs in the event loop, and what they yield is sent from there, without a thread being held.
"""

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class ThreadedHandler(ASGIHandler):
    """Django's handler with the synchronous middleware chain; one hop there and one back."""

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)
