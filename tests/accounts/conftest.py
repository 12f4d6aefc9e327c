import pytest

from tests.accounts import people


@pytest.fixture
def tenant(db):
    """(tenant, owner's user, owner's actor)"""
    return people.make_tenant()


@pytest.fixture
def owner(tenant):
    return tenant[2]
