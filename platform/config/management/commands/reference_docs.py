"""``manage.py reference_docs``: writes docs/reference from the state tables, the wiring and the error classes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.management.commands import _facts, _pages


class Command(BaseCommand):
    help = "Write docs/reference/ from the program itself (--check: only say whether it is up to date)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = _facts.root() / "docs" / "reference"
        stale = []
        for name, content in _pages.render().items():
            path = folder / name
            if path.exists() and path.read_text(encoding="utf-8") == content:
                continue
            stale.append(name)
            if not options["check"]:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        if options["check"] and stale:
            raise CommandError(f"out of date: {', '.join(stale)}; run manage.py reference_docs")
        self.stdout.write(f"written: {', '.join(stale)}" if stale else "up to date")
