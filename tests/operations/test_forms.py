"""What the operator enters on the desk: nodes with their BMC, images, prices, people."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing.models import Price
from compliance.audit.models import AuditEvent
from inventory.models import BmcEndpoint, Image, Node, Rack, Site, Stock
from inventory.states import NodeState
from provisioning.models import Job
from tests.operations.pages import act_url, url
from tests.reservations import world

SHA = "1f0c1e0f7c2d1f6f5a4f0f2d8f1b6a9c3e5d7b8a9f0e1d2c3b4a59687766554f"


def node_form(fleet: Any, **changes: Any) -> dict[str, Any]:
    known = fleet[0]
    return {
        "name": "kla-new", "serial": "SN-NEW", "boot_mac": "7C-C2-55-00-10-01", "node_type": known.node_type_id,
        "site": known.site_id, "rack": known.rack_id, "pool": known.pool_id, "fabric": "",
        "tenant_address": "10.20.0.101", "tenant_ssh_port": "22", "tenant_gateway": "", "switch_port": "",
        "hardware_bill": "{}",
        "bmc-TOTAL_FORMS": "1", "bmc-INITIAL_FORMS": "0", "bmc-MIN_NUM_FORMS": "0", "bmc-MAX_NUM_FORMS": "1",
        "bmc-0-driver": "redfish", "bmc-0-address": "10.10.0.101", "bmc-0-port": "443", "bmc-0-username": "chapek",
        "bmc-0-new_password": "the BMC's own", "bmc-0-cipher_suite": "17", "bmc-0-certificate_sha256": "",
        **changes,
    }  # fmt: skip


def errors_of(answer: Any) -> str:
    form = answer.context["adminform"].form
    found = [str(form.errors), *(str(formset.formset.errors) for formset in answer.context["inline_admin_formsets"])]
    return " ".join(found)


def test_a_node_is_entered_with_its_bmc_and_stock_and_then_taken_in(superuser, fleet):
    Stock.objects.all().delete()
    assert superuser.post(url(Node, "add"), node_form(fleet)).status_code == 302
    node = Node.objects.get(name="kla-new")
    assert (node.state, node.boot_mac, node.hardware_bill) == (NodeState.ENROLLED, "7c:c2:55:00:10:01", {})
    assert node.bmc.password() == "the BMC's own"
    assert Stock.objects.filter(site=node.site, node_type=node.node_type).count() == 1
    born = AuditEvent.objects.get(kind="node.created", subject_ref=node.ref)
    assert (born.actor_kind, born.actor_ref) == ("staff", superuser.user.ref)
    assert AuditEvent.objects.filter(subject_ref=node.ref, kind="bmcendpoint.added").count() == 1

    superuser.post(act_url(Node, "take_in", node.pk), {"reason": "racked", "_form_submitted": "on"})
    assert list(Job.objects.filter(node=node).values_list("kind", "state")) == [("intake", "ready")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bmc-0-new_password": ""}, "needs its password"),
        ({"bmc-0-address": ""}, "required"),
        ({"boot_mac": ""}, "required"),
        ({"hardware_bill": "[1]"}, "An object with drives"),
        ({"hardware_bill": '{"drives": [{"name": "x"}]}'}, "serial number"),
        ({"hardware_bill": '{"drives": [], "boot_drive": "D0"}'}, "not among the drives"),
        ({"tenant_address": "somewhere"}, "valid"),
    ],
)
def test_a_node_that_cannot_be_is_refused_in_the_form(superuser, fleet, changes, words):
    answer = superuser.post(url(Node, "add"), node_form(fleet, **changes))
    assert answer.status_code == 200
    assert words in errors_of(answer)
    assert not Node.objects.filter(name="kla-new").exists()


def test_a_rack_at_another_site_is_refused(superuser, fleet):
    there = Rack.objects.create(site=world.make_site(code="warsaw", country="PL"), code="waw-r9")
    answer = superuser.post(url(Node, "add"), node_form(fleet, rack=there.pk))
    assert "stands at another site" in errors_of(answer)


def edited(node: Node, **changes: Any) -> dict[str, Any]:
    bmc = node.bmc
    return {
        "serial": node.serial, "boot_mac": node.boot_mac, "node_type": node.node_type_id, "site": node.site_id,
        "rack": node.rack_id, "pool": node.pool_id, "fabric": node.fabric_id or "",
        "tenant_address": node.tenant_address, "tenant_ssh_port": node.tenant_ssh_port, "tenant_gateway": "",
        "switch_port": "", "hardware_bill": "{}",
        "bmc-TOTAL_FORMS": "1", "bmc-INITIAL_FORMS": "1", "bmc-MIN_NUM_FORMS": "0", "bmc-MAX_NUM_FORMS": "1",
        "bmc-0-id": bmc.pk, "bmc-0-node": node.pk, "bmc-0-driver": bmc.driver, "bmc-0-address": bmc.address,
        "bmc-0-port": bmc.port, "bmc-0-username": bmc.username, "bmc-0-new_password": "", "bmc-0-cipher_suite": "17",
        "bmc-0-certificate_sha256": bmc.certificate_sha256,
        **changes,
    }  # fmt: skip


def save(client: Any, node: Node, **changes: Any) -> Any:
    data = edited(node, **changes)
    for prefix in ("jobs", "allocations", "findings", "health_records", "erase_records"):
        data |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    return client.post(url(Node, "change", node.pk), data)


def test_the_bmc_password_is_write_only_and_an_empty_field_keeps_it(superuser, fleet):
    node = fleet[0]
    assert "not-a-real-one" not in superuser.get(url(Node, "change", node.pk)).content.decode()
    assert save(superuser, node, **{"bmc-0-username": "other"}).status_code == 302
    bmc = BmcEndpoint.objects.get(node=node)
    assert (bmc.username, bmc.password()) == ("other", "not-a-real-one")
    node.bmc.refresh_from_db()
    assert save(superuser, node, **{"bmc-0-new_password": "a new one"}).status_code == 302
    assert BmcEndpoint.objects.get(node=node).password() == "a new one"
    event = AuditEvent.objects.filter(kind="bmcendpoint.changed", subject_ref=node.ref).latest("pk")
    assert event.details == {"fields": ["new_password"]}
    assert not [one for one in AuditEvent.objects.all() if b"a new one" in bytes(one.leaf)]


def test_a_bmc_at_another_address_forgets_its_pinned_certificate(superuser, fleet):
    node = fleet[0]
    BmcEndpoint.objects.filter(node=node).update(certificate_sha256="a" * 64)
    node.bmc.refresh_from_db()
    assert save(superuser, node, **{"bmc-0-username": "other"}).status_code == 302
    assert BmcEndpoint.objects.get(node=node).certificate_sha256 == "a" * 64
    node.bmc.refresh_from_db()
    assert save(superuser, node, **{"bmc-0-address": "127.0.0.9"}).status_code == 302
    assert BmcEndpoint.objects.get(node=node).certificate_sha256 == ""


def test_a_promised_node_keeps_its_type_and_site(superuser, story):
    node = story.allocations.get().node
    other = world.make_type(code="b300-8")
    answer = save(superuser, node, node_type=other.pk)
    assert answer.status_code == 200
    assert "promised to a tenant" in errors_of(answer)
    assert Node.objects.get(pk=node.pk).node_type_id == node.node_type_id


def price_form(fleet: Any, **changes: Any) -> dict[str, Any]:
    return {
        "site": fleet[0].site_id, "node_type": world.make_type(code="b300-8").pk, "rate": "3.141593", "currency": "EUR",
        "valid_from_at_0": "", "valid_from_at_1": "", "valid_until_at_0": "", "valid_until_at_1": "", **changes,
    }  # fmt: skip


def test_a_price_is_added_from_now_on_by_its_service(superuser, fleet):
    before = timezone.now()
    assert superuser.post(url(Price, "add"), price_form(fleet)).status_code == 302
    price = Price.objects.latest("pk")
    assert (str(price.rate), price.valid_until_at) == ("3.141593", None)
    assert abs((price.valid_from_at - before).total_seconds()) < 5
    event = AuditEvent.objects.get(kind="price.added", subject_ref=price.ref)
    assert event.actor_ref == superuser.user.ref
    assert Price.objects.count() == 2


def test_a_start_of_a_moment_ago_means_now(superuser, fleet):
    now = timezone.now()
    typed = {"valid_from_at_0": f"{now:%Y-%m-%d}", "valid_from_at_1": f"{now:%H:%M}"}
    assert superuser.post(url(Price, "add"), price_form(fleet, **typed)).status_code == 302


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": "0"}, "A price is more than zero."),
        ({"rate": "-1"}, "A price is more than zero."),
        ({"rate": "1.0000001"}, "6 decimal places"),
        ({"valid_from_at_0": "2020-01-01", "valid_from_at_1": "00:00"}, "A price cannot start in the past."),
        (
            {
                "valid_from_at_0": "2990-01-02", "valid_from_at_1": "00:00",
                "valid_until_at_0": "2990-01-01", "valid_until_at_1": "00:00",
            },
            "A price ends after it starts.",
        ),
        ({"site": ""}, "required"),
    ],
)  # fmt: skip
def test_a_refused_price_is_an_error_of_the_form(superuser, fleet, changes, words):
    answer = superuser.post(url(Price, "add"), price_form(fleet, **changes))
    assert answer.status_code == 200
    assert words in errors_of(answer)
    assert Price.objects.count() == 1
    assert not AuditEvent.objects.filter(kind="price.added").exists()


def test_a_second_price_at_a_time_is_an_error_of_the_form(superuser, fleet):
    answer = superuser.post(url(Price, "add"), price_form(fleet, node_type=fleet[0].node_type_id))
    assert "Another price is in force in that period. End that price first, then add this one." in errors_of(answer)
    assert Price.objects.count() == 1


def image_form(**changes: str) -> dict[str, str]:
    return {
        "name": "Debian 12", "code": "debian-12", "version": "20260901", "is_offered": "on", "end_of_life_on": "",
        "path": "debian.raw.zst", "sha256": SHA.upper(), "compression": "zstd", "size_bytes": "1203456789",
        "default_user": "debian", "min_disk_gib": "10", **changes,
    }  # fmt: skip


def test_an_image_is_entered_once_and_its_content_stays(superuser, fleet):
    assert superuser.post(url(Image, "add"), image_form()).status_code == 302
    image = Image.objects.get(version="20260901")
    assert image.sha256 == SHA
    changed = image_form(sha256="0" * 64, path="other.raw", name="Debian 12 bookworm")
    assert superuser.post(url(Image, "change", image.pk), changed).status_code == 302
    image.refresh_from_db()
    assert (image.name, image.sha256, image.path) == ("Debian 12 bookworm", SHA, "debian.raw.zst")


@pytest.mark.parametrize("changes", [{"sha256": "xyz"}, {"path": "/etc/passwd"}, {"path": "../keyring.json"}])
def test_an_image_that_cannot_be_is_refused(superuser, fleet, changes):
    assert superuser.post(url(Image, "add"), image_form(**changes)).status_code == 200
    assert not Image.objects.filter(version="20260901").exists()


def test_a_code_that_is_used_elsewhere_is_entered_once(superuser, fleet):
    site = Site.objects.get()
    data = {
        "name": "Kladno I", "code": "other", "city": "Kladno", "country": "CZ", "latitude": "50", "longitude": "14",
        "power_envelope_kw": "900", "is_open": "on",
    }  # fmt: skip
    assert superuser.post(url(Site, "change", site.pk), data).status_code == 302
    site.refresh_from_db()
    assert (site.name, site.code, site.power_envelope_kw) == ("Kladno I", "kladno", 900)
    event = AuditEvent.objects.get(subject_ref="site:kladno")
    assert event.details == {"fields": ["name", "power_envelope_kw"]}


def test_staff_is_made_by_a_superuser_and_the_address_is_spelled_as_at_sign_up(superuser, fleet):
    data = {
        "email": "New.Staff@Chapek.example", "full_name": "N. Staff", "password1": "correct-horse-battery",
        "password2": "correct-horse-battery", "is_staff": "on",
    }  # fmt: skip
    assert superuser.post(url(User, "add"), data).status_code == 302
    made = User.objects.get(email="new.staff@chapek.example")
    assert (made.is_staff, made.is_superuser) == (True, False)
    assert AuditEvent.objects.filter(kind="user.added", subject_ref=made.ref).count() == 1


def test_who_may_change_users_makes_nobody_staff_or_superuser(clerk, superuser, db):
    from django.contrib.auth.models import Permission

    clerk.user.user_permissions.add(Permission.objects.get(codename="change_user"))
    data = {
        "full_name": "Myself", "is_active": "on", "is_staff": "on", "is_superuser": "on", "user_permissions": ["1"],
        "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0",
    }  # fmt: skip
    assert clerk.post(url(User, "change", clerk.user.pk), data).status_code == 302
    me = User.objects.get(pk=clerk.user.pk)
    assert (me.full_name, me.is_superuser, me.user_permissions.count()) == ("Myself", False, 2)
    assert clerk.post(url(User, "change", superuser.user.pk), data).status_code == 403


def test_nobody_sets_another_persons_password(superuser, viewer):
    target = f"/admin/accounts/user/{viewer.user.pk}/password/"
    data = {"password1": "another-long-pass", "password2": "another-long-pass"}
    assert superuser.get(target).status_code == 403
    assert superuser.post(target, data).status_code == 403
    assert User.objects.get(pk=viewer.user.pk).check_password("long-enough-pass")
