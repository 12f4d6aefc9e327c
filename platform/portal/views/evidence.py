"""What the tenant takes away to check without us: the log's export, the verifier and its key."""

import json

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from accounts.roles import Permission
from compliance.audit import selectors as audit
from portal.base import PortalView
from reservations import selectors


def attachment(content: bytes, *, name: str, content_type: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    answer["Cache-Control"] = "no-store"
    return answer


class Export(PortalView):
    """The audit export of one reservation."""

    permission = Permission.VIEW_AUDIT

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        reservation = selectors.reservation(actor=self.actor, ref=ref)
        found = audit.export(log_tenant_id=self.tenant.pk, subject_refs=[reservation.ref])
        content = json.dumps(found, indent=1, ensure_ascii=False).encode()
        return attachment(content, name=f"{reservation.ref}.audit.json", content_type="application/json")


class VerifierKey(PortalView):
    permission = Permission.VIEW_AUDIT

    def get(self, _request: HttpRequest) -> HttpResponse:
        line = audit.verifier_key(log_tenant_id=self.tenant.pk)
        return attachment(f"{line}\n".encode(), name="chapek.vkey", content_type="text/plain; charset=utf-8")


class Verifier(PortalView):
    permission = Permission.VIEW_AUDIT

    def get(self, _request: HttpRequest) -> HttpResponse:
        return attachment(audit.verifier_source(), name="chapek_verify.py", content_type="text/x-python; charset=utf-8")
