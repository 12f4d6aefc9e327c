"""``manage.py adopt_signing_key``: the key in CHAPEK_SIGNING_KEY_FILE signs the audit logs from here on, announced."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.actors import system_actor
from common.errors import DomainError
from compliance.audit import selectors, services
from compliance.audit.errors import NothingSealed


class Command(BaseCommand):
    help = "Announce the key in CHAPEK_SIGNING_KEY_FILE as the one that signs, and print what verifiers need of it."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            services.adopt_signing_key(actor=system_actor(name="adopt_signing_key"))
        except DomainError as error:
            raise CommandError(f"{error.message}: {error.hint}" if error.hint else error.message) from None
        try:
            self.stdout.write(selectors.verifier_key(log_tenant_id=None))
        except NothingSealed:
            self.stdout.write("adopted; nothing has been signed yet")
