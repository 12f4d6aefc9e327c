"""A program that calls the API inside the test process, with a key or a session."""

import json

from django.test import Client

from accounts import services
from accounts.roles import Scope

ALL_SCOPES = list(Scope.values)


class Caller:
    """``call`` returns the response; ``.json()`` of it the body."""

    def __init__(self, *, secret="", client=None):
        self.client = client or Client(raise_request_exception=False)
        self.secret = secret

    def call(self, method, path, body=None, *, key=None, **headers):
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        if key is not None:
            headers["Idempotency-Key"] = key
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return getattr(self.client, method.lower())(f"/api/v1{path}", **data, headers=headers)

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def post(self, path, body, *, key=None, **headers):
        return self.call("POST", path, body, key=key, **headers)

    def delete(self, path, **headers):
        return self.call("DELETE", path, **headers)


def with_key(actor, *scopes):
    """A caller that bears a fresh key of this actor's tenant."""
    made = services.make_api_key(actor=actor, name="test", scopes=scopes or ALL_SCOPES, expires_at=None)
    caller = Caller(secret=made.secret)
    caller.key = made.key
    return caller


def with_session(user):
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return Caller(client=client)


def problem(response, status, code):
    """Assert that the answer is this problem, whole, and give its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"].endswith(f"/api/v1/problems#{code}")
    assert body["request_id"] == response["X-Request-Id"]
    assert {"title", "detail", "hint", "retry", "errors"} <= set(body)
    return body
