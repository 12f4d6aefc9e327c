"""``manage.py grant_credit``: prepaid credit for a tenant, with a reason that its audit log keeps."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from billing import services
from common.actors import Actor, ActorKind
from common.errors import DomainError
from common.money import Money


class Command(BaseCommand):
    help = (
        "Give a tenant prepaid credit: a payment received by bank transfer, or goodwill. Open invoices are paid first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="id of the tenant, ten_...")
        parser.add_argument("amount", help="EUR, at most two decimals")
        parser.add_argument("--reason", required=True, help="why; kept in the ledger and in the tenant's audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(ref=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']}")
        try:
            amount = Money(Decimal(options["amount"]))
            posted = services.grant_credit(
                tenant=tenant,
                amount=amount,
                reason=options["reason"],
                actor=Actor(kind=ActorKind.STAFF, ref="staff:command-line"),
            )
        except InvalidOperation:
            raise CommandError(f"{options['amount']} is no amount") from None
        except DomainError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{amount} for {tenant.legal_name}: {posted.ref}")
