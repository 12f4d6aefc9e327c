"""Emptying the database after a test that commits: the tables that hold something, instead of all of them.

Django's `flush` rewrites every table and index and makes all permissions anew, a quarter of a second a test.
"""

from typing import Any

from django.db import connection, transaction
from psycopg import sql

KEPT = frozenset({"django_migrations", "django_content_type", "auth_permission"})
"""Made with the schema, and the same for every test."""


def empty_what_was_filled(_case: Any) -> None:
    """In the place of ``TransactionTestCase._fixture_teardown``; leaves what a migrated database must have."""
    from accounts.legal import ensure_documents

    with transaction.atomic(), connection.cursor() as cursor:
        names = [name for name in connection.introspection.django_table_names(only_existing=True) if name not in KEPT]
        looks = [
            sql.SQL("(SELECT {} WHERE EXISTS (SELECT FROM {}))").format(sql.Literal(name), sql.Identifier(name))
            for name in names
        ]
        cursor.execute(sql.SQL(" UNION ALL ").join(looks))
        filled = [row[0] for row in cursor.fetchall()]
        # Triggers stand still meanwhile: those that guard the ledger and the log, and those of foreign keys.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for name in filled:
            cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        cursor.execute("SET LOCAL session_replication_role = origin")
    ensure_documents()
