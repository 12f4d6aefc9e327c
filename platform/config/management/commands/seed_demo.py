from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.actors import system_actor
from common.errors import DomainError
from config.management.commands._demonstration import fleet_document, read_json


class Command(BaseCommand):
    help = "Fill a demonstration installation: the emulated fleet, prices, one tenant, one operator. Idempotent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rack", type=Path, required=True, help="rack file of the emulated rack")
        parser.add_argument("--images", type=Path, required=True, help="index.json of the demonstration images")

    def handle(self, *args: Any, **options: Any) -> None:
        from accounts import demo as accounts
        from billing import demo as billing
        from provisioning.fleet import bring_in

        if not settings.CHAPEK_EMBEDDED:
            raise CommandError("demonstration data is for the embedded installation only (CHAPEK_EMBEDDED)")
        try:
            document = fleet_document(rack=read_json(options["rack"]), images=read_json(options["images"]))
            arrival = bring_in(document=document, actor=system_actor(name="demonstration"))
            logins = read_json(settings.CHAPEK_STATE_DIR / "logins.json")
            accounts.ensure(
                logins=accounts.Logins(
                    tenant_email=logins["tenant"]["email"],
                    tenant_password=logins["tenant"]["password"],
                    operator_email=logins["operator"]["email"],
                    operator_password=logins["operator"]["password"],
                )
            )
            billing.ensure()
        except (OSError, ValueError, KeyError) as error:
            raise CommandError(f"demonstration data: {type(error).__name__}: {error}") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{arrival.new} nodes enrolled, {arrival.changed} changed, {arrival.unchanged} unchanged; "
            f"{arrival.intakes} intakes begun"
        )
