import pytest

from tests.accounts import people


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    """Scrypt is slow on purpose, and its strength is not what is tested here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def tenant(db):
    """(tenant, owner's user, owner's actor)"""
    return people.make_tenant()


@pytest.fixture
def owner(tenant):
    return tenant[2]
