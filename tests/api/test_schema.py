"""The description of the API is valid, whole, and says what the API does."""

import json

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from api import docs
from tests.api.caller import problem
from tests.api.routes import routes

UNDESCRIBED = {"openapi", "docs", "problems", "nothing"}


@pytest.fixture(scope="module")
def schema():
    return docs.document()


def test_it_is_valid_openapi_3_1_without_a_warning():
    GENERATOR_STATS.reset()
    made = SchemaGenerator().get_schema(request=None, public=True)
    assert made["openapi"].startswith("3.1")
    validate_schema(made)
    assert not GENERATOR_STATS


def test_every_route_and_method_is_described(schema):
    described = {(path, method) for path, item in schema["paths"].items() for method in item}
    there = {
        (route.path, method)
        for route in routes("api")
        if route.name not in UNDESCRIBED
        for method in (("get",) if route.name == "stream" else route.methods)
    }
    assert described == there


def test_every_operation_has_a_summary_and_a_name_of_its_own(schema):
    operations = [operation for item in schema["paths"].values() for operation in item.values()]
    assert all(operation.get("summary") or operation.get("description") for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))


def test_problems_and_idempotency_are_described(schema):
    post = schema["paths"]["/api/v1/reservations"]["post"]
    (header,) = [item for item in post["parameters"] if item["name"] == "Idempotency-Key"]
    assert header["required"] is True
    assert {"400", "401", "403", "409", "422", "429"} <= set(post["responses"])
    assert list(post["responses"]["409"]["content"]) == ["application/problem+json"]
    assert "404" in schema["paths"]["/api/v1/reservations/{ref}"]["get"]["responses"]
    assert "401" not in schema["paths"]["/api/v1/catalogue"]["get"]["responses"]


def test_it_is_served_and_the_page_of_it_names_every_path(client, schema, db):
    assert json.loads(client.get("/api/v1/openapi.json").content) == json.loads(json.dumps(schema, default=str))
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    for path in schema["paths"]:
        assert path in text
    assert "<script>" not in text
    assert "style=" not in text
    assert "'unsafe" not in page["Content-Security-Policy"]


def test_answers_have_just_the_fields_that_are_described(buyer, schema):
    from tests.api.test_reservations import activate, reserve

    made = reserve(buyer)
    ref = made.json()["id"]
    activate(ref)
    answers = {
        "Catalogue": buyer.get("/catalogue"),
        "Account": buyer.get("/account"),
        "ReservationDetail": buyer.get(f"/reservations/{ref}"),
        "Progress": buyer.get(f"/reservations/{ref}/progress"),
        "Connect": buyer.get(f"/reservations/{ref}/connect"),
        "Certificates": buyer.get(f"/reservations/{ref}/certificates"),
    }
    for name, answer in answers.items():
        assert_fits(answer.json(), schema["components"]["schemas"][name], schema, name)
    refused = problem(buyer.get("/quotes/quo_x"), 404, "not-found")
    assert_fits(refused, schema["components"]["schemas"]["Problem"], schema, "Problem")


def assert_fits(value, described, schema, where):
    """As jsonschema would, and stricter: no field that is not described."""
    if "$ref" in described:
        described = schema["components"]["schemas"][described["$ref"].rpartition("/")[2]]
    for choice in described.get("allOf", described.get("oneOf", [])):
        if value is not None and choice.get("type") != "null":
            assert_fits(value, choice, schema, where)
    if "properties" in described and value is not None:
        assert set(described.get("required", [])) <= set(value) <= set(described["properties"]), where
        for name, inner in value.items():
            assert_fits(inner, described["properties"][name], schema, f"{where}.{name}")
    if described.get("type") == "array":
        for item in value:
            assert_fits(item, described["items"], schema, f"{where}[]")
    if "enum" in described and value is not None:
        assert value in described["enum"], where
