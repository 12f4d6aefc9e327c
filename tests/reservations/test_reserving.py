from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Tenant
from accounts.services import suspend_tenant
from billing.errors import InsufficientFunds
from billing.models import Hold
from common.clock import database_now
from common.errors import DomainError, InvalidRequest, NotFound
from compliance.audit.models import AuditEvent
from inventory.models import Node
from inventory.states import NodeState
from provisioning.models import Job
from reservations import selectors, services
from reservations.errors import LimitReached, NoCapacity, OutOfStock, QuoteUnusable
from reservations.models import Allocation, Quote, Reservation
from reservations.requests import Access
from reservations.states import QuoteState, ReservationState
from tests.billing.world import OPERATOR
from tests.reservations.world import ask, buy, make_buyer, make_node, make_price, make_site, make_type


def test_a_quote_freezes_the_price_and_says_what_it_costs(buyer):
    actor, _ = buyer
    now = database_now()
    quote = services.quote(actor=actor, request=ask(node_count=2, ends_at=now + timedelta(hours=10)))
    assert quote.estimate["hourly_net"] == "48.00"
    assert Decimal(quote.estimate["tax_rate"]) == 21
    assert quote.price_snapshot.rate == Decimal("3.00")
    assert quote.decision["chosen"]["site"] == "kladno"
    assert quote.expires_at - quote.created_at <= timedelta(seconds=302)


def test_a_reservation_holds_concrete_nodes_money_and_a_deployment_from_the_first_second(buyer, fleet):
    actor, key = buyer
    made = buy(actor, key, node_count=2)
    rows = Allocation.objects.filter(reservation=made, is_live=True)
    assert rows.count() == 2
    assert made.state == ReservationState.DEPLOYING
    assert set(rows.values_list("node__state", flat=True)) == {NodeState.DEPLOYING}
    assert Job.objects.filter(reservation_ref=made.ref).count() == 2
    assert Hold.objects.get(reservation_ref=made.ref).amount == Decimal("58.08")  # 2 x 8 x 3.00 with 21 %
    assert Quote.objects.get().state == QuoteState.USED


def test_each_change_of_state_leaves_exactly_one_audit_event(buyer):
    actor, key = buyer
    made = buy(actor, key)
    kinds = list(AuditEvent.objects.filter(subject_ref=made.ref).order_by("id").values_list("kind", flat=True))
    assert kinds == ["reservation.created", "reservation.start"]
    assert set(AuditEvent.objects.filter(subject_ref=made.ref).values_list("log_tenant_id", flat=True)) == {
        actor.tenant_id
    }


def test_a_quote_is_used_once(buyer):
    actor, key = buyer
    made = buy(actor, key)
    access = Access(image_code="debian-12", ssh_key_refs=(key.ref,))
    with pytest.raises(QuoteUnusable):
        services.reserve(actor=actor, quote_ref=made.quote.ref, access=access, name="again")
    assert Reservation.objects.count() == 1


def test_an_expired_quote_is_refused_and_closed_by_the_clockwork(buyer):
    actor, key = buyer
    quote = services.quote(actor=actor, request=ask())
    Quote.objects.filter(pk=quote.pk).update(expires_at=database_now())
    access = Access(image_code="debian-12", ssh_key_refs=(key.ref,))
    with pytest.raises(QuoteUnusable):
        services.reserve(actor=actor, quote_ref=quote.ref, access=access, name="late")
    assert services.expire_quotes(actor=OPERATOR) == 1
    quote.refresh_from_db()
    assert quote.state == QuoteState.EXPIRED


def test_nothing_is_left_behind_when_the_money_does_not_reach(fleet):
    actor, key = make_buyer(credit="20")
    with pytest.raises(InsufficientFunds):
        buy(actor, key)
    assert not Reservation.objects.exists()
    assert not Allocation.objects.exists()
    assert not Job.objects.exists()
    assert set(Node.objects.values_list("state", flat=True)) == {NodeState.AVAILABLE}


def test_the_last_node_goes_once_and_the_next_quote_says_why_not(buyer):
    actor, key = buyer
    second = services.quote(actor=actor, request=ask(node_count=3))
    buy(actor, key, node_count=3)
    access = Access(image_code="debian-12", ssh_key_refs=(key.ref,))
    with pytest.raises(OutOfStock):
        services.reserve(actor=actor, quote_ref=second.ref, access=access, name="second")
    with pytest.raises(NoCapacity) as refused:
        services.quote(actor=actor, request=ask())
    assert [out["constraint"] for out in refused.value.context["ruled_out"]] == ["stock"]


def test_the_tenants_own_limit_is_told_apart_from_stock(fleet):
    actor, key = make_buyer(max_nodes=1)
    buy(actor, key)
    with pytest.raises(LimitReached) as refused:
        services.quote(actor=actor, request=ask())
    assert refused.value.context == {"limit": 1, "held": 1, "requested": 1}


def test_a_suspended_tenant_may_release_but_not_reserve(buyer):
    actor, key = buyer
    made = buy(actor, key)
    suspend_tenant(tenant=Tenant.objects.get(pk=actor.tenant_id), reason="unpaid", actor=OPERATOR)
    with pytest.raises(DomainError) as refused:
        services.quote(actor=actor, request=ask())
    assert refused.value.code == "tenant-suspended"
    assert services.release(actor=actor, ref=made.ref).state == ReservationState.ENDING


def test_a_stranger_cannot_use_my_quote_or_my_key(buyer):
    actor, key = buyer
    quote = services.quote(actor=actor, request=ask())
    stranger, own_key = make_buyer()
    for used, used_key in ((quote, own_key), (services.quote(actor=stranger, request=ask()), key)):
        access = Access(image_code="debian-12", ssh_key_refs=(used_key.ref,))
        with pytest.raises(NotFound):
            services.reserve(actor=stranger, quote_ref=used.ref, access=access, name="x")
    assert not Reservation.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"node_count": 0}, "node_count"),
        ({"node_type": None}, "node_type"),
        ({"node_type": "abacus-1"}, "node_type"),
        ({"site": "atlantis"}, "site"),
        ({"max_spend": Decimal(0)}, "max_spend"),
        ({"workload_class": "mining"}, "workload_class"),
    ],
)
def test_bad_requests_name_the_field(buyer, fields, field):
    actor, _ = buyer
    with pytest.raises(InvalidRequest) as refused:
        services.quote(actor=actor, request=ask(**fields))
    assert refused.value.context["field"] == field
    assert not Quote.objects.exists()


@pytest.mark.parametrize("name", ["", "UPPER", "-x", "x-", "1x", "a" * 64, "a b", "a\n"])
def test_names_become_host_names_so_they_are_checked(buyer, name):
    actor, key = buyer
    with pytest.raises(InvalidRequest):
        buy(actor, key, name=name)
    assert not Reservation.objects.exists()


def test_user_data_over_64_kib_is_refused_and_sealed_when_taken(buyer):
    actor, key = buyer
    with pytest.raises(InvalidRequest):
        buy(actor, key, user_data="#cloud-config\n" + "#" * 65_536)
    made = buy(actor, key, user_data="#cloud-config\nhostname: secret-plan\n")
    assert b"secret-plan" not in bytes(made.user_data_sealed)
    assert made.user_data() == "#cloud-config\nhostname: secret-plan\n"


def test_a_workload_finds_its_node_type(buyer, fleet):
    actor, _ = buyer
    big = make_type(code="b300-8", memory_gib=288)
    site = fleet[0].site
    make_price(site=site, node_type=big, rate="5.00")
    make_node(site=site, node_type=big)
    small = services.quote(actor=actor, request=ask(node_type=None, gpu_memory_gib=1000, workload_class="inference"))
    assert small.node_type.code == "h200-8"
    large = services.quote(actor=actor, request=ask(node_type=None, gpu_memory_gib=2000, workload_class="training"))
    assert large.node_type.code == "b300-8"
    assert large.decision["ruled_out"][0]["constraint"] == "gpu_memory"


def test_best_site_is_the_cheapest_and_the_runner_up_is_named(buyer, fleet):
    actor, _ = buyer
    other = make_site(code="warsaw", country="PL")
    make_price(site=other, node_type=fleet[0].node_type, rate="2.50")
    make_node(site=other, node_type=fleet[0].node_type)
    quote = services.quote(actor=actor, request=ask())
    assert quote.site.code == "warsaw"
    assert [option["site"] for option in quote.decision["runners_up"]] == ["kladno"]


def test_stock_counts_what_could_start_now(buyer, fleet):
    actor, key = buyer
    Node.objects.filter(pk=fleet[2].pk).update(is_cordoned=True)
    buy(actor, key)
    [line] = selectors.stock(at=database_now())
    assert (line.free_now, line.total) == (1, 3)


def test_stock_takes_two_queries_whatever_the_size(fleet, django_assert_num_queries):
    now = database_now()
    with django_assert_num_queries(2):
        selectors.stock(at=now)
