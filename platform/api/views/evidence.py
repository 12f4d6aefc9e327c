"""What is seen of one reservation: progress, the way in, events, certificates, the audit download."""

import json
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from api.base import BaseViewSet, PublicViewSet
from api.progress import snapshot
from api.serializers.evidence import CertificatesSerializer, ConnectSerializer, EventSerializer, ProgressSerializer
from compliance.audit import selectors as audit
from compliance.audit.models import AuditEvent
from provisioning import selectors as provisioning
from reservations import access, selectors
from reservations.models import Reservation


class OfReservation(BaseViewSet):
    """Whatever is about one reservation of the tenant's own."""

    pagination_class = None

    def reservation(self) -> Reservation:
        return selectors.reservation(actor=self.actor, ref=self.kwargs["ref"])


class Progress(OfReservation):
    needs = {"retrieve": Permission.VIEW}
    serializer_class = ProgressSerializer

    @extend_schema(summary="Every job of the reservation with its steps and an ETA range")
    def retrieve(self, _request: Request, ref: str) -> Response:  # noqa: ARG002 - read from the path
        return Response(snapshot(reservation=self.reservation()))


class Connect(OfReservation):
    needs = {"retrieve": Permission.VIEW}
    serializer_class = ConnectSerializer

    @extend_schema(summary="SSH commands, host keys for known_hosts, and an ssh_config")
    def retrieve(self, _request: Request, ref: str) -> Response:
        nodes = access.nodes_of(reservation=self.reservation())
        body = {
            "id": ref,
            "nodes": nodes,
            "known_hosts": "".join(f"{line}\n" for node in nodes for line in node.known_hosts),
            "ssh_config": "".join(node.ssh_config or "" for node in nodes),
        }
        return Response(ConnectSerializer(body).data)


class Certificates(OfReservation):
    needs = {"retrieve": Permission.VIEW}
    serializer_class = CertificatesSerializer

    @extend_schema(summary="Proof per drive that it was erased and read back, and the health checks")
    def retrieve(self, _request: Request, ref: str) -> Response:
        self.reservation()
        body = {
            "erase": provisioning.erase_records(reservation_ref=ref),
            "health": provisioning.health_records(reservation_ref=ref),
        }
        return Response(CertificatesSerializer(body).data)


@extend_schema_view(list=extend_schema(summary="The activity log: what happened, who did it, when; newest first"))
class Events(BaseViewSet):
    needs = {"list": Permission.VIEW}
    serializer_class = EventSerializer

    def rows(self) -> QuerySet[AuditEvent]:
        reservation = selectors.reservation(actor=self.actor, ref=self.kwargs["ref"])
        return audit.events_of(log_tenant_id=reservation.tenant_id, subject_refs=[reservation.ref])

    def list(self, _request: Request, ref: str) -> Response:  # noqa: ARG002 - rows reads it from the path
        return self.page()


def download(content: bytes, *, name: str, content_type: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return answer


def _export(found: dict[str, Any], name: str) -> HttpResponse:
    content = json.dumps(found, indent=1, ensure_ascii=False).encode()
    return download(content, name=name, content_type="application/json")


_EXPORT = {200: OpenApiResponse(OpenApiTypes.OBJECT, description="chapek.audit.export/1; check it with the verifier.")}
_PYTHON = {(200, "text/x-python"): OpenApiTypes.STR}
_TEXT = {(200, "text/plain"): OpenApiTypes.STR}


class ReservationAudit(OfReservation):
    needs = {"retrieve": Permission.VIEW_AUDIT}

    @extend_schema(summary="Download the audit log of the reservation, to be verified offline", responses=_EXPORT)
    def retrieve(self, _request: Request, ref: str) -> HttpResponse:
        reservation = self.reservation()
        found = audit.export(log_tenant_id=reservation.tenant_id, subject_refs=[reservation.ref])
        return _export(found, f"{ref}.audit.json")


class TenantAudit(BaseViewSet):
    needs = {"export": Permission.VIEW_AUDIT, "key": Permission.VIEW_AUDIT}
    pagination_class = None

    @extend_schema(summary="Download the tenant's whole audit log", responses=_EXPORT)
    def export(self, _request: Request) -> HttpResponse:
        return _export(audit.export(log_tenant_id=self.actor.tenant_id, subject_refs=None), "chapek.audit.json")

    @extend_schema(summary="The verifier key of the tenant's log, one line (C2SP signed note)", responses=_TEXT)
    def key(self, _request: Request) -> HttpResponse:
        line = audit.verifier_key(log_tenant_id=self.actor.tenant_id)
        return download(f"{line}\n".encode(), name="chapek.vkey", content_type="text/plain; charset=utf-8")


class Verifier(PublicViewSet):
    pagination_class = None

    @extend_schema(summary="The offline verifier, one Python file", responses=_PYTHON)
    def retrieve(self, _request: Request) -> HttpResponse:
        return download(audit.verifier_source(), name="chapek_verify.py", content_type="text/x-python; charset=utf-8")
