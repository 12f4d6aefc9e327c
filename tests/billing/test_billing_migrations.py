import pytest
from django.core.management import call_command
from django.db import connection

pytestmark = pytest.mark.django_db(transaction=True)


def _guards():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relname LIKE 'billing\\_%' AND NOT t.tgisinternal"
        )
        return cursor.fetchone()[0]


def test_the_guards_can_be_taken_down_and_put_up_again():
    before = _guards()
    try:
        call_command("migrate", "billing", "0001", verbosity=0)
        assert _guards() == 0
    finally:
        call_command("migrate", verbosity=0)  # of every room: what lay above went down with it
    assert _guards() == before > 20
