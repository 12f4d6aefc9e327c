"""``manage.py rotate_keys``: a new key seals, every sealed value is wrapped anew, old keys go once nothing needs them.

A rotation that was cut off is finished by calling it again: no further key is made while values wait.
"""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from common import vault
from common.actors import system_actor
from common.clock import database_now
from compliance.audit import services as audit
from config.management.commands import _rewrap as sealed
from config.management.commands._keyring_file import KeyringFile

ACTOR = system_actor(name="rotate_keys")
GRACE_S = 3600


class Command(BaseCommand):
    help = "Make a new key-encryption key, re-wrap every sealed value under it, retire keys that nothing uses."

    def add_arguments(self, parser: CommandParser) -> None:
        act = parser.add_mutually_exclusive_group()
        act.add_argument(
            "--stage", action="store_true", help="only add the next key: copy the file to every host, then rotate"
        )
        act.add_argument("--retire", action="store_true", help="remove old keys that no value is wrapped with")
        act.add_argument("--report", action="store_true", help="only say how many values each key opens")
        parser.add_argument("--batch", type=int, default=500, help="rows in a transaction (default 500)")
        parser.add_argument(
            "--grace-s",
            type=int,
            default=GRACE_S,
            help=f"retire only when the keyring has not changed for this many seconds (default {GRACE_S})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1 or options["grace_s"] < 0:
            raise CommandError("--batch must be at least 1, --grace-s at least 0")
        given = bool(os.environ.get("CHAPEK_KEYRING"))
        file = None if given else KeyringFile.at(settings.CHAPEK_KEYRING_FILE)
        with sealed.one_rotation_at_a_time():
            if file is not None and not file.exists():
                self._first_keyring(file)
            elif options["report"]:
                self._report()
            elif options["stage"]:
                self._stage(_writable(file))
            elif options["retire"]:
                self._retire(_writable(file), grace_s=options["grace_s"])
            else:
                self._rotate(file, batch=options["batch"])

    def _first_keyring(self, file: KeyringFile) -> None:
        """A keyring that was lost is never replaced in silence: what it sealed would be gone for good."""
        if sealed.keys_in_use():
            raise CommandError(f"{file.path} is missing, and there are sealed values: bring it back from the backup")
        self.stdout.write(f"{file.path} made with key {file.create()}; back it up apart from the database")

    def _report(self) -> None:
        ring, used = vault.keyring(), sealed.keys_in_use()
        for name in sorted({*ring.keys, *used} - {""}):
            role = "active" if name == ring.active else "known" if name in ring.keys else "MISSING from the keyring"
            self.stdout.write(f"{name}: {used[name]} values, {role}")
        if used[""]:
            self.stdout.write(f"{used['']} values are not sealed values")

    def _stage(self, file: KeyringFile) -> None:
        name = file.stage()
        _log("keyring.staged", key=name)
        self.stdout.write(f"{name} is staged: give {file.path} to every host, then call rotate_keys again")

    def _rotate(self, file: KeyringFile | None, *, batch: int) -> None:
        self._refuse_a_foreign_keyring()
        active = file.read()["active"] if file else vault.keyring().active
        if sum(sealed.waiting(column, active=active) for column in sealed.columns()):
            self.stdout.write(f"finishing the rotation to {active}: there are values under other keys")
        elif file is None:
            self.stdout.write(f"the keyring comes from CHAPEK_KEYRING, and every value is under {active} already")
            return
        else:
            active = file.activate()
            _log("keyring.activated", key=active)
            self.stdout.write(f"{active} seals from now on")
        outcomes = [sealed.rewrap_column(column, active=active, batch=batch) for column in sealed.columns()]
        for outcome in outcomes:
            self.stdout.write(f"{outcome.column.model}.{outcome.column.field}: {outcome.rewrapped} re-wrapped")
        _log("keyring.rewrapped", key=active, values=sum(outcome.rewrapped for outcome in outcomes))
        self._complain(outcomes)

    def _refuse_a_foreign_keyring(self) -> None:
        """A keyring that was lost and made anew opens nothing: a rotation would only hide the loss."""
        for column in sealed.columns():
            if not sealed.opens(column):
                raise CommandError(f"no value of {column.model} opens: bring the right keyring back from the backup")

    def _complain(self, outcomes: list[sealed.Outcome]) -> None:
        for outcome in outcomes:
            for pk in outcome.damaged:
                self.stderr.write(f"{outcome.column.model} {pk}: {outcome.column.field} does not open")
        damaged = sum(len(outcome.damaged) for outcome in outcomes)
        if damaged:
            raise CommandError(f"{damaged} values do not open with this keyring; nothing of them was changed")

    def _retire(self, file: KeyringFile, *, grace_s: int) -> None:
        """A value sealed under the old key may still be on its way into the database: hence the grace."""
        content = file.read()
        old = set(content["keys"]) - {content["active"], content.get("staged")}
        if not old:
            self.stdout.write(f"nothing to retire: {content['active']} is the only key")
            return
        if file.age_s() < grace_s:
            raise CommandError(
                f"the keyring changed {file.age_s():.0f} s ago; retire {grace_s} s after its last change"
            )
        used = sealed.keys_in_use()
        kept = {name for name in old if used[name]}
        gone = old - kept
        for name in sorted(kept):
            self.stdout.write(f"{name} kept: {used[name]} values are wrapped with it; call rotate_keys first")
        if gone:
            file.remove(gone)
            _log("keyring.retired", keys=sorted(gone))
            self.stdout.write(f"retired: {', '.join(sorted(gone))}; older backups of the database still need them")
        if kept:
            raise CommandError(f"{len(kept)} old keys are still in use")


def _writable(file: KeyringFile | None) -> KeyringFile:
    if file is None:
        raise CommandError("the keyring comes from CHAPEK_KEYRING: change its keys there, then call rotate_keys")
    return file


def _log(kind: str, **details: Any) -> None:
    """Names of keys and counts, never a key, in the platform's own audit log."""
    with transaction.atomic():
        audit.record(
            log_tenant_id=None, kind=kind, subject_ref="keyring", actor=ACTOR, details=details, at=database_now()
        )
