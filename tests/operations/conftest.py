import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from compliance.audit import services as audit
from tests.billing.world import make_seller
from tests.operations import everything
from tests.reservations import world


@pytest.fixture(autouse=True)
def signing_key_file(tmp_path, settings):
    """Each test signs with a key of its own: no key outlives the rows that announced it."""
    settings.CHAPEK_SIGNING_KEY_FILE = str(tmp_path / "keys" / "signing.pem")


@pytest.fixture
def fleet(db):
    make_seller()
    world.make_image()
    site, node_type = world.make_site(), world.make_type()
    world.make_price(site=site, node_type=node_type)
    return [world.make_node(site=site, node_type=node_type) for _ in range(6)]


@pytest.fixture
def story(fleet):
    """Every registered model has a row."""
    reservation = everything.tell_the_story()
    audit.seal(wait=True)
    return reservation


def _logged_in(user):
    client = Client()
    client.force_login(user)
    client.user = user
    return client


@pytest.fixture
def superuser(db):
    return _logged_in(User.objects.create_superuser("operator@chapek.example", "long-enough-pass"))


@pytest.fixture
def viewer(db):
    """On the staff, without any permission of their own."""
    return _logged_in(User.objects.create_user("viewer@chapek.example", "long-enough-pass", is_staff=True))


@pytest.fixture
def clerk(db):
    """On the staff, with the permission to change one thing: invoices."""
    user = User.objects.create_user("clerk@chapek.example", "long-enough-pass", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_invoice"))
    return _logged_in(user)
