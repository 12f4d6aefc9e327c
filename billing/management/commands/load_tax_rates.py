from typing import Any

from django.core.management.base import BaseCommand

from billing import services


class Command(BaseCommand):
    help = "Bring in the EU standard VAT rates that come with this version; rows that exist stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{services.load_tax_rates()} new rates")
