"""How django-allauth works here: no user names, redirects only to ourselves."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def populate_username(self, request: HttpRequest, user: object) -> None:
        """People are known by their e-mail address; there is nothing to fill in."""

    def clean_email(self, email: str) -> str:
        """One spelling per address: ``User.email`` is unique as it is stored."""
        return str(super().clean_email(email)).lower()

    def is_safe_url(self, url: str | None) -> bool:
        """Only paths of this installation, or its own public address. Not what the Host header of a request says."""
        host = settings.CHAPEK_PUBLIC_URL.partition("://")[2]
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={host}, require_https=settings.CHAPEK_PUBLIC_URL.startswith("https://")
        )
