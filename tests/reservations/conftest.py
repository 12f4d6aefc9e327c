import pytest

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
    return world.make_buyer()
