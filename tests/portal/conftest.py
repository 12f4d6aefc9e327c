"""Two tenants with a browser each, on a small site."""

from dataclasses import dataclass

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import SshKey, User
from common.actors import Actor
from common.clock import database_now
from inventory.models import Node
from inventory.states import NodeState
from provisioning.models import HealthRecord, Job
from provisioning.states import JobState
from reservations import services
from reservations.models import Reservation
from tests.billing.world import make_seller
from tests.reservations import world


@dataclass(frozen=True)
class Person:
    actor: Actor
    key: SshKey
    client: Client


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def make_person(**facts) -> Person:
    actor, key = world.make_buyer(**facts)
    return Person(actor=actor, key=key, client=browser_of(User.objects.get(pk=actor.user_id)))


@pytest.fixture
def fleet(db) -> list[Node]:
    """Kladno with four H200 nodes, Warsaw with one H100 node, and an image."""
    make_seller()
    world.make_image()
    kladno, h200 = world.make_site(), world.make_type()
    world.make_price(site=kladno, node_type=h200)
    warsaw, h100 = world.make_site(code="warsaw", country="PL"), world.make_type(code="h100-8", memory_gib=80)
    world.make_price(site=warsaw, node_type=h100, rate="2.00")
    world.make_node(site=warsaw, node_type=h100)
    return [world.make_node(site=kladno, node_type=h200) for _ in range(4)]


@pytest.fixture
def owner(fleet) -> Person:
    return make_person()


@pytest.fixture
def stranger(fleet) -> Person:
    return make_person()


def hand_over(reservation: Reservation) -> Reservation:
    """What provisioning does when every node has passed its health gate."""
    for row in reservation.allocations.order_by("pk"):
        job = Job.objects.get(node_id=row.node_id, reservation_ref=reservation.ref)
        Job.objects.filter(pk=job.pk).update(state=JobState.DONE)
        Node.objects.filter(pk=row.node_id).update(state=NodeState.ACTIVE)
        HealthRecord.objects.create(
            node_id=row.node_id, job=job, reservation_ref=reservation.ref, phase="handover", passed=True, gpu_count=8
        )
        with transaction.atomic():
            services.node_deployed(reservation_ref=reservation.ref, node_id=row.node_id, occurred_at=database_now())
    reservation.refresh_from_db()
    return reservation


@pytest.fixture
def deploying(owner) -> Reservation:
    return world.buy(owner.actor, owner.key, node_count=2)


@pytest.fixture
def active(deploying) -> Reservation:
    return hand_over(deploying)
