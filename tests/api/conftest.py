import pytest

from accounts.models import User
from tests.accounts import people
from tests.api import caller
from tests.billing.world import make_seller
from tests.reservations import world


@pytest.fixture
def tenant(db):
    """(tenant, owner's user, owner's actor)"""
    return people.make_tenant()


@pytest.fixture
def owner(tenant):
    return tenant[2]


@pytest.fixture
def api(owner):
    return caller.with_key(owner)


@pytest.fixture
def portal(tenant):
    return caller.with_session(tenant[1])


@pytest.fixture
def visitor(db):
    return caller.Caller()


@pytest.fixture
def fleet(db):
    """Kladno with three H200 nodes at 3 EUR per GPU-hour, and an image to put on them."""
    make_seller()
    world.make_image()
    site, node_type = world.make_site(), world.make_type()
    world.make_price(site=site, node_type=node_type)
    return [world.make_node(site=site, node_type=node_type) for _ in range(3)]


@pytest.fixture
def buyer(fleet):
    """(caller with a key, actor, SSH key) of a tenant with money."""
    actor, ssh_key = world.make_buyer()
    made = caller.with_key(actor)
    made.actor, made.ssh_key, made.user = actor, ssh_key, User.objects.get(pk=actor.user_id)
    return made
