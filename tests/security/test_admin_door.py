"""The admin has no door of its own: the one log-in asks for second factors and counts failed attempts."""

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts import people

pytestmark = pytest.mark.django_db


def signed_in(user):
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def operator():
    return User.objects.create_superuser("operator@chapek.example", people.PASSWORD)


def test_the_admins_own_form_lets_nobody_in(operator):
    client = Client()
    answer = client.post("/admin/login/", {"username": operator.email, "password": people.PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")
    assert "_auth_user_id" not in client.session


def test_a_signed_in_member_of_staff_cannot_try_others_passwords_there(operator):
    other = User.objects.create_superuser("other@chapek.example", people.PASSWORD)
    client = signed_in(operator)
    client.post("/admin/login/", {"username": other.email, "password": people.PASSWORD})
    assert client.session["_auth_user_id"] == str(operator.pk)


def test_a_visitor_is_led_to_the_log_in_and_back():
    answer = Client().get("/admin/accounts/tenant/", follow=True)
    assert answer.redirect_chain[-1][0] == "/accounts/login/?next=/admin/accounts/tenant/"


def test_a_tenants_person_is_refused_at_every_admin_page():
    _tenant, user, _actor = people.make_tenant()
    client = signed_in(user)
    for path in ("/admin/", "/admin/accounts/tenant/", "/admin/provisioning/job/", "/admin/audit/auditevent/"):
        assert client.get(path, follow=True).status_code == 403, path


def test_who_makes_a_superuser_at_the_machine_need_not_wait_for_mail(operator):
    assert operator.emailaddress_set.get().verified


def test_guessing_a_password_ends_after_five_tries(settings):
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
    _tenant, user, _actor = people.make_tenant()
    client = Client()
    for number in range(5):
        client.post("/accounts/login/", {"login": user.email, "password": f"wrong-{number}"})
    client.post("/accounts/login/", {"login": user.email, "password": people.PASSWORD})
    assert "_auth_user_id" not in client.session, "even the right one waits now"
