"""What the buttons do: one domain call each, with the refusal shown where it belongs."""

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.filebased import EmailBackend
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, SshKey, Tenant
from common.clock import database_now
from compliance.audit.tasks import seal
from provisioning.models import Job
from reservations.models import Quote, Reservation
from tests.reservations import world

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Ue7ipS4lVv8o1LPkGXUWQ0hTRt2ZTyHEFu0N3b1Ru jana@laptop"
WISH = {"choose_by": "type", "node_type": "h200-8", "node_count": "2", "site": "", "start": "now", "end": "open"}


def page_of(answer) -> str:
    return answer.content.decode()


def ask(person, **fields):
    return person.client.post("/reserve/quote/", {**WISH, **fields}, headers={"HX-Request": "true"})


def quoted(answer) -> str:
    found = re.search(r'name="quote" value="(quo_[a-z0-9]+)"', page_of(answer))
    assert found, page_of(answer)
    return found[1]


def test_the_quote_panel_gives_price_tax_cap_end_and_reasons(owner) -> None:
    page = page_of(ask(owner, max_spend="480"))
    assert "€48.00" in page
    assert "€10.08" in page
    assert "€58.08" in page
    assert "Ends by itself when €480.00 net is used, your cap: after about 10 h 00 min." in page
    assert "Runs until you release it." in page
    assert "costs the least of what fits" in page
    quote = Quote.objects.get()
    assert (quote.node_count, quote.max_spend) == (2, Decimal(480))


def test_a_fixed_end_gives_a_total(owner) -> None:
    end = database_now() + timedelta(hours=1)
    page = page_of(ask(owner, end="fixed", ends_at=end.strftime("%Y-%m-%dT%H:%M")))
    assert "Total with tax" in page


def test_a_workload_finds_its_node_type(owner) -> None:
    page = page_of(ask(owner, choose_by="workload", node_type="", gpu_memory_gib="600", node_count="1"))
    assert "Warsaw" in page
    assert Quote.objects.get().node_type.code == "h100-8"


def test_what_cannot_be_served_says_what_stood_in_the_way(owner) -> None:
    answer = ask(owner, node_count="9", site="kladno")
    page = page_of(answer)
    assert answer.status_code == 200
    assert "Nothing can serve this request" in page
    assert "4 free over the whole period, 9 needed" in page
    assert Quote.objects.count() == 0


def test_an_unfinished_wish_makes_no_quote_and_says_what_is_missing(owner) -> None:
    page = page_of(ask(owner, node_type=""))
    assert "Choose a node type." in page
    assert "Say when it is to start." in page_of(ask(owner, start="later"))
    assert Quote.objects.count() == 0


def test_a_suspended_tenant_is_told_so(owner) -> None:
    Tenant.objects.filter(pk=owner.actor.tenant_id).update(state="suspended", suspension_reason="unpaid")
    assert "suspended" in page_of(ask(owner))
    assert "unpaid" in page_of(owner.client.get("/home/"))


def test_confirming_reserves_on_the_quote_that_was_shown(owner) -> None:
    ref = quoted(ask(owner))
    answer = owner.client.post(
        "/reserve/",
        {**WISH, "act": "reserve", "quote": ref, "name": "train", "image": "debian-12", "ssh_keys": [owner.key.ref]},
    )
    made = Reservation.objects.get()
    assert answer["Location"] == f"/reservations/{made.ref}/"
    assert (made.quote.ref, made.name, made.node_count) == (ref, "train", 2)


def test_sending_the_same_confirmation_twice_leads_to_the_one_reservation(owner) -> None:
    ref = quoted(ask(owner))
    sent = {**WISH, "act": "reserve", "quote": ref, "name": "train", "image": "debian-12", "ssh_keys": [owner.key.ref]}
    first, second = owner.client.post("/reserve/", sent), owner.client.post("/reserve/", sent)
    assert first["Location"] == second["Location"]
    assert Reservation.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "Not A Host"}, "lower-case letters"),
        ({"ssh_keys": []}, "there is no other way in"),
        ({"user_data": "x" * 65_537}, "65536"),
        ({"image": "windows"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_with_the_access_is_said_beside_the_field_and_nothing_is_reserved(owner, fields, text) -> None:
    ref = quoted(ask(owner))
    sent = {**WISH, "act": "reserve", "quote": ref, "name": "train", "image": "debian-12", "ssh_keys": [owner.key.ref]}
    answer = owner.client.post("/reserve/", {**sent, **fields})
    assert answer.status_code == 422
    assert text in page_of(answer)
    assert quoted(answer) == ref
    assert Reservation.objects.count() == 0


def test_a_quote_taken_by_somebody_else_meanwhile_is_refused_with_a_way_on(owner, stranger) -> None:
    ref = quoted(ask(owner, node_count="4", site="kladno"))
    world.buy(stranger.actor, stranger.key)
    answer = owner.client.post(
        "/reserve/",
        {**WISH, "act": "reserve", "quote": ref, "name": "train", "image": "debian-12", "ssh_keys": [owner.key.ref]},
    )
    assert answer.status_code == 422
    assert "taken meanwhile" in page_of(answer)
    assert Reservation.objects.filter(tenant_id=owner.actor.tenant_id).count() == 0


def test_another_tenants_quote_is_not_found(owner, stranger) -> None:
    ref = quoted(ask(owner))
    sent = {"act": "reserve", "quote": ref, "name": "x", "image": "debian-12", "ssh_keys": [stranger.key.ref]}
    assert stranger.client.post("/reserve/", {**WISH, **sent}).status_code == 404
    assert Reservation.objects.count() == 0


def test_a_key_added_in_place_is_ticked(owner) -> None:
    answer = owner.client.post(
        "/reserve/key/", {"new-public_key": ED25519, "new-name": ""}, headers={"HX-Request": "true"}
    )
    key = SshKey.objects.get(name="jana@laptop")
    assert re.search(rf'value="{key.ref}"[^>]*checked', page_of(answer))


def test_without_scripts_the_whole_form_comes_back_with_the_quote_and_what_was_entered(owner) -> None:
    answer = owner.client.post("/reserve/", {**WISH, "act": "quote", "name": "mine", "user_data": "#cloud-config"})
    page = page_of(answer)
    assert quoted(answer)
    assert 'value="mine"' in page
    assert "#cloud-config" in page


def test_release_asks_first_and_then_ends_it(owner, active) -> None:
    url = reverse("portal:release", kwargs={"ref": active.ref})
    assert "Nothing on the nodes can be recovered" in page_of(owner.client.get(url))
    active.refresh_from_db()
    assert active.state == "active"
    owner.client.post(url)
    active.refresh_from_db()
    assert active.state == "ending"
    again = owner.client.post(url, follow=True)
    assert "not possible now" in page_of(again)


def test_power_reaches_the_one_node_that_was_named(owner, active) -> None:
    node = active.allocations.order_by("pk").first().node
    url = reverse("portal:power", kwargs={"ref": active.ref})
    assert "What runs on the node is cut off" in page_of(owner.client.get(f"{url}?action=power_off"))
    assert owner.client.get(f"{url}?action=release").status_code == 302
    owner.client.post(url, {"action": "power_off", "node": node.ref})
    assert [job.node_id for job in Job.objects.filter(kind="power")] == [node.pk]


def test_the_end_moves_and_a_bad_one_is_refused_beside_the_field(owner, active) -> None:
    url = reverse("portal:extend", kwargs={"ref": active.ref})
    refused = owner.client.post(url, {"end": "fixed", "ends_at": "2020-01-01T00:00"})
    assert refused.status_code == 422
    assert "The end must be" in page_of(refused)
    owner.client.post(url, {"end": "fixed", "ends_at": "2027-01-01T00:00"})
    active.refresh_from_db()
    assert active.ends_at.isoformat() == "2027-01-01T00:00:00+00:00"


def test_an_api_key_is_shown_once(owner) -> None:
    answer = owner.client.post("/keys/api/", {"api-name": "ci", "api-scopes": ["read"], "api-expires_on": ""})
    secret = re.search(r"ck_[a-z0-9]{10}_[\w-]{43}", page_of(answer))
    assert secret
    assert answer["Cache-Control"] == "no-store"
    assert secret[0] not in page_of(owner.client.get("/keys/"))
    key = ApiKey.objects.get()
    owner.client.post(reverse("portal:revoke_api_key", kwargs={"ref": key.ref}))
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_a_weak_ssh_key_is_refused_with_the_reason(owner) -> None:
    answer = owner.client.post("/keys/ssh/", {"ssh-public_key": "ssh-dss AAAA", "ssh-name": ""})
    assert answer.status_code == 422
    assert "DSA keys are broken" in page_of(answer)
    owner.client.post("/keys/ssh/", {"ssh-public_key": ED25519, "ssh-name": "laptop"})
    key = SshKey.objects.get(name="laptop")
    owner.client.post(reverse("portal:remove_ssh_key", kwargs={"ref": key.ref}))
    assert not SshKey.objects.filter(pk=key.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_the_log_is_taken_away_with_verifier_and_key(owner, active) -> None:
    seal()
    answer = owner.client.get(reverse("portal:audit_export", kwargs={"ref": active.ref}))
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="{active.ref}.audit.json"'
    assert json.loads(answer.content)["events"]
    assert b"def main" in owner.client.get("/evidence/chapek_verify.py").content
    assert owner.client.get("/evidence/chapek.vkey").content.count(b"+") >= 2


@pytest.fixture
def mail_folder(settings, tmp_path):
    settings.CHAPEK_EMBEDDED = True
    settings.CHAPEK_MAIL_DIR = str(tmp_path)
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    for number in (1, 2):
        body = f"Open http://testserver/accounts/confirm-email/k{number}/ <now>"
        EmailBackend(file_path=str(tmp_path)).send_messages(
            [EmailMessage(f"Letter {number}", body, "from@example.test", [f"to{number}@example.test"])]
        )
    return tmp_path


@pytest.mark.django_db
def test_local_mail_lists_and_shows_mails_with_their_links(mail_folder) -> None:
    page = page_of(Client().get("/mail/"))
    assert page.count("Letter ") == 2
    link = re.search(r'href="(/mail/[^"]+/\d+/)"', page)
    assert link
    letter = page_of(Client().get(link[1]))
    assert 'href="http://testserver/accounts/confirm-email/k' in letter
    assert "&lt;now&gt;" in letter


@pytest.mark.django_db
def test_local_mail_is_for_whoever_sits_at_the_machine_and_for_demonstrations_only(mail_folder, settings) -> None:
    assert Client(REMOTE_ADDR="192.0.2.1").get("/mail/").status_code == 404
    assert Client().get("/mail/..%2f..%2fetc%2fpasswd/0/").status_code == 404
    (mail_folder / "other.txt").write_text("secret")
    assert Client().get("/mail/other.txt/0/").status_code == 404
    settings.CHAPEK_EMBEDDED = False
    assert Client().get("/mail/").status_code == 404
