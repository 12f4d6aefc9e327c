from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _seed(**_kwargs: Any) -> None:
    from django.db import connection

    from accounts.legal import ensure_documents
    from accounts.models import LegalDocument

    # Migrating back to nothing ends here too, without the table.
    if LegalDocument._meta.db_table in connection.introspection.table_names():  # noqa: SLF001 - Django's model API
        ensure_documents()


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # Django's own hook for rows that a migrated database must have, as it does for permissions itself.
        post_migrate.connect(_seed, sender=self, dispatch_uid="accounts.legal")
        from allauth.mfa.signals import authenticator_removed

        from accounts.mfa import forget_secrets

        # The only word that allauth gives when a factor goes.
        authenticator_removed.connect(forget_secrets, dispatch_uid="accounts.mfa")
