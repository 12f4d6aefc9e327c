import pytest

from accounts.models import User
from tests.api import caller
from tests.billing.world import make_seller
from tests.reservations import world


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
