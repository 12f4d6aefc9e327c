from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.actors import Actor, ActorKind
from common.errors import DomainError
from provisioning.fleet import bring_in


class Command(BaseCommand):
    help = "Enroll sites, racks, hardware and nodes from a fleet file (YAML or JSON) and begin the intake of new nodes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--no-intake", action="store_true", help="only enroll; nothing is switched on or erased")

    def handle(self, *args: Any, **options: Any) -> None:
        from inventory.fleet_file import read

        path: Path = options["file"]
        actor = Actor(kind=ActorKind.STAFF, ref="staff:command-line")
        try:
            arrival = bring_in(document=read(path), actor=actor, folder=path.parent, intake=not options["no_intake"])
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{arrival.new} nodes enrolled, {arrival.changed} changed, {arrival.unchanged} unchanged; "
            f"{arrival.intakes} intakes begun"
        )
