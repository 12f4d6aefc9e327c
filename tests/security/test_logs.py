"""What must not be read in a log, however it got there."""

import pytest

from observability.logs import REDACTED, redact

TOKEN = "Qv3-kT9_bL2xW8mZ5nR1yH7cD4fG6jS0aP-qE_uI9oX"


@pytest.mark.parametrize(
    "text",
    [
        f"Not Found: /boot/{TOKEN}/report",
        f"Not Found: /images/{TOKEN}/debian-12.img.zst",
        f"Forbidden (CSRF token missing.): /accounts/confirm-email/{TOKEN}/",
        "Forbidden: /accounts/confirm-email/MTI:1wQ3xY:Qv3kT9bL2xW8mZ5nR1yH7cD4fG6jS0aPqEuI9oX/",
        f"Bad Request: /accounts/password/reset/key/1-{TOKEN}/",
        f"Not Found: /invitations/{TOKEN}/",
        f"whsec_{TOKEN}",
        f"Cannot connect to redis://:{TOKEN}@127.0.0.1:6379/0.",
        f"connection to postgresql://chapek:{TOKEN}@db/chapek failed",
    ],
)
def test_a_path_or_address_that_is_a_key_is_blanked(text):
    shown = redact(text)
    assert REDACTED in shown
    assert "T9" not in shown


def test_what_is_no_secret_stays_readable():
    for text in ("Not Found: /images/", "GET /api/v1/images", "http://127.0.0.1:8000/keys/", "kept until 12:00@noon"):
        assert redact(text) == text
