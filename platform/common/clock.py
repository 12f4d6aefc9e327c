"""The one clock for what happens: PostgreSQL's, whole seconds, read after the lock is held (DESIGN section 10)."""

from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """``chapek_now()`` as aware UTC. Not ``now()``: that is the start of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT chapek_now()")
        (value,) = cursor.fetchone()
    instant: datetime = value
    return instant.astimezone(UTC)
