"""The rows of the log. All are append-only, and the database itself refuses anything else (migration 0002).

``log_tenant_id`` names the log: a tenant's, or the platform's own when NULL. It is a plain number, no foreign key:
this room lies below ``accounts``.
"""

import json
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from compliance.audit import words


class AuditEvent(models.Model):
    """One thing that happened. ``leaf`` is the truth; the other columns are there to find it by.

    ``index`` is the place in its log: NULL until the sequencer has seen the committed event, then final.
    """

    ref = models.CharField(max_length=40, unique=True)
    log_tenant_id = models.BigIntegerField(null=True)
    index = models.BigIntegerField(_("index in its log"), null=True)
    kind = models.CharField(_("kind"), max_length=80)
    subject_ref = models.CharField(_("subject"), max_length=80)
    context_ref = models.CharField(_("reservation"), max_length=80, blank=True, default="")
    actor_kind = models.CharField(_("kind of actor"), max_length=20)
    actor_ref = models.CharField(_("actor"), max_length=80)
    actor_role = models.CharField(_("role"), max_length=40, blank=True, default="")
    request_id = models.CharField(_("request"), max_length=80, blank=True, default="")
    occurred_at = models.DateTimeField(_("at"))
    leaf = models.BinaryField(help_text="RFC 8785 bytes of the event, hashed as stored and never made again")
    leaf_hash = models.BinaryField(max_length=32, help_text="SHA-256 of 0x00 and the leaf (RFC 6962)")

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        constraints = [
            models.UniqueConstraint(
                fields=["log_tenant_id", "index"],
                name="audit_one_event_per_index",
                condition=models.Q(index__isnull=False),
                nulls_distinct=False,
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="audit_unsequenced", condition=models.Q(index__isnull=True)),
            models.Index(fields=["log_tenant_id", "subject_ref", "id"], name="audit_by_subject"),
            models.Index(
                fields=["log_tenant_id", "context_ref", "id"],
                name="audit_by_context",
                condition=~models.Q(context_ref=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject_ref}"

    @property
    def at(self) -> datetime:
        return self.occurred_at.astimezone(UTC)

    @property
    def details(self) -> dict[str, Any]:
        """The event's plain facts, as logged."""
        details: dict[str, Any] = json.loads(bytes(self.leaf))["details"]
        return details

    @property
    def what(self) -> str:
        """What happened, in words and in the reader's language."""
        return words.what(kind=self.kind, details=self.details)

    @property
    def who(self) -> str:
        """Who did it, in words; opaque ids only. Portal and admin may show a name where they know one."""
        return words.who(actor_kind=self.actor_kind, actor_ref=self.actor_ref)


class Tile(models.Model):
    """A full tile of the tree (C2SP tlog-tiles): 256 hashes of one level, 8 levels of the tree high.

    Level 0 holds leaf hashes. ``root`` is the hash over the tile, which is one entry of the tile above it. Incomplete
    tiles are not stored: their entries are the newest leaf hashes and tile roots.
    """

    log_tenant_id = models.BigIntegerField(null=True)
    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField(max_length=8192)
    root = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["log_tenant_id", "level", "index"], name="audit_one_tile_per_place", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class Checkpoint(models.Model):
    """A signed statement that the log had this root at this size. ``note`` is the C2SP signed note as published.

    ``frontier`` is the roots of the perfect subtrees that make up the tree, largest first, 32 bytes each: all that
    appending needs to know of the past.
    """

    log_tenant_id = models.BigIntegerField(null=True)
    size = models.BigIntegerField(_("events"))
    root = models.BinaryField(max_length=32)
    frontier = models.BinaryField()
    note = models.BinaryField()
    created_at = models.DateTimeField(_("made at"))

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        constraints = [
            models.UniqueConstraint(
                fields=["log_tenant_id", "size"], name="audit_one_checkpoint_per_size", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"checkpoint at {self.size}"


class SigningKey(models.Model):
    """A public key that signs this installation's checkpoints; the newest row is the one in force."""

    public = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")

    def __str__(self) -> str:
        return bytes(self.public).hex()
