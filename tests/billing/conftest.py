import pytest

from common.clock import database_now
from tests.billing.world import make_price, make_seller, make_tenant


@pytest.fixture
def seller(db):
    return make_seller()


@pytest.fixture
def tenant(seller):
    return make_tenant()


@pytest.fixture
def price(db):
    return make_price()


@pytest.fixture
def now(db):
    return database_now()
