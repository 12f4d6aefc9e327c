"""The documents a tenant accepts. Each version is a file beside this one and never changes once it was published."""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import structlog

from accounts.models import LegalDocument

log = structlog.get_logger(__name__)
_FOLDER = Path(__file__).resolve().parent
_Kind = LegalDocument.Kind


@dataclass(frozen=True, kw_only=True)
class Published:
    kind: LegalDocument.Kind
    version: str
    in_force_from: date
    file: str


PUBLISHED = (
    Published(kind=_Kind.TERMS, version="1", in_force_from=date(2026, 11, 1), file="terms-1.md"),
    Published(kind=_Kind.ACCEPTABLE_USE, version="1", in_force_from=date(2026, 11, 1), file="acceptable-use-1.md"),
    Published(kind=_Kind.DATA_PROCESSING, version="1", in_force_from=date(2026, 11, 1), file="data-processing-1.md"),
)


def ensure_documents() -> None:
    """Put every published version into the database; idempotent, run after each migration.

    A stored text wins over a changed file: it is what people accepted. Operators add documents of their own as later
    versions in the admin.
    """
    for item in PUBLISHED:
        text = (_FOLDER / item.file).read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        stored, _made = LegalDocument.objects.get_or_create(
            kind=item.kind,
            version=item.version,
            defaults={"text": text, "text_sha256": digest, "in_force_from": item.in_force_from},
        )
        if stored.text_sha256 != digest:
            log.error("a published legal text was changed; publish a new version", kind=item.kind, version=item.version)
