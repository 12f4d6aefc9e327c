"""Rights of the operator's staff: nobody raises themselves, and who may only look cannot act."""

import pytest
from django.contrib.auth.models import Permission
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


def staff_who_may(*codenames):
    user = User.objects.create_user("clerk@chapek.example", people.PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


@pytest.mark.parametrize("target", ["self", "superuser"])
def test_who_may_edit_people_cannot_raise_themselves(operator, target):
    clerk = staff_who_may("view_user", "change_user")
    subject = clerk if target == "self" else operator
    client = signed_in(clerk)
    fields = {"email": subject.email, "full_name": "x", "is_staff": "on", "is_superuser": "on", "is_active": "on"}
    client.post(f"/admin/accounts/user/{subject.pk}/change/", fields)
    passwords = {"password1": "another-long-one-1", "password2": "another-long-one-1", "usable_password": "true"}
    client.post(f"/admin/accounts/user/{subject.pk}/password/", passwords)
    subject.refresh_from_db()
    assert subject.is_superuser is (target == "superuser")
    assert subject.check_password(people.PASSWORD)


def test_who_may_only_look_cannot_act():
    tenant, _user, _actor = people.make_tenant()
    client = signed_in(staff_who_may("view_tenant"))
    answer = client.post(f"/admin/accounts/tenant/{tenant.pk}/suspend/", {"reason": "because"})
    assert answer.status_code == 403
    tenant.refresh_from_db()
    assert tenant.state == "active"
