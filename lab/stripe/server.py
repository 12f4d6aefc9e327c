"""The HTTP face: routes, keys, idempotency, faults, pages and the lab's own levers under `/lab/`."""

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from lab.stripe import checkout, customers, intents, payment_intents, setup_intents
from lab.stripe.errors import Fault, invalid
from lab.stripe.faults import Troubles
from lab.stripe.forms import allow, parse
from lab.stripe.idempotency import Keys
from lab.stripe.store import API_VERSION, Store, Thing
from lab.stripe.webhooks import Deliveries

Call = Callable[[Store, Thing, dict[str, str]], Thing]
KEY_PREFIXES = ("sk_test_", "rk_test_")
MAX_BODY = 64 * 1024


def _event_list(store: Store, params: Thing, _path: dict[str, str]) -> Thing:
    allow(params, "type", "types", "created", "limit", "starting_after", "delivery_success")
    wanted = params.get("types") or ([params["type"]] if "type" in params else None)
    delivered = params.get("delivery_success")
    found = (
        event
        for event in reversed(store.events)
        if (wanted is None or event["type"] in wanted)
        and (delivered is None or (event["pending_webhooks"] == 0) == (delivered == "true"))
    )
    return store.page(found, params, url="/v1/events")


def _event(store: Store, _params: Thing, path: dict[str, str]) -> Thing:
    found = next((event for event in store.events if event["id"] == path["ref"]), None)
    if found is None:
        raise invalid(f"No such event: '{path['ref']}'", code="resource_missing", status=404)
    return found


ROUTES: dict[tuple[str, str], Call] = {
    ("POST", "/v1/customers"): lambda s, p, _: customers.create_customer(s, p),
    ("GET", "/v1/customers"): lambda s, p, _: s.page(s.all("customer"), p, url="/v1/customers"),
    ("GET", "/v1/customers/{ref}"): lambda s, _, at: s.get("customer", at["ref"]),
    ("POST", "/v1/customers/{ref}"): lambda s, p, at: customers.update_customer(s, at["ref"], p),
    ("DELETE", "/v1/customers/{ref}"): lambda s, _, at: customers.delete_customer(s, at["ref"]),
    ("GET", "/v1/customers/{ref}/payment_methods"): lambda s, p, at: customers.list_methods(s, p, customer=at["ref"]),
    ("POST", "/v1/payment_methods"): lambda s, p, _: customers.create_payment_method(s, p),
    ("GET", "/v1/payment_methods"): lambda s, p, _: customers.list_methods(s, p),
    ("GET", "/v1/payment_methods/{ref}"): lambda s, _, at: s.get("payment_method", at["ref"]),
    ("POST", "/v1/payment_methods/{ref}/attach"): lambda s, p, at: customers.attach(s, at["ref"], p),
    ("POST", "/v1/payment_methods/{ref}/detach"): lambda s, _, at: customers.detach(s, at["ref"]),
    ("POST", "/v1/setup_intents"): lambda s, p, _: setup_intents.create_setup(s, p),
    ("GET", "/v1/setup_intents/{ref}"): lambda s, _, at: s.get("setup_intent", at["ref"]),
    ("POST", "/v1/setup_intents/{ref}/confirm"): lambda s, p, at: setup_intents.confirm_setup(s, at["ref"], p),
    ("POST", "/v1/setup_intents/{ref}/cancel"): lambda s, p, at: intents.cancel(s, "setup_intent", at["ref"], p),
    ("POST", "/v1/payment_intents"): lambda s, p, _: payment_intents.create_payment(s, p),
    ("GET", "/v1/payment_intents"): lambda s, p, _: payment_intents.list_payments(s, p),
    ("GET", "/v1/payment_intents/{ref}"): lambda s, _, at: s.get("payment_intent", at["ref"]),
    ("POST", "/v1/payment_intents/{ref}/confirm"): lambda s, p, at: payment_intents.confirm_payment(s, at["ref"], p),
    ("POST", "/v1/payment_intents/{ref}/cancel"): lambda s, p, at: intents.cancel(s, "payment_intent", at["ref"], p),
    ("GET", "/v1/charges/{ref}"): lambda s, _, at: s.get("charge", at["ref"]),
    ("POST", "/v1/refunds"): lambda s, p, _: payment_intents.create_refund(s, p),
    ("GET", "/v1/refunds/{ref}"): lambda s, _, at: s.get("refund", at["ref"]),
    ("POST", "/v1/checkout/sessions"): lambda s, p, _: checkout.create(s, p),
    ("GET", "/v1/checkout/sessions/{ref}"): lambda s, _, at: checkout.retrieve(s, at["ref"]),
    ("POST", "/v1/checkout/sessions/{ref}/expire"): lambda s, _, at: checkout.expire(s, at["ref"]),
    ("GET", "/v1/events"): _event_list,
    ("GET", "/v1/events/{ref}"): _event,
}


class FakeStripe:
    """One account. `app()` serves it; `store`, `deliveries` and `troubles` are the test's way in."""

    def __init__(self, *, webhook_secret: str, webhook_url: str = "", base_url: str = "") -> None:
        self.store = Store(base_url=base_url)
        self.deliveries = Deliveries(self.store, webhook_secret, webhook_url)
        self.store.on_event = self.deliveries.take
        self.keys = Keys()
        self.troubles = Troubles()
        self.requests: list[tuple[str, str, str]] = []
        """(method, path, idempotency key) of every API request, in order."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        for (method, path), call in ROUTES.items():
            app.router.add_route(method, path, self._api(path, call))
        app.router.add_get("/checkout/{ref}", self._checkout_page)
        app.router.add_post("/checkout/{ref}", self._checkout_submit)
        app.router.add_get("/lab/authenticate/{ref}", self._bank_page)
        app.router.add_post("/lab/authenticate/{ref}", self._bank_answer)
        app.router.add_post("/lab/clock", self._clock)
        app.router.add_post("/lab/troubles", self._add_trouble)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        await self.deliveries.close()

    def _api(self, path: str, call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            key = request.headers.get("Idempotency-Key", "")
            self.requests.append((request.method, request.path, key))
            request_id = f"req_{secrets.token_hex(7)}"
            headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
            trouble = self.troubles.next_for(request.path)
            if trouble == "hang_up_before":
                return self._hang_up(request)
            try:
                _authenticate(request)
                if trouble == "rate_limit":
                    raise Fault(429, kind="invalid_request_error", code="rate_limit", message="Too many requests")
                pairs = await request.post() if request.method == "POST" else request.query
                params = parse((name, str(value)) for name, value in pairs.items())
                status, body, replayed = self._answer(
                    call,
                    path=path,
                    params=params,
                    at=dict(request.match_info),
                    key=key if request.method == "POST" else "",
                    trouble=trouble,
                )
            except Fault as fault:
                status, body, replayed = fault.status, fault.body, False
            if trouble == "hang_up_after":
                return self._hang_up(request)
            if replayed:
                headers["Idempotent-Replayed"] = "true"
            if key:
                headers["Idempotency-Key"] = key
            return web.json_response(body, status=status, headers=headers)

        return handle

    def _answer(
        self, call: Call, *, path: str, params: Thing, at: dict[str, str], key: str, trouble: str
    ) -> tuple[int, Thing, bool]:
        """(status, body, whether it is a kept answer)"""
        if key:
            kept = self.keys.begin(key, path=f"{path} {at}", params=params, now=self.store.now())
            if kept is not None:
                return kept.status, kept.body, True
        try:
            status, body = self._run(call, params, at, trouble)
        except Fault as fault:
            status, body = fault.status, fault.body
            if status in {400, 404} and key:
                self.keys.forget(key)
                return status, body, False
        if key:
            self.keys.finish(key, status=status, body=body)
        return status, body, False

    def _run(self, call: Call, params: Thing, at: dict[str, str], trouble: str) -> tuple[int, Thing]:
        wrong = Fault(500, kind="api_error", message="An unknown error occurred")
        if trouble == "error_before":
            raise wrong
        thing = call(self.store, {name: value for name, value in params.items() if name != "expand"}, at)
        if trouble == "error_after":
            raise wrong
        return 200, self.store.shown(thing, params.get("expand", ()))

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _checkout_page(self, request: web.Request) -> web.Response:
        return _page(lambda: checkout.page(self.store, request.match_info["ref"]))

    async def _checkout_submit(self, request: web.Request) -> web.Response:
        ref, form = request.match_info["ref"], await request.post()
        try:
            url = checkout.submit(self.store, ref, str(form.get("number", "")))
        except Fault as fault:
            problem = str(fault)
            return _page(lambda: checkout.page(self.store, ref, problem=problem))
        raise web.HTTPSeeOther(url)

    async def _bank_page(self, _request: web.Request) -> web.Response:
        return _page(checkout.bank_page)

    async def _bank_answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            url = checkout.bank_answer(self.store, request.match_info["ref"], agrees=form.get("answer") == "yes")
        except Fault as fault:
            return web.json_response(fault.body, status=fault.status)
        raise web.HTTPSeeOther(url)

    async def _clock(self, request: web.Request) -> web.Response:
        """`{"advance_s": 86400}` moves the account's time forward."""
        self.store.clock_offset_s += int((await request.json())["advance_s"])
        return web.json_response({"now": self.store.now()})

    async def _add_trouble(self, request: web.Request) -> web.Response:
        """`{"kind": "hang_up_after", "path": "/v1/payment_intents", "times": 1}`"""
        try:
            self.troubles.add(**await request.json())
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"coming": len(self.troubles.coming)})


def _authenticate(request: web.Request) -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith(KEY_PREFIXES):
        raise Fault(401, kind="invalid_request_error", message="Invalid API Key provided: test keys only")


def _page(make: Callable[[], str]) -> web.Response:
    try:
        return web.Response(text=make(), content_type="text/html")
    except Fault as fault:
        return web.Response(text=str(fault), status=fault.status)
